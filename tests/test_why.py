"""Why handlers run in their order: the parts of each sort key, what decided, and what would move a handler."""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from fastsoy_events import bus, load_plugins
from fastsoy_events._model import Candidate
from fastsoy_events.inspection._why import Explanation, explain
from fastsoy_events.inspection.source._trees import survey
from tests import command_line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from conftest import Site

ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


def handles(*names: str) -> str:
    """Return the source of a module with one handler for each name."""
    functions = (f'@on("order.paid")\ndef {name}(**payload): ...\n' for name in names)
    return "from fastsoy_events import on\n" + "".join(functions)


def explained(site: Site, **arguments: Any) -> Explanation:
    report = load_plugins(path=[site.folder], **arguments)
    return explain(bus, "order.paid", survey([Candidate(plugin) for plugin in report.plugins]).trees)


def names(explanation: Explanation) -> list[str]:
    return [place.handler.qualname for place in explanation.places]


def left_out(explanation: Explanation) -> dict[str, str]:
    return {each.qualname: each.reason for each in explanation.left_out}


def run(site: Site, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return command_line.run(site.folder.parent, "why", *arguments, "--path", str(site.folder), **changes)


@pytest.fixture
def shop(site: Site) -> Site:
    """Three plugins of two distributions; one of them has three modules, and one of these two handlers."""
    site.install(
        "acme-books",
        {"ledger": "acme_books.plugin", "archive": "acme_archive"},
        {
            "acme_books.__init__": "",
            "acme_books.plugin": "from acme_books import zeta, alpha\n" + handles("enter"),
            "acme_books.alpha": handles("add"),
            "acme_books.zeta": handles("sum_up", "close"),
            "acme_archive": handles("store"),
        },
        version="2.1",
    )
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": handles("thank")})
    return site


# The reasons


def test_each_handler_tells_which_part_of_its_key_put_it_behind_the_one_before(shop: Site) -> None:
    bus.on("order.paid")(dict)
    assert [(place.handler.qualname, place.decided_by, place.reason) for place in explained(shop).places[1:]] == [
        ("store", "host", "the host's handlers run before every plugin's"),
        (
            "enter",
            "entry_point",
            "in acme-books, the entry point archive = acme_archive sorts before ledger = acme_books.plugin",
        ),
        ("add", "entry_module", "the entry point's own module, acme_books.plugin, comes before the plugin's others"),
        ("sum_up", "module", "the module acme_books.alpha sorts before acme_books.zeta"),
        ("close", "declaration", "acme_books.zeta declares sum_up first"),
        ("thank", "distribution", "the distribution acme-books sorts before acme-mail"),
    ]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["mail"], {"store": "the order names mail and not archive"}),
        (["mail", "acme_books"], {"store": "the order names mail before acme_books", "enter": "in acme-books, "}),
        (["ledger", "mail"], {"thank": "the order names ledger before mail", "store": "the order names mail and not"}),
    ],
)
def test_the_order_that_was_given_is_a_reason(shop: Site, order: list[str], expected: dict[str, str]) -> None:
    explanation = explained(shop, order=order)
    assert explanation.order == tuple(order)
    reasons = {place.handler.qualname: place.reason for place in explanation.places}
    assert {name: reasons[name][: len(start)] for name, start in expected.items()} == expected


def test_the_first_handler_needs_no_reason_and_nothing_moves_a_plugin_before_the_host(shop: Site) -> None:
    bus.on("order.paid")(dict)
    first, second, *_ = explained(shop).places
    assert (first.decided_by, first.reason, first.move) == ("", "", "")
    assert (second.decided_by, second.move) == ("host", "")


def test_the_hosts_handlers_are_in_the_order_of_its_imports(site: Site) -> None:
    site.install("host", None, {"front": handles("one", "two"), "back": handles("three")})
    importlib.import_module("front")
    importlib.import_module("back")
    _, two, three = explained(site).places
    assert (two.decided_by, two.reason, two.move) == (
        "declaration",
        "front declares one first",
        "moving it above one runs it before that one",
    )
    assert (three.decided_by, three.reason, three.move) == (
        "declaration",
        "front declared two first, and the host's order is its imports'",
        "importing back before front runs it before that one",
    )
    assert [place.key.declaration for place in explained(site).places] == [1, 2, 3]


