"""A study's page on this machine's own address, and nothing else: read-only, for who asks by its own name.

GET / ─► Host checked ─► report.html as it stands, or how far the study is ─► the page; one of an unfinished study comes
again by itself
"""

import os
import stat
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tapered.files.errors import StoreError
from tapered.report.partial import MARK
from tapered.report.template import filled, policy
from tapered.study.summary.unfinished import unfinished

PAGE = "report.html"
HERE = "127.0.0.1"
AGAIN = 15  # seconds after which a page of a study that is not finished is loaded again
LIMIT = 1 << 26  # bytes of a page
OTHERS = f"{PAGE} was not written by this version of tapered; the study's own command writes it again."
HEAD = 2000  # of them, in which it says whose it is
PATHS = ("/", f"/{PAGE}")
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Watched(ThreadingHTTPServer):
    """Serves the page of a study's folder on 127.0.0.1.

    Args:
        folder: The study's.
        port: 0 takes one that is free.

    Raises:
        OSError: The port is taken, or not for everybody.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        super().__init__((HERE, port), _Answer)
        self.hosts = {f"{name}:{self.server_port}" for name in (HERE, "localhost")}
        if self.server_port == 80:
            self.hosts |= {HERE, "localhost"}

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{HERE}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: who asked has gone."""


class _Answer(BaseHTTPRequestHandler):
    server: Watched
    server_version, sys_version = "tapered", ""
    timeout = 10  # seconds for a request to come

    def do_GET(self) -> None:
        """The page."""
        if self._asked():
            page, again = _page(self.server.folder)
            self._send(HTTPStatus.OK, page, {"Refresh": str(AGAIN)} if again else {})

    def do_HEAD(self) -> None:
        """What is said of it."""
        self.do_GET()

    def _refuse(self) -> None:
        self._asked()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse  # noqa: N815 - as the library calls them

    def _asked(self) -> bool:
        """Whether this is to be answered; else it is refused.

        A page elsewhere whose name leads to this machine (DNS rebinding) asks with its own name as the host.
        """
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            self._error(HTTPStatus.MISDIRECTED_REQUEST, f"expected the address {self.server.url}")
        elif self.command not in ("GET", "HEAD"):
            self._error(HTTPStatus.METHOD_NOT_ALLOWED, "nothing here can be changed", Allow="GET, HEAD")
        elif self.path.partition("?")[0] not in PATHS:
            self._error(HTTPStatus.NOT_FOUND, f"there is one page here: {self.server.url}")
        else:
            return True
        return False

    def _error(self, status: HTTPStatus, why: str, **more: str) -> None:
        self._send(status, f"{status.phrase}: {why}\n".encode(), {"Content-Type": "text/plain; charset=utf-8", **more})

    def _send(self, status: HTTPStatus, body: bytes, more: dict[str, str]) -> None:
        self.send_response(status)
        own = {"Content-Security-Policy": f"{policy()}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"}
        for name, value in (HEADERS | own | more | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as the library calls it
        """Nothing."""


def _page(folder: Path) -> tuple[bytes, bool]:
    """The page as it stands, and whether it is to be loaded again; where there is none yet, how far the study is."""
    page = _read(folder / PAGE)
    if page is None:
        return _waiting(folder), True
    if policy().encode() not in page[:HEAD]:
        return _said(
            folder, [f"{PAGE} was not written by this version of tapered; the study's own command does."]
        ), False
    return page, MARK.encode() in page[:HEAD]


def _read(path: Path) -> bytes | None:
    """A file of the folder itself, no link and no pipe; None where there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        return file.read() if stat.S_ISREG(found.st_mode) and found.st_size <= LIMIT else None


def _waiting(folder: Path) -> bytes:
    try:
        lines = unfinished(folder).lines
    except StoreError:
        lines = ["Nothing is known of the study yet."]
    return _said(folder, lines)


def _said(folder: Path, lines: list[str]) -> bytes:
    return filled("waiting.html.jinja", name=folder.resolve().name, lines=lines).encode()
