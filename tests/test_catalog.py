"""The catalogue of events: as Markdown, as JSON, and as an AsyncAPI document that passes the official schema."""

from __future__ import annotations

import json
import shutil
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from fastsoy_events import events, handlers, load_plugins
from fastsoy_events._model import Candidate
from fastsoy_events.inspection._edges import host_modules, publications
from fastsoy_events.inspection.catalog._asyncapi import as_asyncapi
from fastsoy_events.inspection.catalog._catalog import CatalogEvent, as_json, catalogued
from fastsoy_events.inspection.catalog._markdown import as_markdown
from fastsoy_events.inspection.catalog._payload_schema import schema_of
from fastsoy_events.inspection.source._trees import survey
from tests import command_line, npm

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from conftest import Site

SHOP = """
    from fastsoy_events import emit, event
    from acme_shop.kinds import Kind

    @event("order.placed")
    def order_placed(*, order_id: int, kind: Kind = Kind.WEB, note: str | None = None) -> None:
        '''A customer has placed an order;
        it is not paid yet.

        Args:
            order_id: its number.
        '''

    @event("order.lost")
    def order_lost(*, order_id: int) -> None: ...

    async def pay(order_id: int) -> None:
        await emit("order.paid", order_id=order_id, amount=1)
        await emit("order.paid", order_id=order_id)
"""
KINDS = """
    from enum import StrEnum

    class Kind(StrEnum):
        WEB = "web"
        PHONE = "phone"
"""
BOOKS = """
    from fastsoy_events import on

    @on("order.placed")
    async def enter(order_id: int, **payload): ...

    @on("order.paid")
    def book(**payload): ...

    @on("stock.counted")
    def write_off(**payload): ...
"""
MAIL = """
    from fastsoy_events import on

    @on("order.placed")
    def thank(**payload): ...
"""


@pytest.fixture
def shop(site: Site) -> Site:
    """A plugin that publishes three events, one of them without a contract, and two that handle events."""
    site.install(
        "acme-shop",
        {"shop": "acme_shop.events"},
        {"acme_shop.__init__": "", "acme_shop.events": SHOP, "acme_shop.kinds": KINDS},
    )
    site.install("acme-mail", {"mail": "acme_mail"}, {"acme_mail": MAIL})
    site.install("acme-books", {"books": "acme_books"}, {"acme_books": BOOKS})
    return site


def catalogue(site: Site, *, app: str = "", **arguments: Any) -> tuple[CatalogEvent, ...]:
    report = load_plugins(path=[site.folder], **arguments)
    found = survey([Candidate(plugin) for plugin in report.plugins])
    host = host_modules(app, found.roster) if app else ()
    known = publications(events(), report.plugins, found.trees, host).known
    return catalogued(events(), known, handlers(), found.trees)


def named(site: Site, name: str, **arguments: Any) -> CatalogEvent:
    return next(event for event in catalogue(site, **arguments) if event.name == name)


