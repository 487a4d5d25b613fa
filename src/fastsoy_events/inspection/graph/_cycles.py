"""Cycles of emits: plugin A publishes what B handles, and B publishes what A handles. Pure functions, no recursion."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator, Mapping

_Node = TypeVar("_Node", bound="Hashable")


def components(successors: Mapping[_Node, Collection[_Node]]) -> list[list[_Node]]:
    """Return the strongly connected components of a graph, by Tarjan's algorithm.

    Args:
        successors: every node, with the nodes that its edges lead to.
    """
    found: list[list[_Node]] = []
    numbers: dict[_Node, int] = {}
    lowest: dict[_Node, int] = {}
    on_stack: dict[_Node, None] = {}  # in the order in which they were put there
    for root in successors:
        if root in numbers:
            continue
        path: list[tuple[_Node, Iterator[_Node]]] = []
        _enter(root, successors, numbers, lowest, on_stack, path)
        while path:
            node, following = path[-1]
            after = next((each for each in following if each not in numbers or each in on_stack), None)
            if after is None:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[node])
                if lowest[node] == numbers[node]:
                    found.append(_taken_down_to(node, on_stack))
            elif after in numbers:
                lowest[node] = min(lowest[node], numbers[after])
            else:
                _enter(after, successors, numbers, lowest, on_stack, path)
    return found


def _enter(
    node: _Node,
    successors: Mapping[_Node, Collection[_Node]],
    numbers: dict[_Node, int],
    lowest: dict[_Node, int],
    on_stack: dict[_Node, None],
    path: list[tuple[_Node, Iterator[_Node]]],
) -> None:
    numbers[node] = lowest[node] = len(numbers)
    on_stack[node] = None
    path.append((node, iter(successors[node])))


def _taken_down_to(node: _Node, on_stack: dict[_Node, None]) -> list[_Node]:
    taken: list[_Node] = []
    while not taken or taken[-1] != node:
        taken.append(on_stack.popitem()[0])
    return taken


def shortest_cycle(start: _Node, successors: Mapping[_Node, Collection[_Node]]) -> list[_Node]:
    """Return a shortest way from a node back to itself, which it begins and ends with; empty where there is none.

    Args:
        start: the node.
        successors: every node, with the nodes that its edges lead to.
    """
    before: dict[_Node, _Node] = {}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        for after in successors[node]:
            if after == start:
                return [start, *_way(node, start, before)]
            if after not in before:
                before[after] = node
                waiting.append(after)
    return []


def _way(last: _Node, start: _Node, before: Mapping[_Node, _Node]) -> list[_Node]:
    way = [start]
    node = last
    while node != start:
        way.append(node)
        node = before[node]
    return way[::-1]
