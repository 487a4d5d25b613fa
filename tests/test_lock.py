"""Locks: what a lock file holds, what differs between two, and that only what was reviewed starts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import pickle
import re
import stat
import subprocess
import sys
import textwrap
from dataclasses import replace
from enum import Enum
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastsoy_events import (
    AlreadyLoadedError,
    EventsError,
    LockError,
    PluginLoadError,
    _compare,
    _lock,
    _review,
    _signature,
    bus,
    emit,
    event,
    events,
    handlers,
    load_plugins,
    on,
    plugins,
)
from fastsoy_events._lock import Lock, LockedContract, LockedEvent, LockedHandler, LockedPlugin
from tests.command_line import environment, on_terminal, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from conftest import Site

    from fastsoy_events import LoadReport

STAGES = (_compare, _lock, _review, _signature)  # imported before any test, for the same reason as in conftest
CREATED = "employee.created"
HANDLER = f"""
from fastsoy_events import on

@on("{CREATED}")
def handle(employee_id, calls=None, **_):
    if calls is not None:
        calls.append(__name__)
"""
CONTRACT = f"""
from fastsoy_events import event

@event("{CREATED}")
def employee_created(*, employee_id: int) -> None: ...
"""
BOMB = "raise SystemExit(f'{__name__} was imported')\n"


def install(site: Site, *names: str, source: str = HANDLER, version: str = "1.0") -> None:
    """Install `acme-<name>` with the entry point `<name>` for `acme_<name>`."""
    for name in names:
        for stale in site.folder.glob(f"acme_{name}-*.dist-info"):
            for file in stale.iterdir():
                file.unlink()
            stale.rmdir()
        site.install(f"acme-{name}", {name: f"acme_{name}"}, {f"acme_{name}": source}, version=version)


def load(site: Site, **arguments: Any) -> LoadReport:
    return load_plugins(path=[site.folder], **arguments)


def forget_plugins() -> None:
    """Have the plugins' modules run again when they are next imported."""
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


