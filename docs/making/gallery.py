"""The directive that draws schedules: an expression a line, each as picture, expression and equation."""

import re

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from tapered.schedules import names, parse


class Gallery(SphinxDirective):
    """Cards, in the order of the lines. A line is `expression`, or `expression | what is to be said of it`."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Pictures are drawn by the code as it is, so that they cannot be of another version."""
        cards = nodes.container(classes=["gallery"])
        for line in self.content:
            expression, _, note = line.partition(" | ")
            cards += self.card(expression.strip(), note.strip())
        return [cards]

    def card(self, expression: str, note: str) -> nodes.Node:
        """One schedule."""
        made = nodes.container(classes=["card"])
        made += nodes.raw("", parse(expression)._repr_html_(), format="html")
        made += nodes.literal_block(expression, expression, language="python")
        text, _ = self.parse_inline(note or equation(expression))
        made += nodes.paragraph("", "", *text, classes=["equation"])
        return made


def equation(expression: str) -> str:
    """What the docstring of the last kind that an expression names gives as its value."""
    known = names.KINDS | names.RECIPES
    kind = next(known[word] for word in reversed(re.findall(r"\w+", expression)) if word in known)
    return (kind.__doc__ or "").strip().split("\n")[0]


def setup(app) -> dict[str, bool]:
    """Sphinx's door."""
    app.add_directive("gallery", Gallery)
    return {"parallel_read_safe": True}