def run(site: Site, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return command_line.run(site.folder.parent, "catalog", *arguments, "--path", str(site.folder), **changes)


# What is in it


def test_every_event_that_is_published_or_handled_is_listed_by_name(shop: Site) -> None:
    assert [(event.name, [each.plugin for each in event.publishers]) for event in catalogue(shop)] == [
        ("order.lost", ["shop"]),
        ("order.paid", ["shop"]),
        ("order.placed", ["shop"]),
        ("stock.counted", []),
    ]


def test_keywords_are_those_of_the_contract_with_their_annotations_as_they_are_written(shop: Site) -> None:
    event = named(shop, "order.placed")
    assert [(each.name, each.type, each.is_required, each.default) for each in event.keywords] == [
        ("order_id", "int", True, ""),
        ("kind", "Kind", False, "Kind.WEB"),
        ("note", "str | None", False, "None"),
    ]
    assert (event.contract, event.has_more) == ("acme_shop.events.order_placed", False)
    assert event.purpose == "A customer has placed an order; it is not paid yet."


def test_without_a_contract_the_keywords_are_those_of_the_emits(shop: Site) -> None:
    event = named(shop, "order.paid")
    assert [(each.name, each.is_required) for each in event.keywords] == [("order_id", True), ("amount", False)]
    assert (event.contract, event.purpose, event.has_more) == ("", "", True)


@pytest.mark.parametrize("order", [[], ["mail"]])
def test_handlers_are_in_dispatch_order(shop: Site, order: list[str]) -> None:
    first = named(shop, "order.placed", order=order).handlers
    assert [handler.qualname for handler in first] == (["thank", "enter"] if order else ["enter", "thank"])


def test_what_is_not_loaded_publishes_nothing(shop: Site) -> None:
    assert [event.name for event in catalogue(shop, disabled=["shop"]) if event.publishers] == []


def test_the_host_publishes_too(shop: Site) -> None:
    source = """
        from fastsoy_events import emit, event

        @event("stock.counted")
        def stock_counted(*, amount: int): ...

        async def pay():
            await emit("order.paid", order_id=1)
            await stock_counted.emit(amount=1)
    """
    (shop.folder / "front.py").write_text(dedent(source), encoding="utf-8")
    __import__("front")
    assert [each.plugin for each in named(shop, "order.paid", app="front").publishers] == ["", "shop"]
    (host,) = named(shop, "stock.counted", app="front").publishers
    assert (host.distribution, host.has_contract, len(host.emits)) == ("", True, 1)


def test_a_source_of_the_host_that_cannot_be_read_is_passed_over(shop: Site) -> None:
    front = shop.folder / "front"
    front.mkdir()
    (front / "__init__.py").write_text("from fastsoy_events import emit\nasync def f(): await emit('order.paid')")
    (front / "broken.py").symlink_to("nowhere.py")
    assert [each.plugin for each in named(shop, "order.paid", app="front.app").publishers] == ["", "shop"]


def test_who_declares_an_event_comes_before_others_who_emit_it(shop: Site) -> None:
    emits = "from fastsoy_events import emit\nasync def again(): await emit('order.placed', order_id=1)"
    shop.install("acme-again", {"again": "acme_again"}, {"acme_again": emits})
    first, second = named(shop, "order.placed").publishers
    assert (first.plugin, first.has_contract) == ("shop", True)
    assert (second.plugin, second.has_contract) == ("again", False)


# Types


TYPES = """
    from __future__ import annotations

    import datetime as dt
    import uuid
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime
    from decimal import Decimal
    from enum import Enum, IntEnum, StrEnum
    from typing import TYPE_CHECKING, Annotated, Any, List, Literal, NewType, Optional, Union

    if TYPE_CHECKING:
        from uuid import UUID

        from acme_money import Money

    class State(StrEnum):
        NEW = "new"
        OLD = "old"

    class Level(IntEnum):
        LOW = 1

    class Odd(Enum):
        EMPTY = object()

    class Point: ...

    Number = NewType("Number", int)
    Numbers = list[Number]
    Either = int | str
    Quoted = "Either | None"
    Once = "Twice"
    Twice = "Once"
    Maybe = Optional[int]
"""
STRING = {"type": "string"}
INTEGER = {"type": "integer"}
NULL = {"type": "null"}
STATES = {"type": "string", "enum": ["new", "old"]}


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        ("int", INTEGER),
        ("str", STRING),
        ("bool", {"type": "boolean"}),
        ("float", {"type": "number"}),
        ("bytes", {"type": "string", "contentEncoding": "base64"}),
        ("None", NULL),
        ("Any", {}),
        ("object", {}),
        ("int | None", {"anyOf": [INTEGER, NULL]}),
        ("int | int", INTEGER),
        ("int | (str | None)", {"anyOf": [INTEGER, STRING, NULL]}),
        ("Optional[int]", {"anyOf": [INTEGER, NULL]}),
        ("Union[int, str]", {"anyOf": [INTEGER, STRING]}),
        ("Maybe", {"anyOf": [INTEGER, NULL]}),
        ("list[int]", {"type": "array", "items": INTEGER}),
        ("list", {"type": "array"}),
        ("List[int]", {"type": "array", "items": INTEGER}),
        ("List", {"type": "array"}),
        ("Sequence[State]", {"type": "array", "items": STATES}),
        ("Sequence", {"type": "array"}),
        ("set[str]", {"type": "array", "uniqueItems": True, "items": STRING}),
        ("tuple[int, ...]", {"type": "array", "items": INTEGER}),
        ("tuple[int, str]", {"type": "array", "items": [INTEGER, STRING], "minItems": 2, "maxItems": 2}),
        ("tuple[()]", {"type": "array", "maxItems": 0}),
        ("dict[str, int]", {"type": "object", "additionalProperties": INTEGER}),
        ("dict[str, Any]", {"type": "object"}),
        ("Mapping[str, int | None]", {"type": "object", "additionalProperties": {"anyOf": [INTEGER, NULL]}}),
        ("dict", {"type": "object"}),
        ("datetime", {"type": "string", "format": "date-time"}),
        ("dt.datetime", {"type": "string", "format": "date-time"}),
        ("date", {"type": "string", "format": "date"}),
        ("dt.time", {"type": "string", "format": "time"}),
        ("dt.timedelta", {"type": "string", "format": "duration"}),
        ("UUID", {"type": "string", "format": "uuid"}),
        ("uuid.UUID", {"type": "string", "format": "uuid"}),
        ("Decimal", {"type": "string", "format": "decimal"}),
        ("Literal['a', 'b']", {"type": "string", "enum": ["a", "b"]}),
        ("Literal[1, 'b', None]", {"type": ["integer", "string", "null"], "enum": [1, "b", None]}),
        ("Literal[State.NEW]", {"type": "string", "enum": ["new"]}),
        ("Literal[-1]", {"type": "integer", "enum": [-1]}),
        ("Literal[b'a']", {"x-python-type": "Literal[b'a']"}),
        ("Literal[State]", {"x-python-type": "Literal[State]"}),
        ("Annotated[int, Point()]", INTEGER),
        ("State", STATES),
        ("Level", {"type": "integer", "enum": [1]}),
        ("Odd", {"x-python-type": "Odd"}),
        ("Number", INTEGER),
        ("Numbers", {"type": "array", "items": INTEGER}),
        ("Either", {"anyOf": [INTEGER, STRING]}),
        ("Quoted", {"anyOf": [INTEGER, STRING, NULL]}),
        ("'int'", INTEGER),
        ("Point", {"x-python-type": "acme_types.Point"}),
        ("Money", {"x-python-type": "Money"}),
        ("list[Money]", {"type": "array", "items": {"x-python-type": "Money"}}),
        ("Money | None", {"anyOf": [{"x-python-type": "Money"}, NULL]}),
        ("Point[int]", {"x-python-type": "Point[int]"}),
        ("dt", {"x-python-type": "dt"}),
        ("uuid.uuid4", {"x-python-type": "uuid.uuid4"}),
        ("State.NEW.value", {"x-python-type": "State.NEW.value"}),
        ("f(x)", {"x-python-type": "f(x)"}),
        ("1 +", {"x-python-type": "1 +"}),
        ("", {"x-python-type": ""}),
        ("Once", {"x-python-type": "Once"}),
        ("list[()]", {"x-python-type": "list[()]"}),
        ("Optional[()]", {"x-python-type": "Optional[()]"}),
        ("...", {"x-python-type": "..."}),
        ("int[...]", {"x-python-type": "int[...]"}),
        ("tuple[...]", {"type": "array", "items": {"x-python-type": "..."}}),
    ],
)
def test_annotations_become_json_schema(site: Site, annotation: str, schema: dict[str, Any]) -> None:
    site.install("acme", None, {"acme_types": TYPES})
    __import__("acme_types")
    assert schema_of(annotation, "acme_types") == schema


