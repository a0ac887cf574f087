"""How the documentation is built: `make docs`. Pages are Markdown; the reference is made from docstrings."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "making"))

project = "tapered"
copyright = "the authors of tapered"  # noqa: A001 - Sphinx's own word
extensions = ["myst_parser", "sphinx.ext.autodoc", "cyclopts.ext.sphinx", "docstrings", "rooms", "gallery", "reachable"]
exclude_patterns = ["making"]

myst_heading_anchors = 4  # what `page.md#heading` names, as GitHub does
myst_enable_extensions = ["deflist"]
suppress_warnings = ["myst.xref_ambiguous"]

nitpicky = True  # a reference that leads nowhere is an error
nitpick_ignore_regex = [("py:(class|exc)", ".*")]  # of annotations, torch's and Python's own, which are not built here
add_module_names = True  # as they are imported
highlight_language = "none"  # formulas are no code
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "tapered"
html_static_path = ["making/static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5c8a", "color-brand-content": "#0b5c8a"},
    "dark_css_variables": {"color-brand-primary": "#7cc4f0", "color-brand-content": "#7cc4f0"},
}
