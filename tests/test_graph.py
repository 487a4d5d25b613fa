"""The graph of plugins and events: its edges and cycles, and its drawings, read by Mermaid and Graphviz themselves."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from fastsoy_events import bus, events, handlers, load_plugins
from fastsoy_events._model import Candidate
from fastsoy_events.inspection._edges import publications
from fastsoy_events.inspection.graph._cycles import components, shortest_cycle
from fastsoy_events.inspection.graph._draw import as_dot, as_mermaid
from fastsoy_events.inspection.graph._graph import HOST, Graph, drawn
from fastsoy_events.inspection.source._trees import survey
from tests import command_line, npm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from conftest import Site

SVG = "{http://www.w3.org/2000/svg}"
QUIET = 'import warnings\nwarnings.simplefilter("ignore")\n'


def source(*, declares: Iterable[str] = (), emits: Iterable[str] = (), handles: Iterable[str] = ()) -> str:
    """Return a module that declares, emits and handles events; it emits in a function that handles none of them."""
    lines = [f"{QUIET}from fastsoy_events import emit, event, on"]
    lines += [f"@event({name!r})\ndef contract_{n}(*, key: int): ..." for n, name in enumerate(declares)]
    lines += [f"@on({name!r})\ndef handler_{n}(**payload): ..." for n, name in enumerate(handles)]
    lines += ["async def work():", *(f"    await emit({name!r})" for name in emits), "    return None"]
    return "\n".join(lines)


def plugin(site: Site, name: str, code: str = "", **what: Iterable[str]) -> None:
    module = f"acme_{name}"
    site.install(f"acme-{name}", {name: module}, {module: code or source(**what)})


def graph(site: Site, wanted: Callable[[str], bool] | None = None, **arguments: Any) -> Graph:
    report = load_plugins(path=[site.folder], **arguments)
    found = survey([Candidate(each) for each in report.plugins])
    return drawn(report.plugins, publications(events(), report.plugins, found.trees).known, handlers(), wanted)


def edges(found: Graph) -> list[str]:
    """Return the edges, each as a text: `>` for a contract, `~` for an emit alone, and positions for handlers."""
    texts: list[str] = []
    for edge in found.edges:
        if edge.kind == "publishes":
            texts.append(f"{edge.party.name} {'>' if edge.has_contract else '~'} {edge.event}")
        else:
            texts.append(f"{edge.event} {list(edge.positions)} {edge.party.name}")
    return texts


def examples(found: Graph) -> list[str]:
    return [str(cycle) for cycle in found.cycles]


def run(site: Site, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return command_line.run(site.folder.parent, "graph", *arguments, "--path", str(site.folder), **changes)


@pytest.fixture
def shop(site: Site) -> Site:
    """Three plugins; the first publishes two events, one of them by contract, and one event nobody publishes."""
    plugin(site, "shop", declares=["order.placed"], emits=["order.placed", "order.paid"], handles=["stock.counted"])
    plugin(site, "mail", handles=["order.placed", "order.paid"])
    plugin(site, "books", handles=["order.placed", "order.placed"])
    return site


@pytest.fixture
def round_trip(site: Site) -> Site:
    """Two plugins that emit to each other, and one that only listens."""
    plugin(site, "orders", declares=["order.placed"], handles=["invoice.made"])
    plugin(site, "billing", emits=["invoice.made"], handles=["order.placed"])
    plugin(site, "audit", handles=["order.placed", "invoice.made"])
    return site


# Edges


def test_edges_lead_from_publishers_to_events_to_handlers(shop: Site) -> None:
    found = graph(shop)
    assert edges(found) == [
        "shop ~ order.paid",
        "order.paid [0] mail",
        "shop > order.placed",
        "order.placed [0, 1] books",
        "order.placed [2] mail",
        "stock.counted [0] shop",
    ]
    assert [party.name for party in found.parties] == ["books", "mail", "shop"]
    assert (found.events, found.cycles) == (("order.paid", "order.placed", "stock.counted"), ())


def test_the_order_of_plugins_is_that_of_the_load(shop: Site) -> None:
    found = graph(shop, order=["shop", "mail"])
    assert [party.name for party in found.parties] == ["shop", "mail", "books"]
    assert "order.placed [0] mail" in edges(found)


def test_only_the_events_that_are_wanted_show(shop: Site) -> None:
    found = graph(shop, lambda event: event.endswith("paid"))
    assert edges(found) == ["shop ~ order.paid", "order.paid [0] mail"]
    assert [party.name for party in found.parties] == ["mail", "shop"]


def test_what_is_not_loaded_has_no_edges(shop: Site) -> None:
    assert edges(graph(shop, disabled=["shop"])) == [
        "order.paid [0] mail",
        "order.placed [0, 1] books",
        "order.placed [2] mail",
    ]


# Cycles


def test_plugins_that_emit_to_each_other_are_a_cycle(round_trip: Site) -> None:
    found = graph(round_trip)
    assert examples(found) == ["billing > invoice.made > orders > order.placed > billing"]
    marked = [text for text, edge in zip(edges(found), found.edges, strict=True) if edge.is_in_cycle]
    assert marked == [
        "billing ~ invoice.made",
        "invoice.made [1] orders",
        "orders > order.placed",
        "order.placed [1] billing",
    ]


def test_a_cycle_shows_in_a_part_of_the_graph_too(round_trip: Site) -> None:
    found = graph(round_trip, lambda event: event == "order.placed")
    assert examples(found) == ["billing > invoice.made > orders > order.placed > billing"]
    assert [edge.is_in_cycle for edge in found.edges] == [True, False, True]
    assert graph(round_trip, lambda event: event == "else").cycles == ()


def test_a_plugin_that_hears_its_own_event_is_no_cycle(site: Site) -> None:
    plugin(site, "shop", declares=["order.placed"], emits=["order.placed"], handles=["order.placed"])
    plugin(site, "mail", handles=["order.placed"])
    assert graph(site).cycles == ()


@pytest.mark.parametrize("call", ["emit('order.placed')", "order_placed.emit(key=1)"])
def test_a_handler_that_emits_its_own_event_again_is_a_cycle(site: Site, call: str) -> None:
    code = f"""
        from fastsoy_events import emit, event, on
        @event("order.placed")
        def order_placed(*, key: int): ...
        @on("order.placed")
        async def again(**payload): await {call}
    """
    plugin(site, "shop", code)
    plugin(site, "mail", handles=["order.placed"])
    found = graph(site)
    assert examples(found) == ["shop > order.placed > shop"]
    assert [edge.is_in_cycle for edge in found.edges] == [True, False, True]


def test_a_handler_inside_a_cycle_that_emits_its_own_event_is_no_cycle_of_its_own(round_trip: Site) -> None:
    code = """
        from fastsoy_events import emit, on
        @on("invoice.made")
        async def again(**payload):
            await emit("invoice.made")
            await emit("order.placed")
    """
    plugin(round_trip, "more", code)
    assert [len(cycle.parties) for cycle in graph(round_trip).cycles] == [3]


def test_a_long_way_round_is_shown_by_its_shortest_cycle_and_the_rest_is_counted(site: Site) -> None:
    names = ["a", "b", "c", "d", "e"]
    for number, name in enumerate(names):
        following = [f"to.{names[(number + 1) % 5]}", *(["to.a"] if name == "b" else [])]
        plugin(site, name, emits=following, handles=[f"to.{name}"])
    (cycle,) = graph(site).cycles
    assert str(cycle) == "a > to.b > b > to.a > a, and 3 more plugins in cycles with them"
    assert cycle.events == ("to.a", "to.b", "to.c", "to.d", "to.e")


def test_cycles_apart_from_each_other_are_listed_apart(site: Site) -> None:
    for first, second in ("ab", "cd"):
        plugin(site, first, emits=[f"to.{second}"], handles=[f"to.{first}"])
        plugin(site, second, emits=[f"to.{first}"], handles=[f"to.{second}"])
    assert examples(graph(site)) == ["a > to.b > b > to.a > a", "c > to.d > d > to.c > c"]


def test_cycles_are_found_in_graphs_deeper_than_the_recursion_limit() -> None:
    count = 20 * sys.getrecursionlimit()
    ring = {number: [(number + 1) % count] for number in range(count)}
    assert [len(each) for each in components(ring)] == [count]
    assert len(shortest_cycle(0, ring)) == count + 1
    chain = {number: [number + 1] for number in range(count)} | {count: []}
    assert len(components(chain)) == count + 1
    assert shortest_cycle(0, chain) == []


def test_components_are_those_of_the_definition() -> None:
    successors = {"a": ["b"], "b": ["c", "d"], "c": ["a"], "d": ["e"], "e": ["d", "f"], "f": [], "g": ["g", "a"]}
    found = {frozenset(each) for each in components(successors)}

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for after in successors[waiting.pop()]:
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
        return seen

    both = {frozenset({a, *(b for b in successors if b in reach(a) and a in reach(b))}) for a in successors}
    assert found == both


# Drawings, as their own programs read them


ODD_NAMES = [
    "end",
    "graph",
    'a "quoted" name',
    "[square] (round) {curly} <angle> |bar|",
    "# %% %%{init: {'theme': 'dark'}}%% ; --> x",
    "style:x#a;b",
    "1. one",
    "- dash",
    "`code` *bold* _it_",
    "&amp; &#35; #35; #quot;",
    r"back\slash \n \G \N \\",
    "\\",
    "日本 é ß 🎉",
    "<b>bold</b><script>alert(1)</script>",
    "click e0 call x()",
    "subgraph",
    "default",
    "a:::b@{ shape: rect }",
    "tab\tline\nescape\x1b[31m null\x00",
    "x" * 500,
    "",
    " ",
]


def shown(name: str) -> str:
    """Return a name as a label shows it: on one line, and not too long."""
    line = " ".join("".join(each if each.isprintable() else " " for each in name).split())
    return line if len(line) <= 200 else f"{line[:200]}..."


def node_program(folder: Path, text: str, program: str) -> Callable[[str], Any]:
    (folder / program).write_text(text, encoding="utf-8")

    def read(drawing: str) -> Any:
        done = subprocess.run(
            ["node", program],  # noqa: S607 - wherever it is: npm came with it
            cwd=folder,
            input=drawing,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    return read


MERMAID = """
import { parseHTML } from "linkedom";
import fs from "node:fs";
import vm from "node:vm";