def test_annotations_that_are_objects_become_the_same(site: Site) -> None:
    contract = """
        import datetime
        from typing import Annotated, Literal
        from fastsoy_events import event
        from acme_types import State, Number, Numbers, Point

        class Unshowable:
            def __repr__(self):
                raise ValueError("no text")

        @event("thing.done")
        def thing_done(
            *, a: int, b: int | None, c: list[State], d: datetime.date, e: Number, f: Numbers, g: Literal["x"],
            h: Point, i, j: Annotated[int, Unshowable()], k: "State",
        ): ...
    """
    site.install("acme", {"acme": "acme"}, {"acme": contract, "acme_types": TYPES})
    keywords = named(site, "thing.done").keywords
    assert {each.name: each.schema for each in keywords} == {
        "a": INTEGER,
        "b": {"anyOf": [INTEGER, NULL]},
        "c": {"type": "array", "items": STATES},
        "d": {"type": "string", "format": "date"},
        "e": INTEGER,
        "f": {"type": "array", "items": INTEGER},
        "g": {"type": "string", "enum": ["x"]},
        "h": {"x-python-type": "acme_types.Point"},
        "i": {},
        "j": {"x-python-type": "_AnnotatedAlias"},
        "k": STATES,
    }
    written = [each.type for each in keywords]
    assert written[:5] == ["int", "int | None", "list[State]", "datetime.date", "Number"]
    assert written[8:] == ["", "Annotated[int, Unshowable()]", "State"]


