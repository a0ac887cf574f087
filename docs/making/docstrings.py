"""Docstrings as Sphinx reads them: the house writes Markdown in Google's sections, Sphinx takes reStructuredText.

`code` ─► ``code``, or a link where it names what is public      an indented formula ─► a literal block
"""

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator

import public

SPANS = re.compile(r"(``[^`]+``|`[^`]+`)")
CODE, INDENT = re.compile(r"`+([^`]+)`+"), re.compile(r" *")
DOTTED = re.compile(r"\b(?:[a-z_]\w*\.)+([A-Za-z_]\w*)")
BULLET = re.compile(r" *(?:\* )?")
ALONE = re.compile(r"([*|]|_(?=\W|$))")


def span(text: str) -> str:
    """A line of prose, its code marked, what reStructuredText would take for marks escaped."""
    bullet = BULLET.match(text)[0]
    parts = SPANS.split(text.removeprefix(bullet))
    return bullet + "".join(
        CODE.sub(code, part) if part.startswith("`") else ALONE.sub(r"\\\1", part) for part in parts
    )


def code(found: re.Match[str]) -> str:
    """A span of code: a link where it is a public name in full."""
    name = found[1]
    return f":py:obj:`{name}`" if name in public.every() else f"``{name}``"


def sections(lines: list[str]) -> Iterator[str]:
    """The lines of a docstring, formulas as literal blocks: what stands apart, deeper than the text before it."""
    before, literal, doctest = "", False, False
    for at, line in enumerate(lines):
        indent, apart = len(INDENT.match(line)[0]), at > 0 and not lines[at - 1].strip()
        if not line.strip():
            doctest = False
        elif line.lstrip().startswith(">>>"):
            doctest = True
        elif apart and indent >= 4 and before and not before.startswith(" "):
            literal = True
            yield from ("::", "")
        elif indent == 0:
            literal = False
        yield line if literal or doctest else span(line)
        before = line if line.strip() else before


def prepared(*event) -> None:
    """Rewrites a docstring in place.

    Its sections are read by napoleon, called as of a function: of a property it takes what stands before a colon for a
    type.
    """
    from sphinx.ext.napoleon import Config, GoogleDocstring  # tests read docstrings without Sphinx

    lines: list[str] = event[-1]
    lines[:] = GoogleDocstring(list(sections(lines)), Config(), what="function").lines()


def shown(annotation: object) -> str:
    """An annotation in few words: of what has an entry the full name, which Sphinx shows shortened, as a link."""
    text = "None" if annotation is type(None) else inspect.formatannotation(annotation)
    text = re.sub(r"<(?:class|factory|function) '?([\w.]+)[^>]*>", r"\1", text)
    return DOTTED.sub(lambda found: found[0] if found[0] in public.places() else found[1], text)


def default(value: object) -> object:
    """A default as it is written."""
    return Named(value) if callable(value) and value is not inspect.Parameter.empty else value


class Named:
    """A function or class by its name, in the place of its address."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        return getattr(self.value, "__name__", type(self.value).__name__)


def signature(*event) -> tuple[str, str] | None:
    """Names, types and defaults, without the checks that annotations carry."""
    _, what, _, value, *_ = event
    if what not in {"class", "function", "method"}:
        return None
    try:
        found = inspect.signature(value.__init__ if dataclasses.is_dataclass(value) else value)
        hints = typing.get_type_hints(value.__init__ if inspect.isclass(value) else value)
    except (NameError, TypeError, ValueError):
        return None
    kept = [
        parameter.replace(annotation=parameter.empty, default=default(parameter.default))
        for parameter in found.parameters.values()
        if parameter.name != "self" and not parameter.name.startswith("_")  # a dataclass's own fields
    ]
    texts = [said(parameter, hints) for parameter in kept]
    marked = marks([parameter.kind for parameter in kept], texts)
    back = shown(hints["return"]) if "return" in hints and not inspect.isclass(value) else ""
    return f"({', '.join(marked)})", back


def said(parameter: inspect.Parameter, hints: dict[str, object]) -> str:
    """One argument."""
    star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    kind = f": {shown(hints[parameter.name])}" if parameter.name in hints else ""
    has = parameter.default is not parameter.empty
    return f"{star}{parameter.name}{kind}" + (f" = {parameter.default!r}" if has else "")


def marks(kinds: list[object], texts: list[str]) -> Iterator[str]:
    """The arguments, with the star after which names must be said."""
    starred = inspect.Parameter.VAR_POSITIONAL in kinds
    for kind, text in zip(kinds, texts, strict=True):
        if kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        yield text


def setup(app) -> dict[str, bool]:
    """Sphinx's door."""
    app.connect("autodoc-process-docstring", prepared)
    app.connect("autodoc-process-signature", signature)
    return {"parallel_read_safe": True}
