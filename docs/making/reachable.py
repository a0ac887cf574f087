"""What the theme's pages lack for those who listen, or have a keyboard alone: levels, names, code that scrolls."""

from pathlib import Path

LACKING = {
    'role="heading">': 'role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="On this page">',
    "<pre>": '<pre tabindex="0">',
}


def finished(app, error: Exception | None) -> None:
    """Every page in turn, once all are written."""
    for path in () if error else Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for short, whole in LACKING.items():
            text = text.replace(short, whole)
        path.write_text(text, encoding="utf-8")


def setup(app) -> dict[str, bool]:
    """Sphinx's door."""
    app.connect("build-finished", finished)
    return {"parallel_read_safe": True}
