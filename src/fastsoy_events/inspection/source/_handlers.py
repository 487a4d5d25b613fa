"""What one application of `on` registers, as the bus would record it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fastsoy_events.inspection.source._records import SourceHandler
from fastsoy_events.inspection.source._resolve import Bound, Instance, Partial, Wrapped
from fastsoy_events.inspection.source._values import Attribute, Builtin, ClassDefinition, Definition, Named

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from fastsoy_events.inspection.source._draft import Draft, Site
    from fastsoy_events.inspection.source._records import Parameter
    from fastsoy_events.inspection.source._resolve import Maker, Resolved, Resolver
    from fastsoy_events.inspection.source._values import Value


class _Target(NamedTuple):
    """What is registered.

    Args:
        qualname: its qualified name.
        identity: equal for one and the same callable.
        definition: the function that runs in the end; None where the source does not tell.
        has_line: whether the bus tells the line of that function, rather than of the `on`.
        is_function: whether it is a plain function, which belongs to the module that defines it.
        is_certain: whether the source leaves no doubt.
        passes: how many arguments are passed before the keywords.
        given: the keywords that are given already.
    """

    qualname: str
    identity: Hashable
    definition: Definition | None = None
    has_line: bool = True
    is_function: bool = False
    is_certain: bool = True
    passes: int = 0
    given: frozenset[str] = frozenset()


def handler_at(
    site: Site, maker: Maker, draft: Draft, drafts: Mapping[str, Draft], resolver: Resolver, *, is_entered: bool
) -> SourceHandler:
    """Return the handler that a call of `on(event)`, or a decorator, registers.

    Args:
        site: where.
        maker: what registers it: it knows the event.
        draft: the module in which it stands.
        drafts: all modules, by dotted name.
        resolver: resolves names.
        is_entered: whether another module calls the function in which it stands.
    """
    given = site.call.arguments[0]
    found = resolver.resolved(given)
    target = _target(found, given, site, resolver)
    target = target._replace(passes=target.passes + maker.passes)
    stable_id = "" if maker.id is None else resolver.text(maker.id)
    definition = target.definition
    home = drafts.get(definition.module) if definition else None
    has_line = definition is not None and target.has_line
    module = draft.name
    if definition is not None and target.is_function:
        module = definition.module
    elif isinstance(found, Named):
        module = found.module
    return SourceHandler(
        event=resolver.text(maker.event),
        written=site.maker_written,
        module=module,
        qualname=target.qualname,
        line=definition.line if definition is not None and has_line else site.line,
        is_async=definition.is_async if has_line and definition else (None if not target.is_certain else False),
        parameters=_parameters(target),
        takes_any=definition.takes_any if definition is not None else True,
        blocking=home.blocking_in(definition) if home is not None and definition is not None else (),
        declared_in=draft.name,
        file=home.file if home is not None and has_line else draft.file,
        is_certain=site.is_certain and target.is_certain and stable_id is not None,
        is_deferred=site.is_deferred and not is_entered,
        function=site.function,
        stable_id=stable_id or "",
        identity=target.identity,
    )


def _target(found: Resolved, given: Value, site: Site, resolver: Resolver) -> _Target:
    match found:
        case Definition():
            return _Target(found.qualname, found, found, is_function=True)
        case Bound(definition, passes):
            identity = (given.owner, definition) if isinstance(given, Attribute) else (site, definition)
            return _Target(definition.qualname, identity, definition, passes=passes)
        case Wrapped(definition):
            return _Target(definition.qualname, site, definition, is_function=True, is_certain=False)
        case Instance(made):
            method = resolver.method(made, "__call__")
            return _Target(made.qualname, given, method, is_certain=method is not None, passes=1)
        case ClassDefinition():
            method = resolver.method(found, "__init__")
            return _Target(found.qualname, found, method, has_line=False, passes=1)
        case Partial(inner, arguments, keywords):
            target = _target(inner, given, site, resolver)
            passes = target.passes + arguments
            return target._replace(identity=given, is_function=False, passes=passes, given=keywords)
        case Builtin(name):
            return _Target(name, name, has_line=False)
        case Named(_, name):
            return _Target(name, found, is_certain=False)
        case _:
            return _Target(site.target_written, site, is_certain=False)


def _parameters(target: _Target) -> tuple[Parameter, ...]:
    """Return the keywords that remain once some arguments are passed; what a partial gives is not required."""
    definition = target.definition
    if definition is None:
        return ()
    remaining = definition.parameters[min(target.passes, definition.first) :]
    return tuple(replace(each, is_required=False) if each.name in target.given else each for each in remaining)
