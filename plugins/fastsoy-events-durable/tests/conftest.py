"""An application with durable handlers: on each ORM and each database, with a bus that holds nothing else."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import tomllib
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from fastsoy_events_durable import Durable
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from tortoise import fields
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.connection import get_connection
from tortoise.context import TortoiseContext
from tortoise.models import Model

from fastsoy_events import bus, load_plugins
from fastsoy_events.contrib import sqlalchemy as with_sqlalchemy
from fastsoy_events.contrib import tortoise as with_tortoise

pytest.register_assert_rewrite("tests.databases")

from tests.databases import PostgresqlStore, SqliteStore, Store, opened  # noqa: E402
from tests.postgresql import Database, new_postgresql, postgresql_server  # noqa: E402, F401 - two are fixtures

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from fastsoy_events import EventBus, PluginBus

FOLDER = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]
GROUP = "fastsoy.event_handlers"
BACKENDS = ("sqlalchemy-sqlite", "sqlalchemy-postgresql", "tortoise-sqlite", "tortoise-postgresql")
TABLE = "fastsoy_events_publication"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that has the plugin's metadata, so that it does not matter whether pip installed it."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / f"fastsoy_events_durable-{PROJECT['version']}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {PROJECT['name']}\nVersion: {PROJECT['version']}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    lines = (f"{name} = {target}\n" for name, target in PROJECT["entry-points"][GROUP].items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{''.join(lines)}", encoding="utf-8")
    return folder


@pytest.fixture
def empty_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[EventBus]:
    """Empty the default bus for one test; nothing is loaded."""
    for name in ("FASTSOY_EVENTS_ALLOWED", "FASTSOY_EVENTS_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    with bus.isolated() as emptied:
        yield emptied


@pytest.fixture
def loaded(empty_bus: EventBus, installed: Path) -> PluginBus:
    """Load the plugin alone."""
    load_plugins(path=[installed], strict=True)
    return bus


class Unit(Protocol):
    """What one request works with."""

    def atomic(self) -> AbstractAsyncContextManager[Any]:
        """Open a transaction, or a savepoint in it."""

    async def insert(self, name: str) -> None:
        """Write a person, at once."""


class Session(Unit):
    def __init__(self, session: Any) -> None:
        self.session = session

    def atomic(self) -> AbstractAsyncContextManager[Any]:
        return with_sqlalchemy.atomic(self.session)

    async def insert(self, name: str) -> None:
        await insert_person(self.session, name)


class Connected(Unit):
    def atomic(self) -> AbstractAsyncContextManager[Any]:
        return with_tortoise.atomic()

    async def insert(self, name: str) -> None:
        await insert_person(get_connection("default"), name)


class Person(Model):
    id = fields.IntField(primary_key=True)
    name = fields.CharField(max_length=100)

    class Meta:
        table = "person"


async def run_in(tx: Any, statement: str) -> None:
    """Run a statement with what a handler with `tx=True` is given."""
    await (tx.execute_query(statement) if hasattr(tx, "execute_query") else tx.execute(text(statement)))


async def insert_person(tx: Any, name: str, manager_id: int | None = None) -> None:
    """Write a person, with what a handler with `tx=True` is given."""
    manager = "NULL" if manager_id is None else str(manager_id)
    await run_in(tx, f"INSERT INTO person (name, manager_id) VALUES ('{name}', {manager})")  # noqa: S608 - the tests' own names


@pytest.fixture
def insert() -> Callable[..., Any]:
    """Return what writes a person with what a handler with `tx=True` is given."""
    return insert_person


@dataclass
class Application:
    """One with a database, whose durable handlers the test declares.

    Args:
        store: looks at what is committed, through a connection of its own.
        make: returns a `Durable` of the database.
        unit: begins what one request works with.
    """

    store: Store
    make: Callable[..., Durable]
    unit: Callable[[], AbstractAsyncContextManager[Unit]]
    durable: Durable = field(init=False)

    def __post_init__(self) -> None:
        self.durable = self.make()

    @property
    def is_sqlite(self) -> bool:
        return isinstance(self.store, SqliteStore)

    async def rows(self, columns: str = "handler || ' ' || status", table: str = TABLE) -> list[str]:
        """Return what is committed of the publications, oldest first."""
        return await self.store.run(f"SELECT {columns} FROM {table} ORDER BY sequence")  # noqa: S608 - the tests' own

    async def until(self, columns: str, condition: Callable[[list[str]], bool]) -> None:
        """Wait until a condition holds of what is committed."""
        async with asyncio.timeout(60):
            while not condition(await self.rows(columns)):  # noqa: ASYNC110 - a database tells nobody what has changed
                await asyncio.sleep(0.01)

    async def change(self, values: str, where: str = "1 = 1") -> None:
        """Change publications as nobody but a test does."""
        await self.store.run(f"UPDATE {TABLE} SET {values} WHERE {where} RETURNING sequence")  # noqa: S608 - likewise


@dataclass
class Seen:
    """What handlers have seen, to be waited for."""

    values: list[Any] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def add(self, value: object) -> None:
        async with self._changed:
            self.values.append(value)
            self._changed.notify_all()

    async def count(self, wanted: int) -> list[Any]:
        """Wait until so many have been seen."""
        return await self.until(lambda values: len(values) >= wanted)

    async def until(self, condition: Callable[[list[Any]], bool]) -> list[Any]:
        """Wait until a condition holds of what has been seen."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: condition(self.values))
        return self.values


