"""A PostgreSQL server of a test's own, without a password but guest's; and a proxy that loses answers to COMMIT."""

import contextlib
import os
import pwd
import select
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

INSTALL = "no PostgreSQL server is installed; try: apt-get install postgresql, and pip install 'tapered[postgres]'"
SYSTEM = Path("/usr/lib/postgresql")  # where Debian has it


def programs():
    """Where a server's programs are; None where there are none, or no driver."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return None
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(SYSTEM.glob("*/bin"), key=lambda path: -float(path.parent.name))
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def _free_port():
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Postgres:
    """A server in a folder of its own; ``with`` starts it, and leaves nothing."""

    def __init__(self, bin_):
        self._bin, self.port = bin_, _free_port()
        self._as = "postgres" if os.getuid() == 0 else None  # it refuses to run as root

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        if self._as:
            os.chown(self.folder, pwd.getpwnam(self._as).pw_uid, -1)
        self._run("initdb", "-D", self.folder / "data", "-A", "trust", "-U", "tapered", "--no-sync", "-E", "UTF8")
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all guest 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program, *words):
        subprocess.run(
            [self._bin / program, *words], check=True, user=self._as, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=self.folder, timeout=60,
        )  # fmt: skip

    def start(self):
        settings = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -F -c max_connections=40"
        self._run("pg_ctl", "start", "-w", "-D", self.folder / "data", "-l", self.folder / "log", "-o", settings)

    def stop(self, how="immediate"):
        self._run("pg_ctl", "stop", "-w", "-D", self.folder / "data", "-m", how)

    def url(self, database="tapered", port=None):
        return f"postgresql+psycopg://tapered@127.0.0.1:{port or self.port}/{database}"

    def database(self, name="tapered"):
        """Make a database, and return its URL."""
        self.sql(f'create database "{name}"')
        return self.url(name)

    def sql(self, statement, database="postgres"):
        """What a statement finds."""
        import psycopg

        where = f"host=127.0.0.1 port={self.port} user=tapered dbname={database}"
        with psycopg.connect(where, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []


class Proxy:
    """Stands between a client and a server, and drops a connection when the server has answered to a COMMIT of trials.

    Args:
        port: The server's.
        lost: How many commits' answers are lost.
    """

    def __init__(self, port, lost):
        self._to, self.left, self.lost = port, lost, 0
        self._closing = False
        self._listens = socket.create_server(("127.0.0.1", 0))
        self.port = self._listens.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while (client := self._listens.accept()[0]) and not self._closing:
            self._threads.append(threading.Thread(target=self._serve, args=(client,)))
            self._threads[-1].start()
        client.close()

    def _serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            writes = loses = False
            while ready := select.select([client, server], [], [])[0]:
                source, to = (client, server) if client in ready else (server, client)
                try:
                    data = source.recv(1 << 16)
                    if source is client:
                        writes |= b"INSERT INTO trials" in data
                        loses |= bool(self.left) and writes and b"COMMIT" in data
                    if not data or (loses and source is server):
                        break
                    to.sendall(data)
                except OSError:
                    break
            self.left, self.lost = self.left - loses, self.lost + loses

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closing = True
        socket.create_connection(("127.0.0.1", self.port)).close()  # wakes whoever accepts
        for thread in self._threads:
            thread.join(10)
        self._listens.close()
