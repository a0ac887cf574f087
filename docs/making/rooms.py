"""The directive that makes a page of the reference: `.. room:: schedules`."""

import typing
from collections.abc import Iterator

import docstrings
import public
from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class Room(SphinxDirective):
    """Every public name of a room: a table of them, then each with its docstring."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Written as reStructuredText, which autodoc speaks."""
        room = self.arguments[0]
        found = list(public.of_training() if room == "training" else public.of_room(room))
        return self.parse_text_to_nodes("\n".join([*table(found), "", *entries(found)]))


def table(found: list[tuple[str, object]]) -> Iterator[str]:
    """Names and what each is in a sentence."""
    yield from (".. list-table::", "   :class: names", "   :widths: 30 70", "")
    for full, value in found:
        first = (value.__doc__ or "").strip().split("\n")[0] if public.documented(value) else ""
        yield f"   * - :py:obj:`~{full}`"
        yield f"     - {docstrings.span(first)}"


def entries(found: list[tuple[str, object]]) -> Iterator[str]:
    """Each name in full."""
    for full, value in found:
        if isinstance(value, type):
            yield from (f".. autoclass:: {full}", f"   :members: {public.CALLED.get(full, '')}".rstrip(), "")
        elif public.documented(value):
            yield from (f".. autofunction:: {full}", "")
        else:
            yield from (f".. py:data:: {full}", "", f"   {plain(value)}", "")


def plain(value: object) -> str:
    """A constant, in words."""
    options = typing.get_args(value)
    if options:
        return "One of " + ", ".join(f"``{option!r}``" for option in options) + "."
    return f"``{value!r}``" if len(repr(value)) < 80 else f"Its {len(value)} members stand in the guides."


def setup(app) -> dict[str, bool]:
    """Sphinx's door."""
    app.add_directive("room", Room)
    return {"parallel_read_safe": True}