const { window } = parseHTML("<!doctype html><html><body></body></html>");
Object.assign(globalThis, { window, document: window.document });
for (const name of ["Element", "HTMLElement", "Node", "NodeFilter", "DocumentFragment", "HTMLTemplateElement"]) {
  globalThis[name] = window[name];
}
vm.runInThisContext(fs.readFileSync("package/dist/mermaid.min.js", "utf8"));
const mermaid = globalThis.mermaid;
mermaid.initialize({ startOnLoad: false });
const { db } = await mermaid.mermaidAPI.getDiagramFromText(fs.readFileSync(0, "utf8"));
const held = /\\uFB02\\u00B0\\u00B0(\\d+)\\u00B6\\u00DF/g;  // how Mermaid holds "#35;" until it draws
const decoded = (text) => text.replace(held, (_, code) => String.fromCodePoint(code)).trim();
console.log(JSON.stringify({
  nodes: Object.fromEntries(
    [...db.getVertices().values()].map((v) => [v.id, { text: decoded(v.text), classes: v.classes }]),
  ),
  edges: db.getEdges().map((e) => ({ start: e.start, end: e.end, text: e.text, line: e.stroke, style: e.style ?? [] })),
  clusters: db.getSubGraphs().map((s) => ({ title: decoded(s.title), nodes: s.nodes })),
  config: mermaid.mermaidAPI.getConfig().theme,
}));
"""
GRAPHVIZ = """
import { instance } from "@viz-js/viz";
import fs from "node:fs";

