"""The order: pure functions from candidates and declarations to plans, and the invariants that they promise."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsoy_events import EventBus, Handler, HandlerFailure, Plugin
from fastsoy_events._contract import Contract
from fastsoy_events._dispatch import run
from fastsoy_events._model import Candidate
from fastsoy_events._order import (
    HOST,
    clashes,
    described,
    fingerprint,
    in_plugin_order,
    owner,
    owning_plugin,
    placed,
    placed_contracts,
    plan,
    shadowed,
)
from fastsoy_events._record import Declaration, Options, Roster, canonical_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from random import Random

EVENT = "order.placed"


def candidate(distribution: str, name: str, module: str = "") -> Candidate:
    return Candidate(
        Plugin(name=name, distribution=distribution, version="1.0", module=module or f"{distribution}.{name}")
    )


def declaration(module: str, qualname: str, declared_in: str = "") -> Declaration:
    def function() -> None: ...

    return Declaration(
        event=EVENT,
        function=function,
        module=module,
        qualname=qualname,
        declared_in=declared_in or module,
        is_async=False,
        location=f"/{module}.py:1",
    )


def roster(*modules: str, status: Mapping[str, str] | None = None, claims: Mapping[str, int] | None = None) -> Roster:
    """Return one plugin for each module, named for it."""
    statuses = status or {}
    plugins = tuple(
        Plugin(
            name=module,
            distribution="acme",
            version="1.0",
            module=module,
            status=statuses.get(module, "loaded"),  # type: ignore[arg-type]
        )
        for module in modules
    )
    return Roster(plugins, {module: rank for rank, module in enumerate(modules)} | dict(claims or {}))


def names(places: Iterable[tuple[int, Declaration]]) -> list[str]:
    return [f"{each.module}:{each.qualname}" for _, each in places]


# Plugins


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([], ["alpha:x", "beta:a", "beta:b", "zeta:a"]),
        (["zeta"], ["zeta:a", "alpha:x", "beta:a", "beta:b"]),
        (["b", "x"], ["beta:b", "alpha:x", "beta:a", "zeta:a"]),
        (["a"], ["beta:a", "zeta:a", "alpha:x", "beta:b"]),
        (["zeta", "a"], ["zeta:a", "beta:a", "alpha:x", "beta:b"]),
        (["beta:b", "BETA"], ["beta:b", "beta:a", "alpha:x", "zeta:a"]),
        (["unknown", "zeta:a", "unknown"], ["zeta:a", "alpha:x", "beta:a", "beta:b"]),
        (["beta", "b"], ["beta:a", "beta:b", "alpha:x", "zeta:a"]),
    ],
)
def test_the_order_of_plugins(order: Sequence[str], expected: Sequence[str]) -> None:
    found = [candidate("zeta", "a"), candidate("beta", "b"), candidate("alpha", "x"), candidate("beta", "a")]
    assert [each.plugin.id for each in in_plugin_order(found, order)] == expected


WORDS = st.sampled_from(["a", "b", "mail", "zeta", "acme-hr"])
CANDIDATES = st.lists(
    st.builds(candidate, WORDS, WORDS), max_size=8, unique_by=lambda each: (each.plugin.distribution, each.plugin.name)
)


@given(found=CANDIDATES, order=st.lists(WORDS, max_size=4), random=st.randoms(use_true_random=False))
def test_the_order_of_plugins_does_not_depend_on_how_they_were_found(
    found: list[Candidate], order: list[str], random: Random
) -> None:
    expected = in_plugin_order(found, order)
    random.shuffle(found)
    assert in_plugin_order(found, order) == expected
    named = [any(each.plugin.goes_by(name) for name in order) for each in expected]
    assert named == sorted(named, reverse=True)  # those named go first
    others = [(each.plugin.distribution, each.plugin.name) for each in expected[sum(named) :]]
    assert others == sorted(others)


@given(text=st.text("aB-_.", min_size=1, max_size=12))
def test_a_canonical_name_is_canonical(text: str) -> None:
    name = canonical_name(text)
    assert canonical_name(name) == name == canonical_name(text.upper())
    assert not set(name) & set("_.B")
    assert "--" not in name


# Owners

PARTS = st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map(".".join)


@given(module=PARTS, claims=st.dictionaries(PARTS, st.integers(0, 5)))
def test_the_longest_claimed_prefix_in_whole_dotted_parts_owns_a_module(module: str, claims: dict[str, int]) -> None:
    prefixes = [prefix for prefix in claims if f"{module}.".startswith(f"{prefix}.")]
    expected = claims[max(prefixes, key=len)] if prefixes else HOST
    assert owner(module, Roster((), claims)) == expected


def test_a_module_without_a_name_is_the_hosts() -> None:
    assert owner("", roster("acme")) == HOST


# Handlers


def test_the_order_of_handlers() -> None:
    known = roster("zeta.entry", "acme", claims={"zeta": 0})
    declared = [
        declaration("acme.b", "one"),
        declaration("zeta", "one"),
        declaration("acme", "one"),
        declaration("host_z", "one"),
        declaration("zeta.entry", "two"),
        declaration("acme.a", "one"),
        declaration("zeta.entry", "one"),
        declaration("host_a", "one"),
        declaration("zeta.after", "one"),
        declaration("acme.b", "also"),
    ]
    assert names(placed(declared, known, ())) == [
        "host_z:one",
        "host_a:one",
        "zeta.entry:two",
        "zeta.entry:one",
        "zeta:one",
        "zeta.after:one",
        "acme:one",
        "acme.a:one",
        "acme.b:one",
        "acme.b:also",
    ]


@pytest.mark.parametrize("status", ["discovered", "failed", "disabled", "blocked"])
def test_only_handlers_of_the_host_and_of_loaded_plugins_take_part(status: str) -> None:
    known = roster("acme", "zeta", status={"acme": status})
    declared = [
        declaration("acme", "one"),
        declaration("acme.sub", "one"),
        declaration("zeta", "one"),
        declaration("x", "x"),
    ]
    assert names(placed(declared, known, ())) == ["x:x", "zeta:one"]


def test_modules_that_do_not_count_are_left_out_by_the_name_that_declared() -> None:
    declared = [declaration("host", "one"), declaration("host", "two", declared_in="second_name")]
    assert names(placed(declared, Roster(), {"second_name"})) == ["host:one"]


MODULES = st.sampled_from(
    ["host", "host_b", "acme", "acme.a", "acme.b.c", "zeta.entry", "zeta", "zeta.x", "left", "left.a"]
)


@given(modules=st.lists(MODULES, max_size=12), random=st.randoms(use_true_random=False))
def test_the_order_depends_on_each_modules_own_order_alone(modules: list[str], random: Random) -> None:
    """Whatever was imported first: modules may be mixed in any way, as long as each keeps its own order."""
    known = roster("zeta.entry", "left", "acme", status={"left": "failed"}, claims={"zeta": 0})
    declared = [declaration(module, str(place)) for place, module in enumerate(modules)]
    plugins_only = [each for each in names(placed(declared, known, ())) if not each.startswith("host")]
    queues = {module: [each for each in declared if each.module == module] for module in modules}
    random.shuffle(modules)
    mixed = [queues[module].pop(0) for module in modules]
    again = names(placed(mixed, known, ()))
    assert [each for each in again if not each.startswith("host")] == plugins_only
    hosts = [f"{each.module}:{each.qualname}" for each in mixed if each.module.startswith("host")]
    assert again[: len(hosts)] == hosts  # first, in the order in which they were declared
    ranks = [rank for rank, _ in placed(mixed, known, ())]
    assert ranks == sorted(ranks)
    assert 1 not in ranks
    for rank, group in groupby(placed(mixed, known, ()), key=lambda place: place[0]):
        if rank != HOST:
            own = [each.module for _, each in group]
            entry = known.plugins[rank].module
            assert own == sorted(own, key=lambda module, entry=entry: (module != entry, module))


# Files under several names


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"f": ["acme.mail"]}, set()),
        ({"f": ["mail", "acme.mail"]}, {"mail"}),
        ({"f": ["acme.mail", "mail"]}, {"mail"}),
        ({"f": ["one", "two", "three"]}, {"two", "three"}),
        ({"f": ["acme.mail", "zeta.mail"]}, {"acme.mail"}),
        ({"f": ["a", "b"], "g": ["c"], "h": ["d", "zeta.d"]}, {"b", "d"}),
    ],
)
def test_a_file_counts_under_its_plugins_name_else_under_the_first(
    files: Mapping[str, Sequence[str]], expected: set[str]
) -> None:
    assert shadowed(files, roster("zeta", "acme")) == expected


# Records


def records(*declared: Declaration, known: Roster | None = None) -> tuple[Handler, ...]:
    used = known or Roster()
    return described(placed(declared, used, ()), used)


def test_repeats_of_an_id_are_numbered_in_order() -> None:
    known = roster("acme")
    declared = [declaration("acme", "_") for _ in range(3)] + [declaration("acme", "other"), declaration("host", "_")]
    assert [each.id for each in records(*declared, known=known)] == [
        "host:host:_",
        "acme:acme:acme:_",
        "acme:acme:acme:_#2",
        "acme:acme:acme:_#3",
        "acme:acme:acme:other",
    ]


@given(qualnames=st.lists(st.sampled_from(["a", "b", "<lambda>"]), max_size=6))
def test_positions_count_up_and_ids_are_unique(qualnames: list[str]) -> None:
    handlers = records(*(declaration("acme", qualname) for qualname in qualnames), known=roster("acme"))
    assert [each.position for each in handlers] == list(range(len(qualnames)))
    assert len({each.id for each in handlers}) == len(qualnames)


def test_a_plan_holds_what_is_called_and_describes_it_on_demand() -> None:
    known = roster("acme")
    declared = [declaration("acme", "one"), declaration("host", "one")]
    places = placed(declared, known, ())
    frozen = plan(EVENT, places, known)
    assert frozen.event == EVENT
    assert frozen.functions == (declared[1].function, declared[0].function)
    described_later = [frozen.describe(function) for function in frozen.functions]
    assert described_later == [*records(*declared, known=known)]


@given(first=st.lists(MODULES, max_size=6), second=st.lists(MODULES, max_size=6))
def test_fingerprints_are_equal_exactly_where_the_plugins_handlers_are(first: list[str], second: list[str]) -> None:
    known = roster("acme", "zeta")
    one, other = (
        records(*(declaration(each, "handle") for each in modules), known=known) for modules in (first, second)
    )
    same = [each.id for each in one if each.plugin] == [each.id for each in other if each.plugin]
    assert (fingerprint(one) == fingerprint(other)) == same


def test_what_several_modules_declared_for_one_module_comes_in_their_order_not_in_that_of_their_imports() -> None:
    imported = ["zeta.x", "acme.b", "acme.a", "acme"]
    declared = [declaration("acme.shared", "handle", declared_in=module) for module in imported]
    places = placed(declared, roster("acme", "zeta"), ())
    assert [each.declared_in for _, each in places] == ["acme", "acme.a", "acme.b", "zeta.x"]


def test_a_function_that_another_module_declared_stands_where_its_own_module_does() -> None:
    declared = [declaration("acme.b", "one", declared_in="acme.a"), declaration("acme.a", "two", declared_in="acme.b")]
    assert names(placed(declared, roster("acme"), ())) == ["acme.a:two", "acme.b:one"]


def test_what_plugins_declared_for_the_host_comes_in_the_order_of_declaration() -> None:
    declared = [declaration("host", "handle", declared_in=module) for module in ("zeta", "acme.b", "acme")]
    places = placed(declared, roster("acme", "zeta"), ())
    assert [each.declared_in for _, each in places] == ["zeta", "acme.b", "acme"]


def test_a_stable_id_takes_the_place_of_module_and_name() -> None:
    declared = declaration("acme.mail", "greet")._replace(options=Options(id="greeting"))
    (handler,) = records(declared, known=roster("acme"))
    assert (handler.id, handler.stable_id) == ("acme:acme:greeting", "greeting")
    (usual,) = records(declaration("acme.mail", "greet"), known=roster("acme"))
    assert (usual.id, usual.stable_id) == ("acme:acme:acme.mail:greet", "")


# Contracts


def contract(event: str, module: str) -> Contract:
    def declared() -> None: ...

    return Contract(event, EventBus().event(event)(declared), module, module)


def test_a_plugins_contracts_come_in_the_order_of_its_modules() -> None:
    imported = ["acme.b", "host.b", "zeta", "acme.a", "host.a", "acme"]
    places = placed_contracts([contract(EVENT, module) for module in imported], roster("acme", "zeta"), ())
    assert [(rank, each.module) for rank, each in places] == [
        (HOST, "host.b"),
        (HOST, "host.a"),
        (0, "acme"),
        (0, "acme.a"),
        (0, "acme.b"),
        (1, "zeta"),
    ]


def test_a_contract_clashes_with_the_first_of_its_event_however_many_plugins_lie_between() -> None:
    first, between, late = contract(EVENT, "acme"), contract("basket.closed", "beta"), contract(EVENT, "zeta")
    assert list(clashes([(0, first), (1, between), (2, late)])) == [(2, late, first)]


def test_the_plugin_that_a_module_belongs_to_is_that_of_its_owner() -> None:
    known = roster("acme", "zeta")
    assert owning_plugin("zeta.mail", known) is known.plugins[1]
    assert owning_plugin("acme", known) is known.plugins[0]
    assert owning_plugin("host.mail", known) is None


async def test_a_plan_tells_of_each_failure_those_who_want_to_know() -> None:
    def fail() -> None:
        raise LookupError

    told: list[HandlerFailure] = []

    async def tell(failure: HandlerFailure) -> None:
        told.append(failure)

    declared = declaration("host", "fail")._replace(function=fail)
    failures = await run(plan(EVENT, [(HOST, declared)], Roster(), tell=tell), {})
    assert told == list(failures)
    assert [type(failure.error) for failure in told] == [LookupError]