def test_a_handler_that_another_module_declares_comes_in_that_modules_order(site: Site) -> None:
    sources = {
        "acme.__init__": "",
        "acme.plugin": "from acme import shared, wires_b, wires_a",
        "acme.shared": "def one(**payload): ...\ndef two(**payload): ...",
        "acme.wires_a": "from fastsoy_events import on\nfrom acme.shared import two\non('order.paid')(two)",
        "acme.wires_b": "from fastsoy_events import on\nfrom acme.shared import one\non('order.paid')(one)",
    }
    site.install("acme", {"acme": "acme.plugin"}, sources)
    explanation = explained(site)
    assert names(explanation) == ["two", "one"]
    assert explanation.places[1].decided_by == "declaring_module"
    assert explanation.places[1].reason == "acme.wires_a, which declares two, comes before acme.wires_b"


# What would move a handler


@pytest.mark.parametrize("order", [[], ["mail"], ["acme-books"], ["ledger", "mail"], ["mail", "acme-books", "archive"]])
def test_the_order_that_is_proposed_moves_the_plugin_before_the_one_that_is_before_it(
    shop: Site, order: list[str]
) -> None:
    places = explained(shop, order=order).places
    between_plugins = [number for number, place in enumerate(places) if place.move.startswith("load_plugins(order=")]
    assert between_plugins
    for number in between_plugins:
        behind, before = places[number].handler, places[number - 1].handler
        proposed = re.search(r"order=(\[.*?\])", places[number].move)
        assert proposed is not None
        with bus.isolated():
            moved = names(explained(shop, order=json.loads(proposed.group(1))))
        assert moved.index(behind.qualname) < moved.index(before.qualname)


def test_a_plugin_whose_name_two_distributions_use_is_proposed_by_its_full_name(site: Site) -> None:
    for distribution in ("acme-a", "acme-b"):
        module = distribution.replace("-", "_")
        site.install(distribution, {"main": module}, {module: handles(module)})
    assert explained(site).places[1].move == (
        'load_plugins(order=["acme-b:main"]), or --order acme-b:main here, runs main before main'
    )


def test_inside_a_plugin_the_source_is_what_moves_a_handler(shop: Site) -> None:
    moves = {place.handler.qualname: place.move for place in explained(shop).places}
    assert moves["add"] == "declaring it in acme_books.plugin, above enter, runs it before that one"
    assert moves["sum_up"] == (
        "declaring it in acme_books.plugin, or in a module that sorts before acme_books.alpha, runs it before that one"
    )
    assert moves["close"] == "moving it above sum_up runs it before that one"


# Who does not take part


def test_handlers_of_plugins_that_are_not_loaded_are_told_of_with_the_reason(shop: Site) -> None:
    shop.install("acme-late", {"late": "acme_late"}, {"acme_late": handles("come") + "raise OSError('no clock')"})
    shop.install("acme-spy", {"spy": "acme_spy"}, {"acme_spy": handles("look")})
    explanation = explained(shop, disabled=["mail"], allowed=["acme-books", "acme-late", "acme-mail"])
    assert names(explanation) == ["store", "enter", "add", "sum_up", "close"]
    reasons = left_out(explanation)
    assert reasons.pop("come").startswith(
        "the plugin late (acme-late 1.0) failed: importing it raised OSError: no clock"
    )
    assert reasons == {
        "look": "the plugin spy (acme-spy 1.0) is blocked: it is not allowed, or not in the lock file",
        "thank": "the plugin mail (acme-mail 1.0) is disabled",
    }


def test_a_function_of_others_that_a_failed_plugin_declares_is_told_of(site: Site) -> None:
    late = "from fastsoy_events import on\nfrom shared import greet\non('order.paid')(greet)\nraise OSError('no clock')"
    site.install("acme", {"late": "acme_late"}, {"acme_late": late, "shared": "def greet(**payload): ..."})
    (other,) = explained(site).left_out
    assert (other.module, other.plugin) == ("shared", "")
    assert other.reason.startswith("the plugin late (acme 1.0) failed: importing it raised OSError: no clock")


