"""Compiling: the text that a driver is given, and its values in order, for statements that run for each publication."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Dialect, Executable


class Compiler:
    """Compiles statements for one dialect, and keeps those that run again and again.

    Args:
        dialect: has a positional style of parameters.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._kept: dict[Executable, tuple[str, tuple[str, ...], Mapping[str, Any]]] = {}

    def compiled(self, statement: Executable, parameters: Mapping[str, object] | None) -> tuple[str, list[Any]]:
        """Return a statement's text and its values.

        Args:
            statement: one that is given parameters runs again and again, and is kept.
            parameters: by name; None where the statement has its values in it.
        """
        known = self._kept.get(statement) if parameters is not None else None
        if known is None:
            any_statement: Any = statement  # an Executable need not be a ClauseElement, and each of these is
            compiled: Any = any_statement.compile(dialect=self._dialect, compile_kwargs={"render_postcompile": True})
            known = str(compiled), tuple(getattr(compiled, "positiontup", ())), dict(compiled.params or {})
            if parameters is not None:
                self._kept[statement] = known
        text, names, own = known
        given = parameters or {}
        return text, [given[name] if name in given else own[name] for name in names]
