"""The documentation: every page is in its contents, every link leads somewhere, every public name has an example."""

import dataclasses
import inspect
import re
from pathlib import Path

import docstrings
import links
import public
import pytest

from tapered.schedules import names, parse

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"\]\(([^)\s]+)\)")
EVERY = {full: value for full, value in public.every().items() if public.documented(value)}


def contents(path):
    """The pages that a page's contents list names."""
    lists = re.findall(r"```\{toctree\}\n(.*?)```", path.read_text(), re.DOTALL)
    named = [line for text in lists for line in text.splitlines() if line and not line.startswith(":")]
    return [(path.parent / f"{name}.md").resolve() for name in named]


def anchors(path):
    """What `page.md#heading` may name, as GitHub spells headings."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead(path):
    """Links of a page that lead nowhere."""
    for target in TARGET.findall(FENCED.sub("", path.read_text())):
        file, _, place = target.partition("#")
        to = (path.parent / file).resolve() if file else path
        if not re.match(r"\w+:", target) and not (to.exists() and (not place or place in anchors(to))):
            yield target


def test_every_page_is_in_the_contents_once():
    listed = [page for path in PAGES for page in contents(path)]
    assert sorted(listed) == [path for path in PAGES if path != DOCS / "index.md"]


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert list(dead(path)) == []


def test_every_public_name_has_an_example():
    assert [full for full, value in EVERY.items() if ">>>" not in (value.__doc__ or "")] == []


MADE = {"Optimizer", "Rule"}  # a base and a protocol; others are made by a function, and say so


def test_every_public_name_says_its_arguments():
    assert {full: names for full, value in EVERY.items() if (names := lacking(value))} == {}


def lacking(value):
    """Arguments of which a docstring's section says nothing."""
    text, maker = inspect.getdoc(value) or "", value.__init__ if dataclasses.is_dataclass(value) else value
    plain = inspect.isclass(value) and issubclass(value, Exception) and "__init__" not in vars(value)
    if plain or value.__name__ in MADE or re.search(r"Made by `|What `\w+` yields", text):
        return set()
    given = {name for name in inspect.signature(maker).parameters if name != "self" and not name.startswith("_")}
    said = re.search(r"^(?:Args|Attributes):\n((?: +.*\n|\n)+)", f"{text}\n", re.MULTILINE)
    lines = re.findall(r"^    ([\w*, ]+):", said[1], re.MULTILINE) if said else []
    return given - {name.strip(" *") for line in lines for name in line.split(",")}


def test_no_optimizer_sends_its_reader_elsewhere():
    assert [full for full, value in EVERY.items() if re.search(r"\bas `Adam", value.__doc__ or "", re.IGNORECASE)] == []


def test_the_reference_has_a_page_for_each_room():
    pages = {path.stem for path in (DOCS / "reference").glob("*.md")} - {"index", "commands"}
    assert pages == {*public.ROOMS, "training"}
    for name in pages:
        assert f".. room:: {name}\n" in (DOCS / "reference" / f"{name}.md").read_text()


def test_the_gallery_shows_every_schedule():
    lines = re.findall(r"```\{gallery\}\n(.*?)```", (DOCS / "gallery.md").read_text(), re.DOTALL)
    shown = [line.split(" | ")[0] for line in "".join(lines).splitlines()]
    words = {word for line in shown for word in re.findall(r"\w+", line)}
    assert {*names.KINDS, *names.RECIPES, *names.METHODS} - words == set()
    for line in shown:
        assert parse(line).table(50).shape == (50,)


def test_the_glossary_has_its_words_in_order():
    words = re.findall(r"^## (.*)$", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert words == sorted(words)
    asked = "arm peak seed fresh rung row trunk run fork segment rule hyper bundle mode"
    assert {*asked.split()} <= {*words}


@pytest.mark.parametrize(
    ("docstring", "read"),
    [
        ("Takes `a * b` of *args, x_ and |g|.", r"Takes ``a * b`` of \*args, x\_ and \|g\|."),
        ("See `tapered.Adam`, ``tapered.SGD``.", "See :py:obj:`tapered.Adam`, :py:obj:`tapered.SGD`."),
        ("One.\n\n    y = x * w_\n\nTwo.", "One.\n\n::\n\n    y = x * w_\n\nTwo."),
        ("One:\n\n* a `b`\n* c", "One:\n\n* a ``b``\n* c"),
        ("Args:\n    a: b*.\n\nEx:\n    >>> f(*a)\n    1", "Args:\n    a: b\\*.\n\nEx:\n    >>> f(*a)\n    1"),
    ],
)  # fmt: skip
def test_docstrings_are_read_as_they_were_meant(docstring, read):
    assert "\n".join(docstrings.sections(docstring.split("\n"))) == read


def test_a_built_site_that_loads_or_leads_wrong_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<link rel="stylesheet" href="s.css"><img src="https://x.org/p.png"><a href="b.html#two">b</a>'
        '<a href="b.html#one">b</a><a href="c.html">c</a><a href="https://x.org">out</a><a href="#top">up</a>'
    )
    (tmp_path / "b.html").write_text('<h1 id="one">One</h1><script src="//x.org/s.js"></script>')
    (tmp_path / "s.css").write_text("@font-face { src: url(https://x.org/f.woff) }")
    assert list(links.faults(tmp_path)) == [
        "a.html loads https://x.org/p.png",
        "a.html leads to b.html#two, which has no such place",
        "a.html leads to c.html, which is not there",
        "a.html leads to #top, which has no such place",
        "b.html loads //x.org/s.js",
        "s.css loads https://x.org/f.woff",
    ]
