"""Writes the table of docs/claims.md: what `tapered claims` shows, with the spaces at the ends of lines left out."""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

from tapered.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "claims.md"
TABLE = re.compile(r"(?<=```console\n).*?(?=\n```)", re.DOTALL)


def table() -> str:
    with tempfile.TemporaryDirectory() as empty, contextlib.redirect_stdout(io.StringIO()) as out:
        before = Path.cwd()
        os.chdir(empty)  # where no study's page is, whose path would be shown
        os.environ["COLUMNS"] = "80"
        main(["claims"])
        os.chdir(before)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text()))
    sys.exit(0)