class Said(logging.Handler):
    """What is logged, to be waited for."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self._seen = seen
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        asyncio.run_coroutine_threadsafe(self._seen.add(record.getMessage()), self._loop)

    async def has(self, text: str) -> None:
        """Wait until a message has a text in it."""
        await self._seen.until(lambda messages: any(text in message for message in messages))


@pytest.fixture
async def said() -> AsyncIterator[Said]:
    """Return what waits for what durable handlers log."""
    handler = Said(Seen())
    logger = logging.getLogger("fastsoy_events.durable")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture
def seen() -> Seen:
    """Return what handlers tell what they have seen."""
    return Seen()


@pytest.fixture(params=BACKENDS)
async def application(request: pytest.FixtureRequest, tmp_path: Path, loaded: PluginBus) -> AsyncIterator[Application]:
    """Open an application on each ORM and each database, with its tables."""
    orm, _, kind = request.param.partition("-")
    async with opened(request, kind, tmp_path) as store, CONNECTED[orm](store) as application:
        await application.durable.migrate()
        yield application


@pytest.fixture
async def sqlite(request: pytest.FixtureRequest, tmp_path: Path, loaded: PluginBus) -> AsyncIterator[Application]:
    """Open an application on SQLAlchemy and SQLite, for what is the same on all."""
    async with opened(request, "sqlite", tmp_path) as store, on_sqlalchemy(store) as application:
        await application.durable.migrate()
        yield application


@dataclass(frozen=True, slots=True)
class Limited(Database):
    """A database as a user sees it who may use its tables, and create none."""

    @property
    def user(self) -> str:
        return f"user_of_{self.name}"

    @property
    def credentials(self) -> Mapping[str, object]:
        return {"host": str(self.folder), "port": 5432, "user": self.user, "database": self.name}

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://{self.user}@/{self.name}?host={self.folder}"


@pytest.fixture(params=["sqlalchemy", "tortoise"])
async def limited(request: pytest.FixtureRequest, tmp_path: Path, loaded: PluginBus) -> AsyncIterator[Application]:
    """Open an application whose user on PostgreSQL may not create tables; somebody else has made them."""
    async with opened(request, "postgresql", tmp_path) as store:
        assert isinstance(store, PostgresqlStore)
        database = Limited(store.database.folder, store.database.name)
        maker = Durable(store.database.url)
        await maker.migrate()
        await maker.close()
        for statement in (
            f"CREATE ROLE {database.user} LOGIN",
            "REVOKE CREATE ON SCHEMA public FROM public",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {database.user}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {database.user}",
        ):
            await store.run(statement)
        async with CONNECTED[request.param](PostgresqlStore(database, store.pool)) as application:
            yield application


@asynccontextmanager
async def on_sqlalchemy(store: Store) -> AsyncIterator[Application]:
    if isinstance(store, SqliteStore):
        engine = create_async_engine(f"sqlite+aiosqlite:///{store.file}", connect_args={"timeout": 60})

        @event.listens_for(engine.sync_engine, "connect")
        def check_foreign_keys(connection: Any, _: object) -> None:
            connection.execute("PRAGMA foreign_keys=ON")

    else:
        assert isinstance(store, PostgresqlStore)
        engine = create_async_engine(store.database.url)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def unit() -> AsyncIterator[Unit]:
        async with sessions() as session:
            yield Session(session)

    yield Application(store, lambda **options: Durable(engine, **options), unit)
    await engine.dispose()


@asynccontextmanager
async def on_tortoise(store: Store) -> AsyncIterator[Application]:
    EXECUTOR_CACHE.clear()  # which has each table's INSERT by the connection's name, whatever database that is
    if isinstance(store, SqliteStore):
        settings: dict[str, Any] = {"engine": "tortoise.backends.sqlite", "credentials": {"file_path": str(store.file)}}
    else:
        assert isinstance(store, PostgresqlStore)
        credentials = {**store.database.credentials, "maxsize": 5}
        settings = {"engine": "tortoise.backends.asyncpg", "credentials": credentials}

    @asynccontextmanager
    async def unit() -> AsyncIterator[Unit]:
        yield Connected()

    async with AsyncExitStack() as stack:
        context = await stack.enter_async_context(TortoiseContext())
        apps = {"people": {"models": [__name__], "default_connection": "default"}}
        await context.init(config={"connections": {"default": settings}, "apps": apps})
        yield Application(store, lambda **options: Durable.tortoise(**options), unit)


CONNECTED: dict[str, Callable[[Store], AbstractAsyncContextManager[Application]]] = {
    "sqlalchemy": on_sqlalchemy,
    "tortoise": on_tortoise,
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty folder on `sys.path`; what is imported from it is forgotten afterwards."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder = tmp_path / "others"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    importlib.invalidate_caches()
