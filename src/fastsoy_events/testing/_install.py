"""Install: plugins that a test makes itself, as real distributions in a temporary folder."""

from __future__ import annotations

import importlib
import re
import sys
from base64 import urlsafe_b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import TYPE_CHECKING

from packaging.version import Version

from fastsoy_events import bus as default_bus
from fastsoy_events._discover import GROUP
from fastsoy_events._record import canonical_name
from fastsoy_events.testing._narrowed import load_only

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

    from fastsoy_events import Plugin, PluginBus

__tracebackhide__ = True

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Distribution:
    """What is to be installed: a distribution with one plugin in one module.

    Args:
        name: the distribution's name.
        version: its version.
        entry_point: the plugin's name.
        module: the dotted name of its module.
        source: the module's code.
    """

    name: str
    version: str
    entry_point: str
    module: str
    source: str

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), ("entry_point", self.entry_point)):
            if not _NAME.fullmatch(text):
                raise ValueError(f"{what} consists of letters, digits, '.', '-' and '_': not {text!r}")
        if not all(part.isidentifier() for part in self.module.split(".")):
            raise ValueError(f"module is a dotted name, such as acme_mail.handlers: not {self.module!r}")
        Version(self.version)  # which raises a ValueError, too

    @property
    def id(self) -> str:
        """Return the plugin's id."""
        return f"{canonical_name(self.name)}:{self.entry_point}"

    def files(self) -> dict[str, str]:
        """Return the text of each of its files, as pip would leave them."""
        package, _, _ = self.module.rpartition(".")
        packages = accumulate(package.split("."), "{}/{}".format) if package else ()
        info = f"{canonical_name(self.name).replace('-', '_')}-{self.version}.dist-info"
        files = {f"{folder}/__init__.py": "" for folder in packages} | {
            f"{self.module.replace('.', '/')}.py": dedent(self.source),
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n",
            f"{info}/entry_points.txt": f"[{GROUP}]\n{self.entry_point} = {self.module}\n",
        }
        lines = [f"{file},{_digest(text.encode())},{len(text.encode())}" for file, text in files.items()]
        return files | {f"{info}/RECORD": "\n".join([*lines, f"{info}/RECORD,,", ""])}


def _digest(contents: bytes) -> str:
    return f"sha256={urlsafe_b64encode(sha256(contents).digest()).rstrip(b'=').decode()}"


class InstallPlugin:
    """Installs plugins into a temporary folder and loads them; `temporary_plugins()` and `install_plugin` give it.

    Args:
        bus: the narrowed bus.
        folder: the folder, which is on `sys.path`.
    """

    def __init__(self, bus: PluginBus, folder: Path) -> None:
        self._bus = bus
        self._folder = folder
        self._names: set[str] = set()

    def __call__(
        self, *, name: str, module: str, source: str, version: str = "1.0.0", entry_point: str | None = None
    ) -> Plugin:
        """Make a distribution with one plugin, and load it beside those that are loaded already.

        Args:
            name: the distribution's name.
            module: the plugin's module; of a dotted name, the packages are made, too.
            source: the module's code; it may be indented.
            version: the distribution's version.
            entry_point: the plugin's name; None for the distribution's.

        Returns:
            The plugin, with its handlers.

        Raises:
            PluginError: for a plugin that cannot be loaded; its cause is what importing it raised.
            ValueError: for names that cannot be, or that are taken.
        """
        wanted = _Distribution(
            name=name, version=version, entry_point=name if entry_point is None else entry_point, module=module,
            source=source,
        )  # fmt: skip
        self._refuse_taken(wanted)
        self._write(wanted.files())
        loaded = [each.id for each in self._bus.plugins() if each.status == "loaded"]
        report = load_only(self._bus, [*loaded, wanted.id])
        installed = next(each for each in report.plugins if each.id == wanted.id)
        if installed.error is not None:
            raise installed.error
        return installed

    def _refuse_taken(self, wanted: _Distribution) -> None:
        if canonical_name(wanted.name) in self._names:
            raise ValueError(f"{wanted.name} is installed already: give each plugin of a test a name of its own")
        for module in accumulate(wanted.module.split("."), "{}.{}".format):
            if module in sys.modules and (module == wanted.module or not self._is_from_here(module)):
                raise ValueError(
                    f"{wanted.module} cannot be made, since a module {module} is imported already: choose another name"
                )
        self._names.add(canonical_name(wanted.name))

    def _write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            file = self._folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        importlib.invalidate_caches()

    def _is_from_here(self, module: str) -> bool:
        file = getattr(sys.modules[module], "__dict__", {}).get("__file__")
        return isinstance(file, str) and Path(file).is_relative_to(self._folder)

    def forget(self) -> None:
        """Take the folder off `sys.path`, and what came from it out of `sys.modules`."""
        folder = str(self._folder)
        while folder in sys.path:
            sys.path.remove(folder)
        for module in [name for name in list(sys.modules) if self._is_from_here(name)]:
            del sys.modules[module]
        sys.path_importer_cache.pop(folder, None)
        importlib.invalidate_caches()


def temporary_plugins() -> AbstractContextManager[InstallPlugin]:
    """Make plugins in a block, inside of `narrowed()`; afterwards they are gone.

    Returns:
        A context manager that gives an `InstallPlugin`.

    Raises:
        RuntimeError: outside of `narrowed()`.

    Example:
        >>> from fastsoy_events.testing import narrowed, temporary_plugins
        >>> source = '''
        ...     from fastsoy_events import on
        ...     @on("employee.created")
        ...     def greet(**_): ...
        ... '''
        >>> with narrowed(), temporary_plugins() as install_plugin:
        ...     plugin = install_plugin(name="acme-greeter", module="acme_greeter", source=source)
        ...     plugin.status, [handler.qualname for handler in plugin.handlers]
        ('loaded', ['greet'])
    """
    if default_bus._state.outer is None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the kit and the bus are one package
        raise RuntimeError("temporary_plugins() loads into the default bus: open `with narrowed():` around it")
    return _temporary_folder()


@contextmanager
def _temporary_folder() -> Generator[InstallPlugin]:
    with TemporaryDirectory(prefix="fastsoy-events-test-") as name:
        folder = Path(name).resolve()
        installer = InstallPlugin(default_bus, folder)
        sys.path.insert(0, str(folder))
        try:
            yield installer
        finally:
            installer.forget()
