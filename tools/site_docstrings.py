"""Extension of griffe, which reads the docstrings for the site: what it does not know of this repository's."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["Docstrings"]

_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Have `Example:` be a section of code, and a `NamedTuple` take its fields as arguments."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Give the section the name under which griffe looks for code."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub("Examples:", obj.docstring.value)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Add the `__init__` that `NamedTuple` makes when the class is created."""
        if "NamedTuple" in map(str, cls.bases) and "__init__" not in cls.members:
            keyword = griffe.ParameterKind.positional_or_keyword
            fields = [each for each in cls.attributes.values() if "instance-attribute" in each.labels]
            parameters = [griffe.Parameter("self", kind=keyword)] + [
                griffe.Parameter(each.name, annotation=each.annotation, kind=keyword, default=each.value)
                for each in fields
            ]
            made = griffe.Function("__init__", parameters=griffe.Parameters(*parameters), returns="None")
            cls.set_member("__init__", made)