const drawing = fs.readFileSync(0, "utf8");
const graphviz = await instance();
const outputs = ["json0", "svg"].map((format) => {
  const result = graphviz.render(drawing, { format });
  if (result.errors.some((each) => each.level !== "warning")) {  // this build warns where it guesses a letter's width
    console.error(JSON.stringify(result.errors));
    process.exit(1);
  }
  return result.output;
});
console.log(JSON.stringify({ ...JSON.parse(outputs[0]), svg: outputs[1] }));
"""


@pytest.fixture(scope="session")
def npm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with Mermaid, the part of a browser that it needs to read, and Graphviz."""
    folder = tmp_path_factory.mktemp("npm")
    npm.install(folder, "linkedom@0.18", "@viz-js/viz@3")
    npm.npm(folder, "pack", "mermaid@11")  # only one of its files is needed, and none of what it depends on
    (archive,) = folder.glob("mermaid-*.tgz")
    with tarfile.open(archive) as packed:
        packed.extract("package/dist/mermaid.min.js", folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def by_mermaid(npm_folder: Path) -> Callable[[str], Any]:
    return node_program(npm_folder, MERMAID, "mermaid.mjs")


@pytest.fixture(scope="session")
def by_graphviz(npm_folder: Path) -> Callable[[str], Any]:
    return node_program(npm_folder, GRAPHVIZ, "graphviz.mjs")


def test_mermaid_reads_the_graph_that_was_meant(by_mermaid: Callable[[str], Any], shop: Site) -> None:
    read = by_mermaid(as_mermaid(graph(shop)))
    text = {name: node["text"] for name, node in read["nodes"].items()}
    assert [(cluster["title"], [text[node] for node in cluster["nodes"]]) for cluster in read["clusters"]] == [
        ("acme-books", ["books"]),
        ("acme-mail", ["mail"]),
        ("acme-shop", ["shop"]),
    ]
    assert [(text[each["start"]], each["line"], each["text"], text[each["end"]]) for each in read["edges"]] == [
        ("shop", "dotted", "", "order.paid"),
        ("order.paid", "normal", "1", "mail"),
        ("shop", "normal", "", "order.placed"),
        ("order.placed", "normal", "1, 2", "books"),
        ("order.placed", "normal", "3", "mail"),
        ("stock.counted", "normal", "1", "shop"),
    ]
    assert [text[name] for name, node in read["nodes"].items() if "unpublished" in node["classes"]] == ["stock.counted"]
    assert not [name for name, node in read["nodes"].items() if "cycle" in node["classes"]]


def test_mermaid_marks_cycles(by_mermaid: Callable[[str], Any], round_trip: Site) -> None:
    drawing = as_mermaid(graph(round_trip))
    read = by_mermaid(drawing)
    text = {name: node["text"] for name, node in read["nodes"].items()}
    red = [(text[each["start"]], text[each["end"]]) for each in read["edges"] if "stroke:#c62828" in each["style"]]
    assert red == [
        ("billing", "invoice.made"),
        ("invoice.made", "orders"),
        ("orders", "order.placed"),
        ("order.placed", "billing"),
    ]
    marked = {text[name] for name, node in read["nodes"].items() if "cycle" in node["classes"]}
    legend = "red: emits can go round in a cycle"
    assert marked == {"billing", "orders", "invoice.made", "order.placed", legend}
    assert f"%% {legend}: billing > invoice.made > orders > order.placed > billing\n" in drawing


@pytest.mark.parametrize("parts", [slice(0, 8), slice(8, 16), slice(16, None)])
def test_mermaid_shows_the_oddest_names_as_they_are(by_mermaid: Callable[[str], Any], site: Site, parts: slice) -> None:
    names = ODD_NAMES[parts]
    plugin(site, "odd", declares=names, handles=names)
    read = by_mermaid(as_mermaid(graph(site)))
    texts = [node["text"] for name, node in read["nodes"].items() if name.startswith("e")]
    assert sorted(texts) == sorted(map(shown, names))
    assert len(read["edges"]) == 2 * len(names)
    assert read["config"] == "default"


def test_graphviz_reads_the_graph_that_was_meant(by_graphviz: Callable[[str], Any], shop: Site) -> None:
    read = by_graphviz(as_dot(graph(shop)))
    label = {each["_gvid"]: each["label"] for each in read["objects"]}
    clusters = [each for each in read["objects"] if each["name"].startswith("cluster")]
    assert [(each["label"], [label[node] for node in each["nodes"]]) for each in clusters] == [
        ("acme-books", ["books"]),
        ("acme-mail", ["mail"]),
        ("acme-shop", ["shop"]),
    ]
    found = [
        (label[each["tail"]], each.get("style", ""), each.get("label", ""), label[each["head"]])
        for each in read["edges"]
    ]
    assert sorted(found) == [
        ("order.paid", "", "1", "mail"),
        ("order.placed", "", "1, 2", "books"),
        ("order.placed", "", "3", "mail"),
        ("shop", "", "", "order.placed"),
        ("shop", "dashed", "", "order.paid"),
        ("stock.counted", "", "1", "shop"),
    ]
    assert [each["label"] for each in read["objects"] if "dashed" in each.get("style", "")] == ["stock.counted"]


def test_graphviz_marks_cycles(by_graphviz: Callable[[str], Any], round_trip: Site) -> None:
    read = by_graphviz(as_dot(graph(round_trip)))
    label = {each["_gvid"]: each["label"] for each in read["objects"]}
    red = {(label[each["tail"]], label[each["head"]]) for each in read["edges"] if each["color"] == "#c62828"}
    assert red == {
        ("billing", "invoice.made"),
        ("invoice.made", "orders"),
        ("orders", "order.placed"),
        ("order.placed", "billing"),
    }
    marked = {each["label"] for each in read["objects"] if each.get("penwidth") == "3"}
    assert marked == {"billing", "orders", "invoice.made", "order.placed"}
    assert read["label"] == "red: emits can go round in a cycle"


def svg(read: Any) -> ElementTree.Element:
    return ElementTree.fromstring(read["svg"])  # noqa: S314 - Graphviz made it


def test_graphviz_shows_the_oddest_names_as_they_are(by_graphviz: Callable[[str], Any], site: Site) -> None:
    plugin(site, "odd", declares=ODD_NAMES, handles=ODD_NAMES)
    read = by_graphviz(as_dot(graph(site)))
    nodes = [each for each in svg(read).iter(f"{SVG}g") if each.get("class") == "node"]
    texts = {each.findtext(f"{SVG}title"): each.findtext(f"{SVG}text") or "" for each in nodes}
    assert sorted(text for name, text in texts.items() if name != "p0") == sorted(map(shown, ODD_NAMES))
    assert len(read["edges"]) == 2 * len(ODD_NAMES)


def test_odd_names_of_plugins_and_distributions_are_read_as_they_are(
    by_mermaid: Callable[[str], Any], by_graphviz: Callable[[str], Any], site: Site
) -> None:
    name = 'end "x" [y] \\ {z}'
    site.install("acme-odd", {name: "acme_odd"}, {"acme_odd": source(handles=["order.placed"])})
    found = graph(site)
    assert "acme-odd" in [each["title"] for each in by_mermaid(as_mermaid(found))["clusters"]]
    assert by_mermaid(as_mermaid(found))["nodes"]["p0"]["text"] == name
    assert name in [each.text for each in svg(by_graphviz(as_dot(found))).iter(f"{SVG}text")]


def test_the_host_is_a_node_outside_of_every_cluster(
    by_mermaid: Callable[[str], Any], by_graphviz: Callable[[str], Any], site: Site
) -> None:
    bus.on("order.placed")(dict)
    found = graph(site)
    assert found.parties == (HOST,)
    read = by_mermaid(as_mermaid(found))
    assert (read["nodes"]["p0"]["text"], read["clusters"]) == ("host", [])
    assert [each["label"] for each in by_graphviz(as_dot(found))["objects"]] == ["host", "order.placed"]


def test_an_empty_graph_can_be_drawn(
    by_mermaid: Callable[[str], Any], by_graphviz: Callable[[str], Any], site: Site
) -> None:
    found = graph(site)
    assert by_mermaid(as_mermaid(found))["nodes"] == {}
    assert "objects" not in by_graphviz(as_dot(found))


# The command


def test_mermaid_is_what_the_command_prints(shop: Site) -> None:
    result = run(shop)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == as_mermaid(graph(shop))
    assert run(shop, "--format", "mermaid").stdout == result.stdout


def test_dot_is_what_the_command_prints_when_asked(shop: Site) -> None:
    result = run(shop, "*.paid", "--format", "dot")
    assert result.stdout == as_dot(graph(shop, lambda event: event == "order.paid"))


def test_json_has_exactly_the_promised_keys(round_trip: Site) -> None:
    document = json.loads(run(round_trip, "order.*", "--json").stdout)
    billing, orders = (
        {"plugin": "billing", "distribution": "acme-billing"},
        {"plugin": "orders", "distribution": "acme-orders"},
    )
    audit = {"plugin": "audit", "distribution": "acme-audit"}
    event = {"event": "order.placed"}
    assert document == {
        "schema": 1,
        "plugins": [audit, billing, orders],
        "events": ["order.placed"],
        "edges": [
            {"kind": "publishes", **orders, **event, "in_cycle": True, "contract": True},
            {"kind": "handles", **audit, **event, "in_cycle": False, "positions": [0]},
            {"kind": "handles", **billing, **event, "in_cycle": True, "positions": [1]},
        ],
        "cycles": [
            {
                "example": ["billing", "invoice.made", "orders", "order.placed", "billing"],
                "plugins": [billing, orders],
                "events": ["invoice.made", "order.placed"],
            }
        ],
    }
    assert next(iter(document)) == "schema"


@pytest.mark.parametrize("form", [[], ["--format", "dot"], ["--json"]])
def test_cycles_are_notes_and_no_failure(round_trip: Site, form: list[str]) -> None:
    result = run(round_trip, *form)
    cycle = "billing > invoice.made > orders > order.placed > billing"
    assert (result.returncode, result.stderr) == (0, f"note: emits can go round in a cycle: {cycle}\n")


def test_a_glob_that_matches_nothing_suggests_the_nearest_event(shop: Site) -> None:
    result = run(shop, "order.piad")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: no event matches 'order.piad'; the nearest is 'order.paid'\n"


def test_nothing_to_draw_is_said_and_is_no_failure(site: Site) -> None:
    result = run(site)
    assert (result.returncode, result.stderr) == (0, "note: no event is published, and none is handled\n")
    assert result.stdout.startswith("flowchart LR\n")


def test_json_and_a_drawing_cannot_both_be_had(shop: Site) -> None:
    result = run(shop, "--json", "--format", "dot")
    assert (result.returncode, result.stdout) == (2, "")


def test_a_failed_plugin_is_the_exit_code_after_the_output(shop: Site) -> None:
    plugin(shop, "late", "raise OSError('no clock')")
    result = run(shop)
    assert result.returncode == 1
    assert result.stdout.startswith("flowchart LR\n")
    assert result.stderr.startswith("error: Plugin failed: acme-late 1.0")


def test_a_drawing_that_mermaid_would_refuse_is_said_to_be_too_large(site: Site) -> None:
    plugin(site, "many", handles=[f"thing.done_{number}" for number in range(501)])
    assert run(site).stderr.startswith("note: Mermaid refuses drawings this large")
    assert run(site, "--format", "dot").stderr == ""


def test_the_drawing_is_the_same_in_every_process(round_trip: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: set[str] = set()
    for seed in ("1", "2", "3"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        texts.add(run(round_trip).stdout)
    assert len(texts) == 1
