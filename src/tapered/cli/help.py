"""`--help` of every command: boxes as wide as the terminal; elsewhere an option a line, for grep and files."""

import io
from typing import Any

from cyclopts.help import DefaultFormatter, HelpPanel, PlainFormatter
from rich.console import Console, ConsoleOptions
from rich.text import Text

from tapered.cli.terminal import ENDLESS


class Help:
    """Cyclopts's formatter of help, to which a docstring's line ends are none of the reader's."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """As cyclopts asks for a panel."""
        for entry in panel.entries:
            said = getattr(entry.description, "primary_renderable", None)
            if isinstance(said, Text):
                entry.description.primary_renderable = Text(_joined(said.plain))
        _on(console)(console, options, panel)

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """As cyclopts asks for it."""
        _on(console).render_usage(console, options, usage)

    def render_description(self, console: Console, _: ConsoleOptions, description: Any) -> None:
        """As cyclopts asks for it: a paragraph is a line, wrapped where there is a terminal."""
        whole = Console(file=(written := io.StringIO()), width=ENDLESS)
        whole.print(description)
        paragraphs = "\n".join(line.rstrip() for line in written.getvalue().splitlines()).strip().split("\n\n")
        for said in paragraphs:
            console.print(Text(_joined(said)))
            console.print()


def _on(console: Console) -> DefaultFormatter | PlainFormatter:
    return DefaultFormatter() if console.is_terminal else PlainFormatter()


def _joined(text: str) -> str:
    return " ".join(text.split())