def test_a_class_whose_metaclass_refuses_everything_is_unknown(site: Site) -> None:
    contract = """
        from fastsoy_events import event

        class Refusing(type):
            __hash__ = None
            @property
            def __module__(cls):
                raise OSError("no module")

        class Odd(metaclass=Refusing): ...

        @event("thing.done")
        def thing_done(*, a: Odd, b: "Odd | None"): ...
    """
    site.install("acme", {"acme": "acme"}, {"acme": contract})
    assert [(each.type, each.schema) for each in named(site, "thing.done").keywords] == [
        ("Odd", {"x-python-type": "Refusing"}),
        ("Odd | None", {"x-python-type": "Odd | None"}),
    ]


def test_no_annotation_is_evaluated(site: Site) -> None:
    contract = """
        from __future__ import annotations
        from fastsoy_events import event

        class Trap:
            def __getattr__(self, name):
                raise SystemExit(name)

        trap = Trap()

        @event("thing.done")
        def thing_done(*, a: trap.x, b: trap[1], c: exec("raise SystemExit"), d: __import__("antigravity")): ...
    """
    site.install("acme", {"acme": "acme"}, {"acme": contract})
    assert [each.schema for each in named(site, "thing.done").keywords] == [
        {"x-python-type": "trap.x"},
        {"x-python-type": "trap[1]"},
        {"x-python-type": "exec('raise SystemExit')"},
        {"x-python-type": "__import__('antigravity')"},
    ]


@pytest.mark.parametrize("annotation", ["list[" * 3000 + "]" * 3000, "int" + "|int" * 400, "(" * 900 + ")" * 900, "\0"])
def test_an_annotation_that_nobody_would_write_ends_in_bounded_time(annotation: str) -> None:
    assert len(json.dumps(schema_of(annotation, "nowhere"))) < 1000


def test_aliases_that_double_each_other_end(site: Site) -> None:
    lines = [f'A{number} = "tuple[A{number + 1}, A{number + 1}]"' for number in range(60)]
    site.install("acme", None, {"acme_types": "\n".join(lines)})
    __import__("acme_types")
    assert len(json.dumps(schema_of("A0", "acme_types"))) < 100_000


@pytest.mark.parametrize(
    ("default", "shown", "schema"),
    [
        ("1", "1", {"default": 1}),
        ("'x'", "'x'", {"default": "x"}),
        ("None", "None", {"default": None}),
        ("1.5", "1.5", {"default": 1.5}),
        ("True", "True", {"default": True}),
        ("float('nan')", "...", {}),
        ("object()", "...", {}),
        ("10 ** 5000", "...", {}),
        ("()", "...", {}),
        ("'x' * 5000", "...", {}),
    ],
)
def test_a_default_shows_only_where_it_is_short_and_the_same_in_every_process(
    site: Site, default: str, shown: str, schema: dict[str, Any]
) -> None:
    contract = f"from fastsoy_events import event\n@event('thing.done')\ndef done(*, a={default}): ..."
    site.install("acme", {"acme": "acme"}, {"acme": contract})
    (keyword,) = named(site, "thing.done").keywords
    assert (keyword.default, keyword.schema, keyword.is_required) == (shown, schema, False)