@pytest.fixture
def locked(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return what writes the lock of what is installed, and leaves no trace of having loaded it."""
    monkeypatch.delenv("FASTSOY_EVENTS_LOCK", raising=False)

    def lock(**arguments: Any) -> Path:
        with bus.isolated():
            contents = _lock.as_text(_lock.lock_of(load(site, **arguments), events()))
        forget_plugins()
        file = site.folder.parent / "events.lock.json"
        file.write_text(contents, encoding="utf-8")
        return file

    return lock


def refusal(site: Site, file: Path, **arguments: Any) -> LockError:
    """Load, and return the error; whatever it is, no plugin takes part."""
    with pytest.raises(LockError) as raised:
        load(site, lock=file, **arguments)
    assert served() == []
    assert not any(handler.distribution for handler in handlers())
    assert "loaded" not in {plugin.status for plugin in plugins()}
    return raised.value


def messages(error: LockError) -> list[str]:
    return [each.message for each in error.differences]


def kinds(error: LockError) -> list[str]:
    return [each.kind for each in error.differences]


def statuses() -> dict[str, str]:
    return {plugin.name: plugin.status for plugin in plugins()}


def served() -> list[str]:
    """Emit, and return the modules of the handlers that ran."""
    calls: list[str] = []
    asyncio.run(emit(CREATED, employee_id=1, calls=calls)).raise_if_any()
    return calls


def imported() -> set[str]:
    return {name for name in sys.modules if name.startswith("acme_")}


# What a lock holds


def test_a_lock_holds_the_plugins_and_each_events_contract_and_handlers_in_order(
    site: Site, locked: Callable[..., Path]
) -> None:
    install(site, "audit", "mail")
    install(site, "hr", source=CONTRACT)
    document = json.loads(locked().read_text())
    assert list(document) == ["schema", "fingerprint", "plugins", "events"]
    assert document["schema"] == 1
    assert document["fingerprint"] == load(site).fingerprint
    assert [list(each.values()) for each in document["plugins"]] == [
        ["acme-audit", "1.0", "audit", "acme_audit"],
        ["acme-hr", "1.0", "hr", "acme_hr"],
        ["acme-mail", "1.0", "mail", "acme_mail"],
    ]
    [(name, locked_event)] = document["events"].items()
    contract = locked_event["contract"]
    assert name == CREATED
    assert re.fullmatch("[0-9a-f]{12}", contract.pop("contract_hash"))
    assert contract == {"distribution": "acme-hr", "entry_point": "hr", "signature": "(*, employee_id: int)"}
    assert [each["id"] for each in locked_event["handlers"]] == [each.id for each in handlers()]
    assert locked_event["handlers"][0] == {
        "id": "acme-audit:audit:acme_audit:handle",
        "distribution": "acme-audit",
        "version": "1.0",
        "entry_point": "audit",
        "signature": "(employee_id, calls=..., **_)",
        "signature_hash": locked_event["handlers"][1]["signature_hash"],
    }


def test_what_the_host_declares_is_not_in_it(site: Site, locked: Callable[..., Path]) -> None:
    install(site, "mail")
    alone = locked().read_text()

    on(CREATED)(lambda **_: None)
    on("order.placed")(lambda **_: None)

    @event(CREATED)
    def employee_created(*, employee_id: int) -> None: ...

    @event("order.refunded")
    def order_refunded(*, order_id: int) -> None: ...

    with_the_host = _lock.as_text(_lock.lock_of(load(site), events()))
    assert with_the_host == alone
    assert {contract.name for contract in events()} == {CREATED, "order.refunded"}


def test_it_is_the_same_wherever_and_whenever_it_is_made(tmp_path: Path, site: Site) -> None:
    source = """
    from typing import Annotated
    from fastsoy_events import event, on

    class Limit: ...

    @on("order.placed")
    def handle(amount: Annotated[int, Limit(), {"a", "b", "c"}], default=object(), *, of=Limit()): ...

    @event("order.placed")
    def order_placed(*, amount: Annotated[int, Limit()] = Limit()) -> None: ...

    for name in "abc":
        on(f"order.{name}ed")(lambda **_: None)
    """
    site.install("acme-shop", {"shop": "acme_shop"}, {"acme_shop": source})
    elsewhere = tmp_path / "elsewhere"
    site.folder.rename(elsewhere)
    contents = set()
    for folder, seed in ((tmp_path / "there", "1"), (tmp_path / "here", "2")):
        elsewhere.rename(folder)
        elsewhere = folder
        assert run(tmp_path, "lock", "--path", str(folder), PYTHONHASHSEED=seed).returncode == 0
        contents.add((tmp_path / "events.lock.json").read_text())
    [text] = contents
    assert not re.search(r"0x|/|here", text)
    assert text.endswith("}\n")
    assert json.dumps(json.loads(text), indent=2) + "\n" == text
    assert list(json.loads(text)["events"]) == ["order.aed", "order.bed", "order.ced", "order.placed"]


class Colour(Enum):
    RED = 1


class Opaque:
    """Its repr holds an address."""


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        ("Decimal | None", "Decimal | None"),
        (None, "None"),
        (Path, "Path"),
        (Colour, "Colour"),
        (int | None, "int | None"),
        (dict[str, list[Path]], "dict[str, list[Path]]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Any, "Any"),
        (Literal["a", 1, Colour.RED], "Literal['a', 1, Colour.RED]"),
        (Annotated[int, Opaque(), "cents"], "Annotated[int, Opaque(...), 'cents']"),
        (Opaque(), "Opaque(...)"),
        (functools.partial(print), "partial(...)"),
    ],
)
def test_an_annotation_is_shown_without_what_differs_from_run_to_run(annotation: Any, text: str) -> None:
    def handle(value=None): ...  # type: ignore[no-untyped-def]

    handle.__annotations__["value"] = annotation
    assert shown(handle) == f"(value: {text} = ...)"


def shown(function: Callable[..., object]) -> str:
    import inspect

    return _signature.signature_text(lambda: inspect.signature(function, follow_wrapped=False))


def test_a_generic_callable_is_shown_with_its_parameters() -> None:
    from collections.abc import Callable as AnyCallable
    from typing import Optional, TypeVar

    item = TypeVar("item")

    def handle(a: AnyCallable[[int, str], None], b: AnyCallable[..., item], c: Optional["Path"]) -> None: ...  # noqa: UP045, UP037

    handle.__annotations__ = {
        "a": AnyCallable[[int, str], None],
        "b": AnyCallable[..., item],
        "c": Optional["Path"],
    }
    assert shown(handle) == "(a: Callable[[int, str], None], b: Callable[..., item], c: Path | None)"


def test_a_callable_that_tells_no_signature_has_one_all_the_same() -> None:
    class Rude:
        @property
        def __signature__(self) -> object:
            raise OSError("go away")

        def __call__(self, **_: object) -> None: ...

    assert shown(Rude()) == "(...)"
    assert shown(dict) == "(...)"


# Files


def test_a_missing_lock_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LockError) as raised:
        _lock.read(str(tmp_path / "missing.json"))
    assert str(raised.value) == (
        f"the lock file {tmp_path}/missing.json cannot be used: No such file or directory. "
        "Restore it, or write it with fastsoy-events lock"
    )
    assert raised.value.differences == ()


def valid() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_lock.as_text(REVIEWED))
    return document


BROKEN = {
    "empty": (b"", "it is not JSON (line 1: "),
    "not JSON": (b'{"schema": 1,\n', "it is not JSON (line 2: "),
    "not UTF-8": (b'{"schema": "\xff"}', "it is not UTF-8 (byte 12)"),
    "a byte-order mark": (b'\xef\xbb\xbf{"schema": 1}', "it is not JSON (line 1: "),
    "a list": (b"[]", "the file is no JSON object"),
    "null bytes": (b"\0" * 100, "it is not JSON (line 1: "),
    "no schema": (b"{}", "its schema is 'None', and this version of fastsoy-events reads 1"),
    "a later schema": (b'{"schema": 2}', "its schema is '2', and this version of fastsoy-events reads 1"),
    "a schema that is true": (b'{"schema": true}', "its schema is 'True'"),
    "a huge number": (b'{"schema": ' + b"1" * 5000 + b"}", "Exceeds the limit"),
    "deeply nested": (b"[" * 1_000_000, "it is nested too deeply"),
    "deeply nested objects": (b'{"a":' * 1_000_000, "it is nested too deeply"),
    "huge": (b" " * (_lock.LARGEST_FILE + 1), f"it is larger than {_lock.LARGEST_FILE} bytes"),
    "no plugins": (b'{"schema": 1}', "it has no list 'plugins'"),
    "a name twice": (b'{"schema": 1, "schema": 1}', "one object names 'schema' twice"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_lock_file_is_one_line(tmp_path: Path, name: str) -> None:
    contents, reason = BROKEN[name]
    file = tmp_path / "events.lock.json"
    file.write_bytes(contents)
    with pytest.raises(LockError) as raised:
        _lock.read(str(file))
    message = str(raised.value)
    assert message.startswith(f"the lock file {file} cannot be used: {reason}")
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda it: it.update(fingerprint=None), "it has no text 'fingerprint'"),
        (lambda it: it.update(events=[]), "events is no JSON object"),
        (lambda it: it["plugins"].append(1), "plugins[2] is no JSON object"),
        (lambda it: it["plugins"][0].update(version=1), "plugins[0] has no text 'version'"),
        (lambda it: it["plugins"].append(it["plugins"][0]), "plugins names \"('acme-audit', 'audit')\" twice"),
        (lambda it: it["events"].update({"a.b": {}}), "the event 'a.b' has no 'contract', not even null"),
        (lambda it: it["events"][CREATED].update(handlers={}), f"the event '{CREATED}' has no list 'handlers'"),
        (
            lambda it: it["events"].update({"a.b": {"contract": None, "handlers": []}}),
            "the event 'a.b' has neither a contract nor a handler",
        ),
        (
            lambda it: it["events"][CREATED]["contract"].update(signature=[]),
            f"the event '{CREATED}', contract, has no text 'signature'",
        ),
        (
            lambda it: it["events"][CREATED]["handlers"][1].pop("id"),
            f"the event '{CREATED}', handlers[1], has no text 'id'",
        ),
        (
            lambda it: it["events"][CREATED]["handlers"].append(it["events"][CREATED]["handlers"][0]),
            f"the event '{CREATED}' names 'acme-audit:audit:acme_audit:handle' twice",
        ),
    ],
)
def test_a_lock_of_a_wrong_shape_is_refused_with_the_place(
    tmp_path: Path, change: Callable[[Any], None], reason: str
) -> None:
    document = valid()
    change(document)
    file = tmp_path / "events.lock.json"
    file.write_text(json.dumps(document))
    with pytest.raises(LockError, match=re.escape(f"cannot be used: {reason}. Restore")):
        _lock.read(str(file))


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place, reason in (
        (str(pipe), "it is no regular file"),
        (str(tmp_path), "Is a directory"),
        ("/dev/zero", "it is no regular file"),
        ("a\0b", "embedded null byte"),
        ("\ud800", "'utf-8' codec can't encode"),
    ):
        with pytest.raises(LockError, match=reason):
            _lock.read(place)


def test_what_the_file_says_cannot_write_to_a_terminal() -> None:
    nasty = replace(REVIEWED, fingerprint="\x1b[2Jbad\r\n\ud800\u202e" + "x" * 10_000)
    [found] = _compare.difference(nasty, REVIEWED)
    assert found.message.isprintable()
    assert len(found.message) < 3000


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda it: st.lists(it) | st.dictionaries(st.text(), it)
    )
)
def test_whatever_json_stands_in_it_is_a_lock_or_refused(value: Any) -> None:
    for document in (value, {**valid(), "plugins": value}, {**valid(), "events": value}):
        with contextlib.suppress(ValueError):
            assert isinstance(_lock._parsed(json.dumps(document)), Lock)


# In what two locks differ


def plugin(name: str, **changes: str) -> LockedPlugin:
    usual = {"distribution": f"acme-{name}", "version": "1.0", "entry_point": name, "module": f"acme_{name}"}
    return LockedPlugin(**{**usual, **changes})


def handler(name: str, qualname: str = "handle", **changes: str) -> LockedHandler:
    usual = {
        "id": f"acme-{name}:{name}:acme_{name}:{qualname}",
        "distribution": f"acme-{name}",
        "version": "1.0",
        "entry_point": name,
        "signature": "(**_)",
        "signature_hash": "h1",
    }
    return LockedHandler(**{**usual, **changes})


def contract(name: str, **changes: str) -> LockedContract:
    usual = {
        "distribution": f"acme-{name}",
        "entry_point": name,
        "signature": "(*, employee_id: int)",
        "contract_hash": "c1",
    }
    return LockedContract(**{**usual, **changes})


REVIEWED = Lock(
    fingerprint="f1",
    plugins=(plugin("audit"), plugin("payroll")),
    events={
        CREATED: LockedEvent(
            contract=contract("audit"), handlers=(handler("audit"), handler("payroll", "book"), handler("payroll"))
        ),
        "order.placed": LockedEvent(contract=None, handlers=(handler("payroll"),)),
    },
)


def with_event(lock: Lock, name: str, **changes: Any) -> Lock:
    return replace(lock, events={**lock.events, name: replace(lock.events[name], **changes)})


AUDIT, BOOK, PAY = REVIEWED.events[CREATED].handlers
SENTENCES: dict[str, tuple[Lock, list[str]]] = {
    "a new plugin": (
        replace(REVIEWED, plugins=(*REVIEWED.plugins, plugin("mail", version="1.3"))),
        ["plugin-added: acme-mail 1.3 is new, with the entry point mail for acme_mail"],
    ),
    "a plugin that is gone": (
        replace(REVIEWED, plugins=REVIEWED.plugins[:1]),
        ["plugin-removed: acme-payroll 1.0 is gone, with its entry point payroll for acme_payroll"],
    ),
    "another version, said once": (
        replace(
            with_event(
                with_event(REVIEWED, CREATED, handlers=(AUDIT, *(replace(it, version="1.3") for it in (BOOK, PAY)))),
                "order.placed",
                handlers=(replace(PAY, version="1.3"),),
            ),
            plugins=(plugin("audit"), plugin("payroll", version="1.3")),
        ),
        ["version-changed: acme-payroll is 1.3, and was 1.0"],
    ),
    "an entry point for another module": (
        replace(REVIEWED, plugins=(plugin("audit"), plugin("payroll", module="acme_new"))),
        ["module-changed: acme-payroll 1.0 moves its entry point payroll to acme_new, from acme_payroll"],
    ),
    "plugins in another order": (
        replace(REVIEWED, plugins=REVIEWED.plugins[::-1]),
        ["plugin-moved: acme-payroll:payroll is #1 of the plugins, before acme-audit:audit, and was #2"],
    ),
    "a handler in between": (
        with_event(REVIEWED, CREATED, handlers=(AUDIT, handler("payroll", "on_hire", version="1.3"), BOOK, PAY)),
        [
            "handler-added: acme-payroll 1.3 puts acme-payroll:payroll:acme_payroll:on_hire at #2 of employee.created, "
            "before acme-payroll:payroll:acme_payroll:book"
        ],
    ),
    "the first handler of an event": (
        replace(REVIEWED, events={**REVIEWED.events, "a.b": LockedEvent(contract=None, handlers=(PAY,))}),
        ["handler-added: acme-payroll 1.0 puts acme-payroll:payroll:acme_payroll:handle at #1 of a.b, alone"],
    ),
    "a handler that is gone": (
        with_event(REVIEWED, CREATED, handlers=(AUDIT, PAY)),
        [
            "handler-removed: employee.created loses acme-payroll:payroll:acme_payroll:book of acme-payroll 1.0, "
            "which was #2"
        ],
    ),
    "a handler that now comes last": (
        with_event(REVIEWED, CREATED, handlers=(BOOK, PAY, AUDIT)),
        [
            "handler-moved: acme-audit 1.0 puts acme-audit:audit:acme_audit:handle at #3 of employee.created, after "
            "acme-payroll:payroll:acme_payroll:handle, and it was #1"
        ],
    ),
    "another signature": (
        with_event(REVIEWED, "order.placed", handlers=(replace(PAY, signature="(order_id)", signature_hash="h2"),)),
        [
            "signature-changed: acme-payroll 1.0 changes acme-payroll:payroll:acme_payroll:handle of order.placed to "
            "(order_id), from (**_)"
        ],
    ),
    "a new contract": (
        with_event(REVIEWED, "order.placed", contract=contract("payroll", signature="(*, order_id)")),
        ["contract-added: acme-payroll 1.0 gives order.placed the contract (*, order_id)"],
    ),
    "a contract that is gone": (
        with_event(REVIEWED, CREATED, contract=None),
        ["contract-removed: employee.created loses the contract of acme-audit 1.0, which was (*, employee_id: int)"],
    ),
    "another contract": (
        with_event(REVIEWED, CREATED, contract=contract("audit", signature="(*, employee: int)", contract_hash="c2")),
        [
            "contract-changed: acme-audit 1.0 changes the contract of employee.created to (*, employee: int), from "
            "(*, employee_id: int)"
        ],
    ),
    "a contract of another plugin": (
        with_event(REVIEWED, CREATED, contract=contract("payroll")),
        [
            "contract-moved: the contract of employee.created is that of acme-payroll:payroll, and was that of "
            "acme-audit:audit"
        ],
    ),
    "another fingerprint alone": (
        replace(REVIEWED, fingerprint="f2"),
        ["fingerprint-changed: the fingerprint is f2, and was f1"],
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_each_difference_is_one_sentence_for_a_reviewer(name: str) -> None:
    now, sentences = SENTENCES[name]
    assert [f"{each.kind}: {each}" for each in _compare.difference(REVIEWED, now)] == sentences


def test_another_order_explains_another_fingerprint() -> None:
    now = replace(SENTENCES["a handler that is gone"][0], fingerprint="f2")
    assert [each.kind for each in _compare.difference(REVIEWED, now)] == ["handler-removed"]


names = st.text("ab:.-", min_size=1, max_size=3)
hashes = st.text("01", min_size=1, max_size=2)


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    owners = draw(st.lists(st.tuples(names, names), min_size=1, max_size=4, unique_by=lambda it: f"{it[0]}:{it[1]}"))
    plugins = [
        LockedPlugin(distribution=first, version=draw(hashes), entry_point=second, module=draw(names))
        for first, second in owners
    ]
    return Lock(fingerprint=draw(hashes), plugins=tuple(plugins), events=dict(draw(locked_events(plugins))))


@st.composite
def locked_events(draw: st.DrawFn, plugins: Sequence[LockedPlugin]) -> list[tuple[str, LockedEvent]]:
    owner = st.sampled_from(plugins)
    events = []
    for name in sorted(draw(st.sets(names, max_size=3))):
        ids = draw(st.lists(names, max_size=4, unique=True))
        found = [draw(handlers_of(owner, each)) for each in ids]
        declared = draw(st.none() | contracts_of(owner))
        if found or declared:
            events.append((name, LockedEvent(contract=declared, handlers=tuple(found))))
    return events


def handlers_of(owner: st.SearchStrategy[LockedPlugin], identifier: str) -> st.SearchStrategy[LockedHandler]:
    def made(plugin: LockedPlugin, signature: str, signature_hash: str) -> LockedHandler:
        return LockedHandler(
            id=identifier,
            distribution=plugin.distribution,
            version=plugin.version,
            entry_point=plugin.entry_point,
            signature=signature,
            signature_hash=signature_hash,
        )

    return st.builds(made, owner, names, hashes)


def contracts_of(owner: st.SearchStrategy[LockedPlugin]) -> st.SearchStrategy[LockedContract]:
    def made(plugin: LockedPlugin, signature: str, contract_hash: str) -> LockedContract:
        return LockedContract(
            distribution=plugin.distribution,
            entry_point=plugin.entry_point,
            signature=signature,
            contract_hash=contract_hash,
        )

    return st.builds(made, owner, names, hashes)


@settings(deadline=None)
@given(locks())
def test_a_lock_does_not_differ_from_itself_and_comes_back_from_its_text(lock: Lock) -> None:
    assert _compare.difference(lock, lock) == ()
    assert _lock._parsed(_lock.as_text(lock)) == lock


def texts_in(value: Any, *path: str | int) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield each text of a document, with the way to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from texts_in(each, *path, name)
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from texts_in(each, *path, place)


def things_of(path: tuple[str | int, ...], document: Any) -> set[str]:
    """Return what a message about the text at the end of a path must name one of."""
    if path[0] == "fingerprint":
        return {document["fingerprint"]}
    if path[0] == "plugins":
        owner = document["plugins"][path[1]]
        return {owner["distribution"]}
    return {str(path[1])}


@settings(deadline=None)
@given(locks(), st.data())
def test_any_text_that_changes_is_a_difference_that_names_what_it_is_about(lock: Lock, data: st.DataObject) -> None:
    document = json.loads(_lock.as_text(lock))
    path, before = data.draw(st.sampled_from(list(texts_in(document))))
    named = things_of(path, document)
    owner = document
    for step in path[:-1]:
        owner = owner[step]
    owner[path[-1]] = data.draw((names | hashes).filter(lambda it: it != before))
    try:
        now = _lock._parsed(json.dumps(document))
    except ValueError as error:
        assert "twice" in str(error)  # noqa: PT017 - two plugins or two handlers have one id now
        return
    for one, other in ((lock, now), (now, lock)):
        found = _compare.difference(one, other)
        assert any(name in each.message for each in found for name in named)


@settings(deadline=None)
@given(locks(), st.data())
def test_any_two_that_change_places_are_a_difference_that_names_one_of_them(lock: Lock, data: st.DataObject) -> None:
    lists = [(None, [each.id for each in lock.plugins])]
    lists += [(name, [each.id for each in lock.events[name].handlers]) for name in lock.events]
    pairs = [(event, pair) for event, ids in lists for pair in combinations(range(len(ids)), 2)]
    if not pairs:
        return
    event, (one, other) = data.draw(st.sampled_from(pairs))
    if event is None:
        now = replace(lock, plugins=swapped(lock.plugins, one, other))
        ids = lock.plugins[one].id, lock.plugins[other].id
    else:
        of_event = lock.events[event].handlers
        now = with_event(lock, event, handlers=swapped(of_event, one, other))
        ids = of_event[one].id, of_event[other].id
    found = _compare.difference(lock, now)
    assert found
    assert {each.event for each in found} == {event or ""}
    assert any(name in each.message for each in found for name in ids)


def swapped(items: tuple[Any, ...], one: int, other: int) -> tuple[Any, ...]:
    changed = list(items)
    changed[one], changed[other] = changed[other], changed[one]
    return tuple(changed)


@settings(deadline=None)
@given(locks(), st.data())
def test_anything_that_is_added_or_left_out_is_a_difference_that_names_it(lock: Lock, data: st.DataObject) -> None:
    mutations: list[tuple[Lock, str]] = [
        (replace(lock, plugins=tuple(it for it in lock.plugins if it is not each)), each.distribution)
        for each in lock.plugins
    ]
    for name, of_name in lock.events.items():
        others = {other: each for other, each in lock.events.items() if other != name}
        mutations.append((replace(lock, events=others), name))
        if of_name.contract:
            mutations.append((with_event(lock, name, contract=None), name))
        mutations += [
            (with_event(lock, name, handlers=tuple(it for it in of_name.handlers if it is not each)), each.id)
            for each in of_name.handlers
        ]
    now, thing = data.draw(st.sampled_from(mutations))
    assert any(thing in each.message for each in _compare.difference(lock, now))
    assert any(thing in each.message for each in _compare.difference(now, lock))


@settings(deadline=None)
@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
@example([1, 0, 2, 3, 4, 5], set())
def test_no_more_handlers_are_said_to_move_than_have_to(order: list[int], gone: set[int]) -> None:
    before, now = [str(each) for each in range(6)], [str(each) for each in order if each not in gone]
    moved = _compare._moved(before, now)
    stay = [each for each in now if each not in moved]
    assert stay == sorted(stay)
    assert len(stay) == max(
        count for count in range(len(now) + 1) for kept in combinations(now, count) if list(kept) == sorted(kept)
    )


def test_two_locks_of_ten_thousand_handlers_in_reverse_order_are_compared_quickly() -> None:
    many = tuple(handler("payroll", f"h{number}") for number in range(10_000))
    found = _compare.difference(
        with_event(REVIEWED, CREATED, handlers=many), with_event(REVIEWED, CREATED, handlers=many[::-1])
    )
    assert len(found) == 9_999  # the time is bounded: nothing here is quadratic, or this would take minutes


# Loading what was reviewed


def test_what_was_reviewed_loads(site: Site, locked: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "audit", "mail")
    install(site, "hr", source=CONTRACT)
    file = locked()
    monkeypatch.chdir(file.parent)
    report = load(site, lock="events.lock.json")
    assert served() == ["acme_audit", "acme_mail"]
    assert report.fingerprint == _lock.read(str(file)).fingerprint
    assert load_plugins() is report
    assert load(site, lock=file) is report
    assert load(site, lock=f"{file.parent}/./events.lock.json") is report
    for other in ({"path": [site.folder]}, {"path": [site.folder], "lock": "other.json"}):
        with pytest.raises(AlreadyLoadedError, match="lock="):
            load_plugins(**other)


def test_the_environment_names_a_lock_too(
    site: Site, locked: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "mail")
    file = locked()
    install(site, "mail", version="1.3")
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("FASTSOY_EVENTS_LOCK", "events.lock.json")
    with pytest.raises(LockError) as raised:
        load(site)
    assert messages(raised.value) == ["acme-mail is 1.3, and was 1.0"]
    assert imported() == set()


def test_the_argument_and_the_environment_may_name_the_same_lock_but_no_other(
    site: Site, locked: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "mail")
    file = locked()
    monkeypatch.setenv("FASTSOY_EVENTS_LOCK", "another.lock.json")
    error = refusal(site, file)
    assert re.search(
        r"two lock files are named, .*events\.lock\.json by load_.* and .*another\.lock\.json by", str(error)
    )
    assert imported() == set()
    monkeypatch.setenv("FASTSOY_EVENTS_LOCK", os.path.relpath(file))
    with bus.isolated():
        load(site, lock=file)
        assert served() == ["acme_mail"]


@pytest.mark.parametrize("by_variable", [True, False])
def test_an_empty_name_is_no_lock_that_is_left_out(
    site: Site, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    install(site, "mail")
    monkeypatch.delenv("FASTSOY_EVENTS_LOCK", raising=False)
    if by_variable:
        monkeypatch.setenv("FASTSOY_EVENTS_LOCK", "")
    with pytest.raises(LockError, match="the lock file has no name"):
        load(site, lock=None if by_variable else "")
    assert imported() == set()


@pytest.mark.parametrize("lock", [1, True, ["events.lock.json"], b"events.lock.json"])
def test_anything_but_a_path_is_refused(site: Site, lock: Any) -> None:
    with pytest.raises(TypeError, match="lock takes the path of one file"):
        load(site, lock=lock)
    assert load(site).plugins == ()


def test_a_lock_file_that_cannot_be_used_lets_nothing_in(site: Site, tmp_path: Path) -> None:
    install(site, "mail", source=BOMB)
    error = refusal(site, tmp_path / "missing.json")
    assert "No such file or directory" in str(error)
    assert error.differences == ()
    assert statuses() == {"mail": "blocked"}


def test_a_working_folder_that_is_gone_has_no_lock_file(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "mail", source=BOMB)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "No such file or directory" in str(refusal(site, Path("events.lock.json")))


def test_what_the_lock_does_not_have_is_blocked_with_a_warning(
    site: Site, locked: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    install(site, "mail")
    file = locked()
    install(site, "extra", source=BOMB)
    site.install("acme-odd", "[fastsoy.event_handlers]\nno equals sign\n")
    report = load(site, lock=file)
    assert [(plugin.distribution, plugin.status) for plugin in report.plugins] == [
        ("acme-extra", "blocked"),
        ("acme-mail", "loaded"),
        ("acme-odd", "blocked"),
    ]
    [warning] = report.warnings
    assert warning == (
        f"Plugins that {file} does not have are blocked: acme-extra:extra, acme-odd:no equals sign. Review them and "
        "run fastsoy-events lock, or uninstall them"
    )
    assert [record.getMessage() for record in caplog.records] == [warning]
    assert report.failures == ()
    assert served() == ["acme_mail"]


def test_a_blocked_plugin_takes_no_part_even_when_something_else_imports_it(
    site: Site, locked: Callable[..., Path]
) -> None:
    install(site, "mail", source=f"import acme_extra\n{HANDLER}")
    site.install("acme-extra", None, {"acme_extra": HANDLER})
    file = locked()
    install(site, "extra")
    load(site, lock=file)
    assert "acme_extra" in imported()
    assert served() == ["acme_mail"]


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (lambda site: install(site, "mail", source=BOMB, version="1.3"), ["acme-mail is 1.3, and was 1.0"]),
        (
            lambda site: site.install("acme-mail", {"mail": "acme_bomb"}, {"acme_bomb": BOMB}, version="1.0.post1"),
            [
                "acme-mail is 1.0.post1, and was 1.0",
                "acme-mail 1.0.post1 moves its entry point mail to acme_bomb, from acme_mail",
            ],
        ),
        (
            lambda site: site.install("acme-mail", {"post": "acme_bomb"}, {"acme_bomb": BOMB}, version="1.0.post1"),
            ["acme-mail 1.0 is gone, with its entry point mail for acme_mail"],
        ),
        (
            lambda site: site.install("acme-mail", "[fastsoy.event_handlers]\nmail\n", version="1.0.post1"),
            [
                "Plugin failed: acme-mail 1.0.post1 / entry point mail: the line 'mail' of entry_points.txt has no "
                "'='. Write 'mail = "
                'package.mail\' in pyproject.toml, under [project.entry-points."fastsoy.event_handlers"]'
            ],
        ),
    ],
    ids=["version", "module", "gone", "broken"],
)
def test_what_the_metadata_tells_is_an_error_before_anything_is_imported(
    site: Site, locked: Callable[..., Path], change: Callable[[Site], None], sentences: list[str]
) -> None:
    install(site, "audit", "mail")
    file = locked()
    install(site, "audit", source=BOMB)
    change(site)
    error = refusal(site, file)
    assert messages(error) == sentences
    assert {each.distribution for each in error.differences} == {"acme-mail"}
    assert imported() == set()


def test_what_only_the_import_tells_is_an_error_after_it(site: Site, locked: Callable[..., Path]) -> None:
    install(site, "audit", "mail")
    install(site, "hr", source=CONTRACT)
    file = locked()
    install(site, "audit", source=HANDLER + '\n@on("employee.created")\nasync def new(employee_id: int, **_): ...\n')
    install(site, "hr", source=CONTRACT.replace("employee_id: int", "employee_id: str"))
    install(site, "mail", source=HANDLER.replace("employee_id, ", ""))
    error = refusal(site, file)
    assert messages(error) == [
        "acme-hr 1.0 changes the contract of employee.created to (*, employee_id: str), from (*, employee_id: int)",
        "acme-audit 1.0 puts acme-audit:audit:acme_audit:new at #2 of employee.created, before "
        "acme-mail:mail:acme_mail:handle",
        "acme-mail 1.0 changes acme-mail:mail:acme_mail:handle of employee.created to (calls=..., **_), from "
        "(employee_id, calls=..., **_)",
    ]
    assert str(error).splitlines() == [
        f"the plugins are not what {file} holds, so none of them takes part. Install what was reviewed; or review "
        "these differences, and run fastsoy-events lock:",
        *(f"  {message}" for message in messages(error)),
    ]
    assert statuses() == {"audit": "blocked", "hr": "blocked", "mail": "blocked"}
    assert events() == ()


def test_another_order_shows_as_handlers_that_moved(site: Site, locked: Callable[..., Path]) -> None:
    install(site, "audit", "mail")
    error = refusal(site, locked(), order=["mail"])
    assert kinds(error) == ["plugin-moved", "handler-moved"]
    assert [each.event for each in error.differences] == ["", CREATED]


def test_a_plugin_that_fails_is_an_error_that_names_it(site: Site, locked: Callable[..., Path]) -> None:
    install(site, "audit", "mail")
    file = locked()
    install(site, "mail", source=f"{HANDLER}\n1 / 0\n")
    error = refusal(site, file)
    assert messages(error) == [
        "Plugin failed: acme-mail 1.0 / entry point mail / module acme_mail: importing it raised ZeroDivisionError: "
        "division by zero",
        "employee.created loses acme-mail:mail:acme_mail:handle of acme-mail 1.0, which was #2",
    ]
    assert isinstance(error.__cause__, PluginLoadError)
    [failure] = error.__cause__.exceptions
    assert isinstance(failure.__cause__, ZeroDivisionError)
    assert statuses() == {"audit": "blocked", "mail": "failed"}


def test_a_strict_load_raises_what_the_lock_has_against_it_and_else_what_strict_does(
    site: Site, locked: Callable[..., Path]
) -> None:
    install(site, "audit", "mail")
    file = locked()
    with bus.isolated(), pytest.raises(PluginLoadError, match="could not be loaded: mial"):
        load(site, lock=file, strict=True, disabled=["mial"])
    install(site, "mail", source="1 / 0\n")
    forget_plugins()
    assert kinds(refusal(site, file, strict=True)) == ["plugin-failed", "handler-removed"]


def test_every_later_call_raises_the_same_error(site: Site, locked: Callable[..., Path]) -> None:
    install(site, "mail")
    file = locked()
    install(site, "mail", version="1.3")
    first = refusal(site, file)
    for again in ({}, {"path": [site.folder], "lock": file}):
        with pytest.raises(LockError) as second:
            load_plugins(**again)
        assert second.value is first
    with pytest.raises(AlreadyLoadedError, match="lock=None, before"):
        load(site)
    assert refused_emits_nothing()


def refused_emits_nothing() -> bool:
    """Import a refused plugin by hand, and tell whether its handlers still take no part."""
    __import__("acme_mail")
    return served() == []


def test_what_the_host_imported_before_takes_no_part_after_an_error(site: Site, locked: Callable[..., Path]) -> None:
    install(site, "mail")
    file = locked()
    install(site, "mail", version="1.3")
    on(CREATED)(lambda calls=None, **_: calls.append("host"))
    __import__("acme_mail")
    assert served() == ["host", "acme_mail"]
    with pytest.raises(LockError):
        load(site, lock=file)
    assert served() == ["host"]


def test_hooks_of_a_refused_plugin_are_not_called(site: Site, locked: Callable[..., Path]) -> None:
    from fastsoy_events import hookspec

    class Menu:
        @hookspec
        def menu_entries(self) -> str:
            """Return an entry."""
            raise NotImplementedError

    hooks = "from fastsoy_events import hookimpl\n@hookimpl\ndef menu_entries():\n    return 'mail'\n"
    install(site, "mail", source=HANDLER + hooks)
    file = locked()
    bus.add_hookspecs(Menu)
    with bus.isolated():
        load(site, lock=file)
        assert bus.hook.menu_entries() == ["mail"]
    install(site, "mail", source=HANDLER.replace("def handle", "def moved") + hooks)
    forget_plugins()
    refusal(site, file)
    assert bus.hook.menu_entries() == []


def test_what_the_host_leaves_out_is_compared_on_neither_side(
    site: Site, locked: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "audit", "mail")
    install(site, "hr", source=CONTRACT)
    file = locked()
    install(site, "mail", "hr", source=BOMB, version="2.0")
    for left_out in ({"disabled": ["mail", "acme-hr"]}, {"allowed": ["Acme_Audit"]}):
        with bus.isolated():
            load(site, lock=file, **left_out)
            assert served() == ["acme_audit"]
    monkeypatch.setenv("FASTSOY_EVENTS_DISABLED", "mail,hr,gone")
    load(site, lock=file)
    assert statuses() == {"audit": "loaded", "hr": "disabled", "mail": "disabled"}


def test_what_the_host_leaves_out_need_not_be_installed(site: Site, locked: Callable[..., Path]) -> None:
    install(site, "audit", "mail")
    file = locked()
    install(site, "mail")
    for info in site.folder.glob("acme_mail-*"):
        (info / "entry_points.txt").unlink()
    with bus.isolated():
        assert messages(refusal(site, file)) == ["acme-mail 1.0 is gone, with its entry point mail for acme_mail"]
    load(site, lock=file, disabled=["mail"])
    assert served() == ["acme_audit"]


def test_an_isolated_block_is_held_to_a_lock_like_any_load(site: Site, locked: Callable[..., Path]) -> None:
    install(site, "audit", "mail")
    file = locked()
    load(site, lock=file)
    for _ in range(2):
        with bus.isolated():
            load(site, lock=file)
            assert served() == ["acme_audit", "acme_mail"]
        with bus.isolated():
            assert kinds(refusal(site, file, order=["mail"])) == ["plugin-moved", "handler-moved"]
    assert served() == ["acme_audit", "acme_mail"]
    assert load_plugins().fingerprint


def test_a_load_without_a_lock_imports_nothing_for_it(site: Site) -> None:
    install(site, "mail")
    code = "import sys, fastsoy_events as it; it.load_plugins(path=sys.argv[1:]); print(*sorted(sys.modules))"
    arguments = [sys.executable, "-c", code, str(site.folder)]
    result = subprocess.run(arguments, env=environment({}), capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert "acme_mail" in loaded
    assert not loaded & {f"fastsoy_events.{name}" for name in ("_lock", "_compare", "_review", "_signature")}


def test_a_lock_error_passes_between_processes() -> None:
    error = LockError("no", _compare.difference(REVIEWED, replace(REVIEWED, fingerprint="f2")))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(copy), copy.reason, copy.differences) == (LockError, "no", error.differences)
    assert str(copy) == "no\n  the fingerprint is f2, and was f1"
    assert isinstance(copy, EventsError)


# The commands


@pytest.fixture
def shop(site: Site) -> Path:
    """Two plugins in the folder `site`, locked; return the folder around it, in which commands run."""
    install(site, "audit", "payroll", source=textwrap.dedent(HANDLER))
    folder = site.folder.parent
    result = run(folder, "lock", "--path", "site")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "note: events.lock.json holds 2 plugins, 1 event, 2 handlers\n"
    return folder


def test_lock_writes_what_a_check_then_finds_again(shop: Path) -> None:
    result = run(shop, "lock", "--check", "--path", "site")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "note: the plugins are what events.lock.json holds\n"
    assert {each.name for each in shop.iterdir()} == {"site", "events.lock.json"}


def test_a_check_tells_a_reviewer_what_differs_and_writes_nothing(shop: Path, site: Site) -> None:
    before = (shop / "events.lock.json").read_text()
    install(site, "payroll", source=HANDLER.replace("def handle", "def on_hire"), version="1.3")
    install(site, "order", source=HANDLER)
    result = run(shop, "lock", "--check", "--path", "site")
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "acme-order 1.0 is new, with the entry point order for acme_order",
        "acme-payroll is 1.3, and was 1.0",
        "acme-order 1.0 puts acme-order:order:acme_order:handle at #2 of employee.created, before "
        "acme-payroll:payroll:acme_payroll:on_hire",
        "acme-payroll 1.3 puts acme-payroll:payroll:acme_payroll:on_hire at #3 of employee.created, after "
        "acme-order:order:acme_order:handle",
        "employee.created loses acme-payroll:payroll:acme_payroll:handle of acme-payroll 1.0, which was #2",
    ]
    assert result.stderr.startswith("error: the plugins are not what events.lock.json holds. ")
    assert (shop / "events.lock.json").read_text() == before
    document = json.loads(run(shop, "lock", "--check", "events.lock.json", "--json", "--path", "site").stdout)
    assert list(document) == ["schema", "differences"]
    assert document["schema"] == 1
    assert [each["message"] for each in document["differences"]] == result.stdout.splitlines()
    assert document["differences"][1] == {
        "kind": "version-changed",
        "event": None,
        "handler": None,
        "distribution": "acme-payroll",
        "message": "acme-payroll is 1.3, and was 1.0",
    }
    assert run(shop, "lock", "--path", "site").returncode == 0
    assert run(shop, "lock", "--check", "--path", "site").returncode == 0


def test_the_options_of_a_check_are_those_of_a_load(shop: Path) -> None:
    check = ("lock", "--check", "--path", "site")
    assert run(shop, *check, "--order", "payroll").stdout.splitlines()[0].startswith("acme-payroll:payroll is #1")
    assert run(shop, *check, "--disable", "payroll").returncode == 0
    assert run(shop, *check, "--allow", "acme-audit").returncode == 0
    assert run(shop, *check, FASTSOY_EVENTS_DISABLED="payroll").returncode == 0
    assert run(shop, "lock", "--path", "site", "--disable", "payroll", "--output", "less.json").returncode == 0
    assert run(shop, *check, "less.json", "--disable", "payroll").returncode == 0
    assert "acme-payroll 1.0 is new" in run(shop, *check, "less.json").stdout


def test_compare_shows_in_what_two_lock_files_differ(shop: Path, site: Site) -> None:
    install(site, "payroll", version="1.3")
    run(shop, "lock", "--path", "site", "--output", "now.json")
    same = run(shop, "compare", "now.json", "now.json")
    assert (same.returncode, same.stdout) == (0, "")
    assert same.stderr == "note: now.json and now.json hold the same\n"
    result = run(shop, "compare", "events.lock.json", "now.json")
    assert (result.returncode, result.stdout, result.stderr) == (1, "acme-payroll is 1.3, and was 1.0\n", "")
    back = json.loads(run(shop, "compare", "now.json", "events.lock.json", "--json").stdout)
    assert [each["message"] for each in back["differences"]] == ["acme-payroll is 1.0, and was 1.3"]
    assert json.loads(run(shop, "compare", "now.json", "now.json", "--json").stdout)["differences"] == []


def test_nothing_is_locked_while_a_plugin_fails_and_a_check_says_so(shop: Path, site: Site) -> None:
    before = (shop / "events.lock.json").read_text()
    install(site, "payroll", source="1 / 0")
    result = run(shop, "lock", "--path", "site")
    assert (result.returncode, result.stdout) == (1, "")
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["error", "error"]
    assert result.stderr.endswith(
        "error: nothing was locked, since plugins failed: acme-payroll. Repair or --disable them\n"
    )
    assert (shop / "events.lock.json").read_text() == before
    checked = run(shop, "lock", "--check", "--path", "site")
    assert checked.returncode == 1
    assert [line[:20] for line in checked.stdout.splitlines()] == ["Plugin failed: acme-", "employee.created los"]


@pytest.mark.parametrize("name", ["missing", "not UTF-8", "deeply nested"])
def test_a_file_that_is_no_lock_is_one_line_and_exit_code_2(shop: Path, name: str) -> None:
    if name != "missing":
        (shop / "odd.json").write_bytes(BROKEN[name][0])
    for arguments in (
        ("lock", "--check", "odd.json", "--path", "site"),
        ("compare", "events.lock.json", "odd.json"),
    ):
        result = run(shop, *arguments)
        assert (result.returncode, result.stdout) == (2, "")
        [line] = result.stderr.splitlines()
        assert line.startswith("error: the lock file odd.json cannot be used: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lock", "--json"), "--json goes with --check"),
        (("lock", "mine.json"), "use --output mine.json"),
        (("lock", "--check", "--output", "mine.json"), "--check writes nothing"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(shop: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(shop, *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_file_that_cannot_be_written_stays_as_it_was(shop: Path) -> None:
    (shop / "folder").mkdir()
    for output, reason in (
        ("nowhere/events.lock.json", "No such file or directory"),
        ("folder", "it is no regular file"),
        ("/dev/null", "it is no regular file"),
        ("x" * 300, "File name too long"),
    ):
        result = run(shop, "lock", "--path", "site", "--output", output)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"error: {output} cannot be written: {reason}\n"
    assert {each.name for each in shop.iterdir()} == {"site", "events.lock.json", "folder"}


def test_a_file_is_written_through_a_link_and_keeps_its_mode(shop: Path) -> None:
    mode = stat.S_IMODE((shop / "events.lock.json").stat().st_mode)
    (shop / "plain").touch()
    assert mode == stat.S_IMODE((shop / "plain").stat().st_mode)
    real = shop / "real.json"
    real.touch(mode=0o640)
    real.chmod(0o640)
    (shop / "link.json").symlink_to(real)
    assert run(shop, "lock", "--path", "site", "--output", "link.json").returncode == 0
    assert (shop / "link.json").is_symlink()
    assert real.read_text() == (shop / "events.lock.json").read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


@pytest.mark.parametrize("loads", ["load_plugins(lock='events.lock.json', path=['site'])", ""])
def test_an_application_that_is_held_to_a_lock_can_be_locked_anew(shop: Path, site: Site, loads: str) -> None:
    (shop / "web.py").write_text(
        "from fastsoy_events import load_plugins, on\n"
        "import os\n"
        "on('employee.created')(lambda **_: None)\n"
        f"{loads}\n"
        "os.chdir('site')\n"
    )
    options = () if loads else ("--path", "site")
    install(site, "payroll", version="1.3")
    checked = run(shop, "lock", "--check", "--app", "web", *options, FASTSOY_EVENTS_LOCK="events.lock.json")
    assert (checked.returncode, checked.stdout) == (1, "acme-payroll is 1.3, and was 1.0\n")
    written = run(shop, "lock", "--app", "web", *options, FASTSOY_EVENTS_LOCK="events.lock.json")
    assert written.returncode == 0, written.stderr
    assert run(shop, "lock", "--check", "--path", "site").returncode == 0


def test_every_other_command_is_held_to_the_lock_that_the_environment_names(shop: Path, site: Site) -> None:
    held = run(shop, "list", "--path", "site", FASTSOY_EVENTS_LOCK="events.lock.json")
    assert (held.returncode, held.stderr) == (0, "")
    install(site, "payroll", source=BOMB, version="1.3")
    for command in ("list", "plugins"):
        result = run(shop, command, "--path", "site", FASTSOY_EVENTS_LOCK="events.lock.json")
        assert (result.returncode, result.stdout) == (1, "")
        lines = result.stderr.splitlines()
        assert lines[0].startswith(f"error: the plugins are not what {shop}/events.lock.json holds")
        assert lines[1:] == ["  acme-payroll is 1.3, and was 1.0"]
        missing = run(shop, command, "--path", "site", FASTSOY_EVENTS_LOCK="missing.json")
        assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1)


def test_on_a_terminal_each_difference_fits_and_stays_below_its_beginning(shop: Path) -> None:
    text = on_terminal(shop, "lock", "--check", "--path", "site", "--order", "payroll", width=60)
    assert "\x1b[1;36memployee.created" in text
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= 60
    assert [line for line in lines if not line.startswith("  ")] == [lines[0], lines[2]]
    assert lines[0].startswith("acme-payroll:payroll is #1 of the plugins")
