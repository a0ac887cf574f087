"""A study's ledger in a database's server, as its file's `[ledger]` table or `--ledger` names it.

    [ledger]
    url = "postgresql+psycopg://USER@HOST/DATABASE"

A file and its frozen copy, the page and messages are for many eyes, so that no password stands in any of them.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, ConfigDict

from tapered.study.file.fields import Strict

FORM = "postgresql+psycopg://USER@HOST/DATABASE"
EXTRA = "pip install 'tapered[postgres]'"
# a user, a colon and what comes before @, anywhere in a text, in a comment too
PASSWORD = re.compile(
    r"""\b(?:postgres|mysql|mariadb)[\w+]*://[^\s/@:"']*:[^\s@"']*@|[?&]\w*(?:password|secret)=""", re.IGNORECASE
)
KEPT = "put it into ~/.pgpass (or the file that PGPASSFILE names) or into a service (PGSERVICE), and leave it out here"


def _checked(url: str) -> str:
    """A URL that can be used and shown; what is said of another does not repeat it."""
    if PASSWORD.search(url):
        raise ValueError(f"states a password, which the study's folder and page would show; {KEPT}")
    from sqlalchemy import make_url  # noqa: PLC0415 - optuna brings it, and a study without url does not wait for it
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - as above

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number, a bracket
        raise ValueError(f'is no URL of a database; try url = "{FORM}"') from None
    if parsed.password is not None or any(re.search("password|secret", name, re.IGNORECASE) for name in parsed.query):
        raise ValueError(f"states a password, which the study's folder and page would show; {KEPT}")
    name, backend = parsed.drivername, parsed.get_backend_name()
    if backend in ("postgresql", "postgres") and name != "postgresql+psycopg":
        raise ValueError(f"begins with {name}://; expected its driver, psycopg, too: {FORM}")
    if backend == "sqlite":
        raise ValueError(f'names a file; leave [ledger] out, as the folder has a ledger.db, or try "{FORM}"')
    try:
        dialect = parsed.get_dialect()
        dialect.import_dbapi()
    except (ArgumentError, AttributeError):
        raise ValueError(f"begins with {name}://, which is no driver of SQLAlchemy here; try {FORM}") from None
    except ImportError as error:
        remedy = f"try {EXTRA}" if name == "postgresql+psycopg" else f"install it, or try {FORM}"
        raise ValueError(f"needs {error.name or 'a driver'}, which is not installed here; {remedy}") from None
    if dialect.is_async:
        raise ValueError(f"begins with {name}://, a driver that waits for nobody; try {FORM}")
    return url


class Ledger(Strict):
    """Where finished runs are entered beside the study's folder: ``url`` of a database, without a password.

    Training does not wait for it, no run depends on it, and it may be another one when a study goes on.
    """

    # what is wrong of a URL may be a password in it; of a study, too
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(_checked)]


def password_line(text: str) -> int | None:
    r"""The line of a text that has a database's URL with a password; None where none has.

    >>> password_line("steps = 3\n# postgresql://me:word@db/x")
    2
    """
    found = PASSWORD.search(text)
    return None if found is None else text.count("\n", 0, found.start()) + 1
