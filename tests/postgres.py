"""A real PostgreSQL for tests: `initdb` and `postgres` on a free port in a temporary folder, a database per test.

The server refuses to run as root, so root runs it as the user that the Debian package `postgresql` makes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from cse.storage.postgresql import PostgresStore
from tests.brokers import LOOPBACK, START_TIMEOUT_S, free_port, require_tool

_USER = "postgres"
#: runs the server for as long as the tests hold its input open, so that it ends with them however they end
_WHILE_HELD = '"$@" </dev/null & cat >/dev/null; kill -INT $! && wait $! && rm -rf "$0"'


class PostgresServer:
    """One PostgreSQL server; call ``stop`` at the end.

    Args:
        safe: keep what is committed over a crash of the server too; without it tests are quicker.
    """

    def __init__(self, *, safe: bool = False) -> None:
        initdb, self._postgres = require_tool("initdb"), require_tool("postgres")
        self._safe = safe
        self.folder = Path(tempfile.mkdtemp(prefix="onemec-pg-"))
        self._as_user: dict[str, object] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(_USER)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.port = free_port()
        self._databases = 0
        self._spare: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [initdb, "-D", self.folder / "data", "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            **self._as_user,  # type: ignore[call-overload]
        )
        self.start()

    def url(self, database: str = "postgres") -> str:
        """Where a database is, as ``--store`` takes it."""
        return f"postgresql://{_USER}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        self._process = subprocess.Popen(
            [
                *("sh", "-c", _WHILE_HELD, self.folder),
                *(self._postgres, "-D", self.folder / "data", "-p", str(self.port), "-h", LOOPBACK),
                *("-k", self.folder, "-c", "max_connections=50", "-c", "log_min_messages=fatal"),
                *(() if self._safe else ("-c", "fsync=off", "-c", "full_page_writes=off")),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            start_new_session=True,
            **self._as_user,  # type: ignore[call-overload]
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=2):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start (exit code {self._process.poll()})", pytrace=False)
            time.sleep(0.02)

    def crash(self) -> None:
        """SIGKILL the server, whose other processes then end: what a crash of it is to its clients."""
        assert self._process is not None
        for server in psutil.Process(self._process.pid).children():
            if server.name() == "postgres":
                server.kill()
        self._process.communicate()

    def database(self, like: str = "template0") -> str:
        """Make an empty database; returns its URL.

        Args:
            like: the name of the database it is a copy of.
        """
        self._databases += 1
        name = f"d{self._databases}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {like}")  # type: ignore[call-overload]
        return self.url(name)

    def store(self) -> str:
        """A database with the tables of a store and nothing in them; returns its URL, for ``take_back`` in the end.

        Making and dropping one is a tenth of a second, which counts where hundreds of tests need one each.
        """
        if self._spare:
            return self._spare.pop()
        url = self.database()
        asyncio.run(PostgresStore(url).close())
        return url

    def take_back(self, url: str) -> None:
        """Remove what is in the tables of a store that nobody has open, so that ``store`` can give it again."""
        with psycopg.connect(url) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                kept = "WHERE name <> 'schema_version'" if table == "meta" else ""
                connection.execute(f"DELETE FROM {table} {kept}")  # type: ignore[call-overload]
        self._spare.append(url)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            name = url.rpartition("/")[2]
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]

    def stop(self) -> None:
        """End the server and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            try:
                self._process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)
