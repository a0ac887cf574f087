"""Writes what stands between the marks of docs/which-schedule.md: every advice, its sources, what was measured."""

import re
from pathlib import Path

from tapered.claims.advice import Advice, table

PAGE = Path(__file__).parents[2] / "docs" / "which-schedule.md"
MARKED = re.compile(r"(?<=<!-- advice -->\n).*?(?=<!-- end -->)", re.DOTALL)
STEPS = 10_000


def section(given: Advice) -> str:
    """One purpose."""
    low, high = given.peaks
    decay = f", weight decay {given.weight_decay:g}" if given.weight_decay else ""
    rows = [
        *(f"| [{source.name}]({source.link}) | {source.says} |" for source in given.sources),
        *(f"| measured: the claim *{found.claim}* | {found.told()} |" for found in given.measured),
    ]
    return "\n".join(
        (
            f"### {given.purpose}: {given.title}",
            "",
            f"The rate goes {given.words}. {given.rule}, peak {low:g} to {high:g}{decay}.",
            f"Horizon: {given.horizon}.",
            "",
            "```",
            str(given.shape(STEPS)),
            "```",
            "",
            "| who | says |",
            "|---|---|",
            *rows,
            f"| theory | in the worst case {given.ratio(STEPS):.3f} times the least of all schedules |",
            "",
        )
    )


def text() -> str:
    """All of them."""
    return "\n".join(("", *map(section, table().values()), ""))


if __name__ == "__main__":
    PAGE.write_text(MARKED.sub(lambda _: text(), PAGE.read_text()))
    print(PAGE)