# Markdown


def test_the_page(shop: Site) -> None:
    result = run(shop)
    assert result.stdout == dedent(
        """\
        # Events

        <!-- Written by `fastsoy-events catalog`: change the sources, not this page. -->

        ## `order.lost`

        Published by `shop` of `acme-shop`, by the contract `acme_shop.events.order_lost`.

        | keyword | type | default |
        | --- | --- | --- |
        | `order_id` | `int` | required |

        Nobody handles it.

        ## `order.paid`

        Published by `shop` of `acme-shop`. No contract declares what it carries.

        Its emits carry `order_id`, `amount`.

        Handled in this order:

        1. `acme_books.book`, `books` of `acme-books`

        ## `order.placed`

        A customer has placed an order; it is not paid yet.

        Published by `shop` of `acme-shop`, by the contract `acme_shop.events.order_placed`.

        | keyword | type | default |
        | --- | --- | --- |
        | `order_id` | `int` | required |
        | `kind` | `Kind` | `Kind.WEB` |
        | `note` | `str \\| None` | `None` |

        Handled in this order:

        1. `acme_books.enter`, `books` of `acme-books`
        2. `acme_mail.thank`, `mail` of `acme-mail`

        ## Handled, but published by nobody known

        | event | handlers, in order |
        | --- | --- |
        | `stock.counted` | `acme_books.write_off` |
        """
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("form", ["markdown", "json", "asyncapi"])
def test_the_text_is_the_same_in_every_process_and_folder(shop: Site, tmp_path: Path, form: str) -> None:
    elsewhere = tmp_path / "elsewhere" / "site"
    shutil.copytree(shop.folder, elsewhere)
    first = run(shop, "--format", form, PYTHONHASHSEED="1").stdout
    assert run(type(shop)(elsewhere), "--format", form, PYTHONHASHSEED="2").stdout == first
    assert first
    assert str(tmp_path) not in first


def test_names_and_texts_cannot_become_markup(site: Site) -> None:
    contract = r'''
        import warnings
        warnings.simplefilter("ignore")
        from fastsoy_events import event

        @event("a`b``c|d\n# x")
        def done(*, a: "int | Literal['|']" = "`|\n"):
            """- <script>alert(1)</script> [x](y) | `a < b` *b* snake_case _it_ &amp; \x1b[31m

            More.
            """
    '''
    site.install("acme", {"acme": "acme"}, {"acme": contract})
    page = as_markdown(catalogue(site), "# <b>\n")
    lines = page.splitlines()
    assert lines[0] == r"# \# \<b>"
    assert lines[4:7] == [
        "## ```a`b``c|d # x```",
        "",
        r"\- \<script>alert(1)\</script> \[x](y) | `a < b` \*b\* snake_case \_it\_ \&amp; \[31m",
    ]
    assert lines[12] == r"| `a` | `int \| Literal['\|']` | ``'`\|\n'`` |"
    assert "\x1b" not in page


def test_an_event_without_keywords_says_so(site: Site) -> None:
    source = """
        from fastsoy_events import emit, event
        @event("day.ended")
        def day_ended(): ...
        async def work(payload): await emit("day.begun", **payload)
    """
    site.install("acme", {"acme": "acme"}, {"acme": source})
    page = as_markdown(catalogue(site), "Events")
    assert "`acme.day_ended`.\n\nIt carries no keywords.\n" in page
    assert "No contract declares what it carries.\n\nNothing is known of what it carries.\n" in page


def test_an_empty_catalogue_says_so() -> None:
    assert as_markdown((), "Events").endswith("\n\nNo event is published, and none is handled.\n")
    assert as_json(()) == '{\n  "schema": 1,\n  "events": []\n}\n'


# JSON


def test_json_has_exactly_the_promised_keys(shop: Site) -> None:
    result = run(shop, "--json")
    document = json.loads(result.stdout)
    assert list(document) == ["schema", "events"]
    assert document["schema"] == 1
    assert document["events"][2] == {
        "event": "order.placed",
        "publishers": [{"plugin": "shop", "distribution": "acme-shop", "contract": True, "emits": False}],
        "contract": "acme_shop.events.order_placed",
        "purpose": "A customer has placed an order; it is not paid yet.",
        "keywords": [
            {"name": "order_id", "type": "int", "required": True, "default": None, "schema": {"type": "integer"}},
            {
                "name": "kind",
                "type": "Kind",
                "required": False,
                "default": "Kind.WEB",
                "schema": {"type": "string", "enum": ["web", "phone"]},
            },
            {
                "name": "note",
                "type": "str | None",
                "required": False,
                "default": "None",
                "schema": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            },
        ],
        "has_more": False,
        "handlers": [
            {
                "position": position,
                "id": f"acme-{plugin}:{plugin}:acme_{plugin}:{name}",
                "plugin": plugin,
                "distribution": f"acme-{plugin}",
                "handler": f"acme_{plugin}.{name}",
                "kind": kind,
            }
            for position, plugin, name, kind in [(0, "books", "enter", "async"), (1, "mail", "thank", "sync")]
        ],
    }
    assert run(shop, "--format", "json").stdout == result.stdout


# AsyncAPI


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Draft7Validator:
    """Return a validator with the official schema of AsyncAPI 3.0."""
    modules = npm.install(tmp_path_factory.mktemp("asyncapi"), "@asyncapi/specs@6")
    text = (modules / "@asyncapi" / "specs" / "schemas" / "3.0.0.json").read_text(encoding="utf-8")
    return Draft7Validator(json.loads(text))


def problems(official: Draft7Validator, document: Mapping[str, Any]) -> list[str]:
    return [f"{each.json_path}: {each.message}"[:300] for each in official.iter_errors(document)]


def resolved(document: Mapping[str, Any], reference: Mapping[str, str]) -> Any:
    found: Any = document
    for part in reference["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_the_document_passes_the_official_schema(official: Draft7Validator, shop: Site) -> None:
    result = run(shop, "--format", "asyncapi", "--title", "The shop")
    document = json.loads(result.stdout)
    assert problems(official, document) == []
    assert document["info"]["title"] == "The shop"
    assert problems(official, document | {"operations": {"x": {}}}) != []  # the schema does refuse what is wrong


def test_the_schema_takes_every_type_and_the_oddest_of_names(official: Draft7Validator, site: Site) -> None:
    annotations = (
        "int | None; list[int]; tuple[int, str]; dict[str, int]; dt.datetime; Literal['a', 1, None]; State; Money; "
        "set[str]; bytes; Decimal; Odd; 1 + 1; Once; tuple[()]; list[Money] | None; Literal[True]"
    )
    keywords = ", ".join(f"k{number}: {each}" for number, each in enumerate(annotations.split("; ")))
    odd = r"""
    import warnings
    warnings.simplefilter("ignore")
    from fastsoy_events import event, on
    @event("thing.done")
    def thing_done(*, %s): ...
    @on("")
    def nothing(**payload): ...
    @on("a/b~c {d} #e %%20 \ud800 \x00 é")
    def odd(**payload): ...
    """
    site.install("acme", {"a/b {c}": "acme"}, {"acme": TYPES + odd % keywords})
    document = json.loads(as_asyncapi(catalogue(site), "Events"))
    assert problems(official, document) == []
    assert len(document["channels"]) == 3
    assert len(document["operations"]) == 3
    for operation in document["operations"].values():
        channel = resolved(document, operation["channel"])
        assert [resolved(document, each) for each in operation["messages"]] == list(channel["messages"].values())
        assert resolved(document, next(iter(channel["messages"].values())))["name"] == channel["address"]


def test_an_event_is_a_channel_whose_message_is_the_keywords(shop: Site) -> None:
    document = json.loads(as_asyncapi(catalogue(shop), "Events"))
    assert document["channels"]["order.placed"]["address"] == "order.placed"
    payload = document["components"]["messages"]["order.placed"]["payload"]
    assert payload["properties"]["order_id"] == {"type": "integer"}
    assert (payload["required"], payload["additionalProperties"]) == (["order_id"], False)
    assert document["components"]["messages"]["order.paid"]["payload"] == {
        "type": "object",
        "properties": {"order_id": {}, "amount": {}},
        "required": ["order_id"],
    }


def test_publishers_send_and_handlers_receive_in_order(shop: Site) -> None:
    operations = json.loads(as_asyncapi(catalogue(shop), "Events"))["operations"]
    placed = {name: each for name, each in operations.items() if each["channel"]["$ref"] == "#/channels/order.placed"}
    assert [(name, each["action"], each.get("x-handler")) for name, each in placed.items()] == [
        ("send.order.placed.acme-shop.shop", "send", None),
        ("receive.order.placed.1.acme-books.books", "receive", "acme_books.enter"),
        ("receive.order.placed.2.acme-mail.mail", "receive", "acme_mail.thank"),
    ]
    assert [each["action"] for name, each in operations.items() if "stock.counted" in name] == ["receive"]


def test_the_documents_version_changes_with_anything_else(shop: Site) -> None:
    found = catalogue(shop)
    given = [(found, "Events"), (found, "Events"), (found, "Other"), (found[1:], "Events")]
    versions = [json.loads(as_asyncapi(each, title))["info"]["version"] for each, title in given]
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3


# --output and --check


def test_what_output_writes_is_what_check_expects(shop: Site) -> None:
    page = shop.folder.parent / "events.md"
    written = run(shop, "--output", "events.md")
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    assert page.read_text(encoding="utf-8") == run(shop).stdout
    checked = run(shop, "--check", "events.md")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    page.write_bytes(page.read_bytes().replace(b"\n", b"\r\n"))
    assert run(shop, "--check", "events.md").returncode == 0


def test_a_stale_page_ends_in_a_short_diff(shop: Site) -> None:
    page = shop.folder.parent / "events.md"
    run(shop, "--output", "events.md")
    page.write_text(page.read_text(encoding="utf-8").replace("acme_mail.thank", "acme_mail.greet"), encoding="utf-8")
    before = page.read_bytes()
    checked = run(shop, "--check", "events.md")
    assert checked.stdout.splitlines() == [
        "--- events.md",
        "+++ events.md, as it should be",
        "@@ -39,3 +39,3 @@",
        " 1. `acme_books.enter`, `books` of `acme-books`",
        "-2. `acme_mail.greet`, `mail` of `acme-mail`",
        "+2. `acme_mail.thank`, `mail` of `acme-mail`",
        " ",
    ]
    assert checked.stderr.startswith("error: events.md is stale: ")
    assert (checked.returncode, page.read_bytes()) == (1, before)


def test_a_page_that_is_nothing_like_it_ends_in_a_bounded_diff(shop: Site) -> None:
    page = shop.folder.parent / "events.md"
    page.write_text("\x1b[31mx\n" * 5000 + "y" * 100_000, encoding="utf-8")
    checked = run(shop, "--check", "events.md")
    lines = checked.stdout.splitlines()
    assert (checked.returncode, len(lines)) == (1, 61)
    assert lines[-1].startswith("... and ")
    assert max(map(len, lines)) <= 301
    assert "\x1b" not in checked.stdout
    page.write_text("x\n" * 50_000, encoding="utf-8")
    checked = run(shop, "--check", "events.md")
    assert (checked.returncode, checked.stdout) == (1, "events.md has 50000 lines, and should have 46\n")


def test_a_page_that_lacks_its_last_line_break_is_stale(shop: Site) -> None:
    page = shop.folder.parent / "events.md"
    page.write_bytes(run(shop).stdout.encode().rstrip())
    checked = run(shop, "--check", "events.md")
    assert (checked.returncode, checked.stdout) == (1, "events.md differs in its line breaks alone\n")


def test_output_goes_through_a_link_and_keeps_the_files_mode(shop: Site) -> None:
    folder = shop.folder.parent
    (folder / "real.md").write_text("old", encoding="utf-8")
    (folder / "real.md").chmod(0o640)
    (folder / "events.md").symlink_to("real.md")
    assert run(shop, "--output", "events.md").returncode == 0
    assert (folder / "events.md").is_symlink()
    assert (folder / "real.md").read_text(encoding="utf-8").startswith("# Events")
    assert (folder / "real.md").stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in folder.iterdir()) == ["events.md", "real.md", "site"]


@pytest.mark.parametrize(
    ("option", "file", "message"),
    [
        ("--check", "none.md", "none.md cannot be read: there is none. Write it with --output none.md"),
        ("--check", "site", "site cannot be read: it is no regular file"),
        ("--check", "latin.md", "latin.md cannot be read: it is not UTF-8"),
        ("--check", "huge.md", "huge.md cannot be read: it is larger than 67108864 bytes"),
        ("--output", "site", "site cannot be written: it is no regular file"),
        ("--output", "nowhere/events.md", "nowhere/events.md cannot be written: No such file or directory"),
        ("--output", "latin.md/events.md", "latin.md/events.md cannot be written: Not a directory"),
    ],
)
def test_a_file_that_cannot_be_used_gets_one_line(shop: Site, option: str, file: str, message: str) -> None:
    (shop.folder.parent / "latin.md").write_bytes(b"\xe9")
    with (shop.folder.parent / "huge.md").open("wb") as huge:
        huge.truncate(1 << 40)  # it takes no room: nothing was written
    result = run(shop, option, file)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}")
    assert result.stderr.count("\n") == 1


def test_a_working_folder_that_is_gone_gets_one_line(shop: Site, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    delete_first = ("sh", "-c", 'cd gone && rmdir ../gone && exec "$@"', "sh", *command_line.COMMAND)
    arguments = ("catalog", "--output", "events.md")
    done = command_line.run(tmp_path, *arguments, command=delete_first, PYTHONPATH=str(shop.folder))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: events.md cannot be found: No such file or directory\n"


@pytest.mark.parametrize(
    "arguments", [("--json", "--format", "asyncapi"), ("--output", "a", "--check", "b"), ("--format", "yaml")]
)
def test_options_that_contradict_each_other_are_wrong_usage(shop: Site, arguments: tuple[str, ...]) -> None:
    result = run(shop, *arguments)
    assert (result.returncode, result.stdout) == (2, "")


def test_the_file_is_where_the_command_was_started_even_if_the_application_moves(shop: Site) -> None:
    (shop.folder / "front.py").write_text("import os\nos.chdir('/')", encoding="utf-8")
    assert run(shop, "--output", "events.md", "--app", "front").returncode == 0
    assert (shop.folder.parent / "events.md").exists()


def test_a_failed_plugin_is_the_exit_code_after_the_output(shop: Site) -> None:
    shop.install("acme-late", {"late": "acme_late"}, {"acme_late": "raise OSError('no clock')"})
    result = run(shop)
    assert result.returncode == 1
    assert "## `order.placed`" in result.stdout
    assert result.stderr.startswith("error: Plugin failed: acme-late 1.0")


def test_emits_whose_event_the_source_does_not_tell_are_named_in_a_note(shop: Site) -> None:
    source = "from fastsoy_events import emit\nasync def f(name):\n" + "    await emit(name)\n" * 5
    shop.install("acme-any", {"any": "acme_any"}, {"acme_any": source})
    assert run(shop).stderr == (
        "note: emits whose source does not tell the event are left out: acme_any line 3, acme_any line 4, "
        "acme_any line 5, and 2 more\n"
    )