def test_a_handler_that_its_plugins_import_would_not_register_is_not_told_of(site: Site) -> None:
    later = handles("never") + "def later():\n    @on('order.paid')\n    def inner(**payload): ..."
    site.install("acme", {"acme": "acme.plugin"}, {"acme.__init__": "", "acme.plugin": "", "acme.other": later})
    assert left_out(explained(site, disabled=["acme"])) == {}


def test_a_file_that_is_imported_under_two_names_is_told_of_once_more(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme", {"acme": "acme.plugin"}, {"acme.__init__": "", "acme.plugin": handles("greet")})
    monkeypatch.syspath_prepend(str(site.folder / "acme"))
    importlib.import_module("plugin")
    explanation = explained(site)
    assert names(explanation) == ["greet"]
    (other,) = explanation.left_out
    assert other.as_dict() == {
        "handler": "plugin.greet",
        "plugin": "",
        "distribution": "",
        "reason": "its file is also imported as acme.plugin, and counts once, under that name",
    }


def test_a_module_of_two_plugins_takes_part_under_the_one_that_is_loaded(site: Site) -> None:
    site.install("acme-a", {"one": "acme"}, {"acme": handles("greet")})
    site.install("acme-b", {"two": "acme"})
    explanation = explained(site, disabled=["two"])
    assert (names(explanation), explanation.left_out) == (["greet"], ())


# The command


def test_the_text_fits_into_80_columns_and_names_every_part(shop: Site) -> None:
    result = run(shop, "order.paid", "--order", "mail", "--disable", "archive")
    assert result.stdout == (
        "order.paid: 5 handlers, sorted by host, plugin, module, declaration\n"
        "order: mail\n"
        "\n"
        " 1  acme_mail.thank\n"
        "      plugin       1 of 3: mail (acme-mail), named in the order: mail\n"
        "      module       the entry point's own\n"
        "      declaration  1 in its module, line 2\n"
        "\n"
        " 2  acme_books.plugin.enter\n"
        "      plugin       3 of 3: ledger (acme-books), by distribution and entry point\n"
        "      module       the entry point's own\n"
        "      declaration  1 in its module, line 3\n"
        "      after 1      the order names mail and not ledger\n"
        '      to move it   load_plugins(order=["ledger", "mail"]), or --order ledger\n'
        "                   --order mail here, runs ledger before mail\n"
        "\n"
        " 3  acme_books.alpha.add\n"
        "      plugin       3 of 3: ledger (acme-books), by distribution and entry point\n"
        "      module       by name, after the entry point's own, acme_books.plugin\n"
        "      declaration  1 in its module, line 2\n"
        "      after 2      the entry point's own module, acme_books.plugin, comes before\n"
        "                   the plugin's others\n"
        "      to move it   declaring it in acme_books.plugin, above enter, runs it\n"
        "                   before that one\n"
        "\n"
        " 4  acme_books.zeta.sum_up\n"
        "      plugin       3 of 3: ledger (acme-books), by distribution and entry point\n"
        "      module       by name, after the entry point's own, acme_books.plugin\n"
        "      declaration  1 in its module, line 2\n"
        "      after 3      the module acme_books.alpha sorts before acme_books.zeta\n"
        "      to move it   declaring it in acme_books.plugin, or in a module that sorts\n"
        "                   before acme_books.alpha, runs it before that one\n"
        "\n"
        " 5  acme_books.zeta.close\n"
        "      plugin       3 of 3: ledger (acme-books), by distribution and entry point\n"
        "      module       by name, after the entry point's own, acme_books.plugin\n"
        "      declaration  2 in its module, line 4\n"
        "      after 4      acme_books.zeta declares sum_up first\n"
        "      to move it   moving it above sum_up runs it before that one\n"
        "\n"
        "Not taking part:\n"
        "    acme_archive.store\n"
        "      because      the plugin archive (acme-books 2.1) is disabled\n"
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_hosts_handlers_show_with_app(shop: Site) -> None:
    (shop.folder / "front.py").write_text(handles("greet"), encoding="utf-8")
    lines = run(shop, "order.paid", "--app", "front").stdout.splitlines()
    assert lines[2:5] == [
        " 1  front.greet",
        "      host         before every plugin",
        "      declaration  1 of the host's, line 2",
    ]


@pytest.mark.parametrize("width", [40, 60, 100])
def test_on_a_terminal_lines_fold_into_its_width(shop: Site, width: int) -> None:
    result = run(shop, "order.paid", FORCE_COLOR="1", TERM="xterm", COLUMNS=str(width))
    assert ESCAPE_SEQUENCE.search(result.stdout)
    lines = ESCAPE_SEQUENCE.sub("", result.stdout).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "1acme_archive.store" in "".join("".join(lines).split())  # whatever is folded, nothing is lost


def test_json_has_exactly_the_promised_keys(shop: Site) -> None:
    document = json.loads(run(shop, "order.paid", "--json", "--disable", "archive").stdout)
    assert list(document) == ["schema", "event", "order", "handlers", "left_out"]
    assert (document["schema"], document["event"], document["order"]) == (1, "order.paid", [])
    assert document["handlers"][1] == {
        "position": 1,
        "id": "acme-books:ledger:acme_books.alpha:add",
        "handler": "acme_books.alpha.add",
        "plugin": "ledger",
        "distribution": "acme-books",
        "source": f"{shop.folder / 'acme_books' / 'alpha.py'}:2",
        "key": {
            "is_host": False,
            "rank": 1,
            "order_place": None,
            "entry_module": "acme_books.plugin",
            "is_entry_module": False,
            "module": "acme_books.alpha",
            "declared_in": "acme_books.alpha",
            "declaration": 1,
            "line": 2,
        },
        "decided_by": "entry_module",
        "reason": "the entry point's own module, acme_books.plugin, comes before the plugin's others",
        "move": "declaring it in acme_books.plugin, above enter, runs it before that one",
    }
    assert document["handlers"][0]["decided_by"] is None
    assert [each["handler"] for each in document["left_out"]] == ["acme_archive.store"]


def test_the_hosts_key_has_neither_rank_nor_entry_module(shop: Site) -> None:
    (shop.folder / "front.py").write_text(handles("greet"), encoding="utf-8")
    document = json.loads(run(shop, "order.paid", "--json", "--app", "front").stdout)
    key = document["handlers"][0]["key"]
    assert (key["is_host"], key["rank"], key["entry_module"], key["is_entry_module"]) == (True, None, "", None)


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_an_unknown_event_is_wrong_usage_and_the_nearest_is_named(shop: Site, option: Sequence[str]) -> None:
    result = run(shop, "order.piad", *option)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: no event is named 'order.piad'; the nearest is 'order.paid'\n"


def test_among_no_events_there_is_none_to_suggest(site: Site) -> None:
    result = run(site, "order.paid")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: no event is named 'order.paid': no handler is registered, and no contract declared\n"
    )


def test_an_event_with_a_contract_and_no_handler_is_known(site: Site) -> None:
    contract = 'from fastsoy_events import event\n@event("order.paid")\ndef order_paid(*, order_id: int): ...'
    site.install("acme", {"acme": "acme"}, {"acme": contract})
    result = run(site, "order.paid")
    assert result.stdout == "order.paid: 0 handlers, sorted by host, plugin, module, declaration\n"
    assert (result.returncode, result.stderr) == (0, "note: no handler of order.paid takes part\n")


def test_an_event_that_only_a_failed_plugin_handles_is_known_and_the_failure_is_the_exit_code(site: Site) -> None:
    site.install("acme", {"acme": "acme"}, {"acme": handles("greet") + "raise OSError('no clock')"})
    result = run(site, "order.paid", "--json")
    (other,) = json.loads(result.stdout)["left_out"]
    assert (other["handler"], result.returncode) == ("acme.greet", 1)
    assert "failed: importing it raised OSError: no clock" in other["reason"]


def test_hostile_names_stay_on_their_line(site: Site) -> None:
    source = 'import warnings\nwarnings.simplefilter("ignore")\n' + handles("greet").replace(
        '"order.paid"', r'"a\x1b[31m\n\tb \ud800"'
    )
    site.install("acme", {"acme": "acme"}, {"acme": source})
    result = run(site, "a\x1b[31m\n\tb")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr
