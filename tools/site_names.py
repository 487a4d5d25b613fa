"""Hook of MkDocs: the page of all public names, made of their docstrings.

No list of names is kept: a name is public if the `__all__` of a public module has it. Where one has no docstring, or a
parameter that its docstring does not explain, MkDocs warns, so that a strict build fails.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import griffe
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

_PAGE = "reference/names.md"
_NOT_TO_IMPORT = {"cli", "inspection"}  # the command line, and what only that uses
_BEGINNING = """\
# Python names, in full

Every public name with all that its docstring says. The [short list](api.md) has them in tables.
"""

_log = get_plugin_logger("names")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the page, and warn of what is not documented.

    Args:
        files: those of the site.
        config: the site's.

    Returns:
        The same, with the page in it.
    """
    parts = [_BEGINNING]
    for module in _public_modules(Path(config.config_file_path).parent):
        parts.append(f"## {module.path}\n\n{_text(module)}\n")
        parts += [_entry(module, name) for name in _by_kind(module)]
        for problem in _problems(module):
            _log.warning(problem)
    files.append(File.generated(config, _PAGE, content="\n".join(parts)))
    return files


def _public_modules(root: Path) -> Iterator[griffe.Module]:
    yield from _with_names(_loaded(root / "src" / "fastsoy_events"))
    for file in sorted((root / "plugins").glob("*/src/*/__init__.py")):
        plugin = _loaded(file.parent)
        if plugin.exports:  # what a plugin's modules share among themselves is nobody else's
            yield plugin


def _loaded(package: Path) -> griffe.Module:
    loaded = griffe.load(package.name, search_paths=[package.parent], resolve_aliases=True)
    assert isinstance(loaded, griffe.Module)  # noqa: S101 - for the type checkers
    return loaded


def _with_names(module: griffe.Module) -> Iterator[griffe.Module]:
    """Yield a module and those below it that one may import, as far as they have names of their own."""
    if any(not _is_from(module, name) for name in module.exports or ()):
        yield module
    for name, below in sorted(module.modules.items()):
        if not name.startswith("_") and name not in _NOT_TO_IMPORT:
            yield from _with_names(below)


def _is_from(module: griffe.Module, name: object) -> bool:
    """Tell whether the package above has a name already."""
    return module.parent is not None and str(name) in (module.package.exports or ())


def _by_kind(module: griffe.Module) -> list[str]:
    """Return the names: first what is called, then classes, then errors."""

    def key(name: str) -> tuple[bool, bool, str]:
        found = _found(module, name)
        return found.is_class, found.is_class and _is_error(found), name

    return sorted(map(str, module.exports or ()), key=key)


def _is_error(found: griffe.Object) -> bool:
    return found.name.endswith(("Error", "Warning", "Timeout"))


def _found(module: griffe.Module, name: str) -> griffe.Object:
    """Return what a name stands for; for `emit = bus.emit`, the method."""
    found = _target(module[name])
    if isinstance(found, griffe.Attribute) and str(found.value) == f"bus.{name}":
        return _target(module["PluginBus"].all_members[name])
    return found


def _target(member: griffe.Object | griffe.Alias) -> griffe.Object:
    return member.final_target if isinstance(member, griffe.Alias) else member


def _entry(module: griffe.Module, name: str) -> str:
    found = _found(module, name)
    if isinstance(found, griffe.Attribute):
        return f"### {name}\n\n`{name} = {found.value}`\n"
    options = {"heading": f'"{name}"', "toc_label": f'"{name}"'}  # quoted, since YAML takes a bare `on` for true
    path = f"{module.path}.PluginBus.{name}" if module[name].is_attribute else f"{module.path}.{name}"
    if isinstance(found, griffe.Class):
        options["members"] = options["inherited_members"] = str(_public_members(found, module))
        options["show_bases"] = str(_is_error(found)).lower()
    lines = "".join(f"{key}: {value}\n" for key, value in options.items())
    return f"::: {path}\n    options:\n{indent(lines, ' ' * 6)}"


def _text(found: griffe.Object) -> str:
    return found.docstring.value if found.docstring else ""


# What is not documented


def _problems(module: griffe.Module) -> Iterator[str]:
    for name in map(str, module.exports or ()):
        found = _found(module, name)
        if isinstance(found, griffe.Attribute):
            continue  # a bus or a marker, which the page shows as it is
        yield from _problems_of(found, f"{module.path}.{name}")
        if isinstance(found, griffe.Class):
            for each in _public_members(found, module):
                yield from _problems_of(_target(found.all_members[each]), f"{module.path}.{name}.{each}")


def _public_members(found: griffe.Class, module: griffe.Module) -> list[str]:
    """Return the names of methods and properties, but for those that the page has by themselves, or in a base."""
    names = set(map(str, module.exports or ()))
    elsewhere = {each for base in found.mro() if base.name in names for each in base.all_members}
    if found.name.endswith("Bus"):
        elsewhere |= {name for name in names if module[name].is_attribute}
    return [
        name
        for name, member in found.all_members.items()
        if not name.startswith("_") and name not in elsewhere
        if member.is_function or "property" in member.labels or member.has_docstring
    ]


def _problems_of(found: griffe.Object, name: str) -> Iterator[str]:
    place = f"{found.relative_filepath}:{found.lineno}"
    if found.docstring is None:
        yield f"{name} is public and has no docstring: write one at {place}"
    elif isinstance(found, griffe.Function):
        explained = {
            parameter.name.lstrip("*")
            for section in found.docstring.parse("google", warnings=False)
            if isinstance(section, griffe.DocstringSectionParameters)
            for parameter in section.value
        }
        for parameter in found.parameters:
            if parameter.name not in {"self", "cls"} | explained and not parameter.name.startswith("_"):
                yield f"{name} does not say what {parameter.name} is: add it under Args: at {place}"
