"""A PostgreSQL server of the test session's own, on a Unix socket in a temporary folder.

Where its programs are not installed, the tests that need it are skipped and say why; with `CI=true` they fail instead.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PROGRAMS = "initdb", "pg_ctl", "createdb"
HOLDER = "fastsoy"
_numbers = count(1)

# The shell outlives no test session: its input ends with pytest, however that ends, and it stops the server then.
SERVE = """
set -e
initdb="$1" pg_ctl="$2" folder="$3" owner="$4"
"$initdb" --pgdata="$folder/data" --username="$owner" --auth=trust --encoding=UTF8 --no-locale --no-sync >"$folder/log"
"$pg_ctl" start --wait --silent --pgdata="$folder/data" --log="$folder/log" \\
    -o "-k $folder -c listen_addresses= -c fsync=off -c max_connections=250"
trap : INT TERM
echo ready
cat >/dev/null || :
"$pg_ctl" stop --silent --mode=immediate --pgdata="$folder/data"
rm -rf "$folder/data"
"""


@dataclass(frozen=True, slots=True)
class Database:
    """An empty database on the session's server.

    Args:
        folder: the server's socket is there.
        name: the database's.
    """

    folder: Path
    name: str

    @property
    def credentials(self) -> Mapping[str, object]:
        """Return what asyncpg, and Tortoise's configuration, take."""
        return {"host": str(self.folder), "port": 5432, "user": HOLDER, "database": self.name}

    @property
    def url(self) -> str:
        """Return what SQLAlchemy takes."""
        return f"postgresql+asyncpg://{HOLDER}@/{self.name}?host={self.folder}"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Path]:
    """Start the server; it is stopped, and its folder removed, with the session."""
    programs = [_found(program) for program in PROGRAMS]
    owner = _unprivileged()
    # pytest's own temporary folders are closed to other users, and too deep for a socket's path.
    with tempfile.TemporaryDirectory(prefix="fastsoy-postgresql-") as name:
        folder = Path(name)
        if owner:
            shutil.chown(folder, owner.pw_uid, owner.pw_gid)
        server = subprocess.Popen(
            ["/bin/sh", "-c", SERVE, "sh", *programs[:2], name, HOLDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
        )
        with server:
            assert server.stdout
            if server.stdout.readline() != "ready\n":
                _missing(f"the PostgreSQL server did not start:\n{server.communicate()[1]}{_read(folder / 'log')}")
            yield folder
            server.communicate("")


@pytest.fixture
def new_postgresql(postgresql_server: Path) -> Callable[[], Database]:
    """Return what creates an empty database."""

    def create() -> Database:
        database = Database(postgresql_server, f"test_{next(_numbers)}")
        command = [_found("createdb"), "--host", str(postgresql_server), "--username", HOLDER, database.name]
        subprocess.run(command, check=True, capture_output=True)
        return database

    return create


def _found(program: str) -> str:
    """Return the path of one of the server's programs, which Debian keeps off the search path."""
    newest_first = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    candidates = [shutil.which(program), *map(str, newest_first)]
    return next((each for each in candidates if each), None) or _missing(
        f"PostgreSQL's {program} is neither on the search path nor in /usr/lib/postgresql/*/bin: "
        "install the server, such as with `apt-get install postgresql`"
    )


def _unprivileged() -> pwd.struct_passwd | None:
    """Return the user to run the server as, which refuses to run as root; None for the present one."""
    if os.geteuid():
        return None
    users = {user.pw_name: user for user in pwd.getpwall()}
    return users.get("postgres") or users.get("nobody") or _missing("root needs a user to run PostgreSQL as: postgres")


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
