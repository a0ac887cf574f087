"""The page's templates, filled: every text is escaped, and no script and no style runs but the page's own.

name, values ─► filled ─► HTML        policy ─► what a server says of it, too
"""

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from tapered.pictures import Scale
from tapered.study.summary import cost_lines

if TYPE_CHECKING:
    from jinja2 import Environment


def filled(name: str, /, **values: Any) -> str:
    """A template with its values."""
    page = _environment().get_template(name)
    return page.render(**values, script=part("page.js"), style=part("page.css"))


def ready(*, drawn: bool) -> None:
    """Load what the first page waits for, once in a process; that is a second or two where something is drawn on it."""
    if drawn:
        Scale("linear", 0.0, 1.0).ticks()
    for name in ("parts.html.jinja", "page.html.jinja", "partial.html.jinja"):
        _environment().get_template(name)


def policy() -> str:
    """The content security policy of a page, for who sends it with one."""
    script, style = (_digest(part(name)) for name in ("page.js", "page.css"))
    return f"default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:"


@cache
def _environment() -> "Environment":
    import jinja2  # noqa: PLC0415 - heavy, and only a report needs it

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(part),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"cost_lines": cost_lines, "kept": _kept}
    made.globals["policy"] = policy
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return made


def _kept(text: str) -> str:
    """A sentence, escaped, whose arrows are not broken at the end of a line."""
    from markupsafe import Markup  # noqa: PLC0415 - jinja2 brings it

    whole = Markup('<span class="whole">{}</span>').format("->")
    return Markup(" {} ").format(whole).join(text.split(" -> "))


@cache
def part(name: str) -> str:
    """A file of the page."""
    return (resources.files("tapered.report") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """What a content security policy calls a script or a style that may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
