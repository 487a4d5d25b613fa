"""Folders of installed distributions, made up: as many files, and as long ones, as pip leaves behind."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

GROUP = "fastsoy.event_handlers"
TRIVIAL = "VALUE = 1\n"
BUSINESS_MODULE = '''"""Handlers of one plugin."""

from fastsoy_events import on


@on("employee.created")
async def greet(employee_id: int, department_id: int, created_by: int) -> None:
    """Greet the employee."""


@on("employee.status_changed")
def note(employee_id: int, **_: object) -> None:
    """Note the change."""
'''

_WORDS = ("events", "handle", "order", "async", "library", "interface", "module", "stable", "release", "plugin")


def generate(folder: Path, distributions: int, *, module: str = TRIVIAL, prefix: str = "acme", every: int = 10) -> None:
    """Lay distributions down; the first of every ten is a plugin.

    Args:
        folder: made here.
        distributions: how many.
        module: the source of a plugin's handler module.
        prefix: begins each distribution's name.
        every: one in so many is a plugin.
    """
    chance = random.Random(distributions)  # noqa: S311 - the same site each time
    folder.mkdir(parents=True)
    for number in range(distributions):
        _distribution(folder, f"{prefix}_{number:04}", chance, module if number % every == 0 else "")


def plugin_modules(distributions: int, *, prefix: str = "acme", every: int = 10) -> list[str]:
    """Return the plugins' handler modules of such a site."""
    return [f"{prefix}_{number:04}.handlers" for number in range(0, distributions, every)]


def _distribution(folder: Path, name: str, chance: random.Random, module: str) -> None:
    version = f"{chance.randint(0, 9)}.{chance.randint(0, 30)}.{chance.randint(0, 9)}"
    package, info = folder / name, folder / f"{name}-{version}.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text("")
    if module:
        (package / "handlers.py").write_text(module)
    (info / "METADATA").write_text(_metadata(name, version, chance))
    (info / "RECORD").write_text(_record(name, version, chance))
    (info / "WHEEL").write_text(
        "Wheel-Version: 1.0\nGenerator: hatchling 1.27.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    (info / "INSTALLER").write_text("pip\n")
    entry_points = _entry_points(name, chance, is_plugin=bool(module))
    if entry_points:
        (info / "entry_points.txt").write_text(entry_points)


def _metadata(name: str, version: str, chance: random.Random) -> str:
    """Return headers and a long description: 1 to 100 kB, most of them short, as on real machines."""
    requirements = [f"Requires-Dist: {chance.choice(_WORDS)}>={number}.0\n" for number in range(chance.randint(0, 12))]
    words = min(14_000, int(chance.lognormvariate(6.5, 1.0)))
    return "".join(
        [
            f"Metadata-Version: 2.4\nName: {name.replace('_', '-')}\nVersion: {version}\nSummary: One of many\n",
            "License-Expression: MIT\nRequires-Python: >=3.9\n",
            "Classifier: Programming Language :: Python :: 3\n" * chance.randint(1, 12),
            *requirements,
            "Description-Content-Type: text/markdown\n\n",
            "\n".join(" ".join(chance.choices(_WORDS, k=12)) for _ in range(words // 12)),
        ]
    )


def _record(name: str, version: str, chance: random.Random) -> str:
    lines = min(2000, int(chance.lognormvariate(3.5, 1.1)) + 6)
    paths = (
        f"{name}/module_{number}.py,sha256={chance.getrandbits(256):064x},{number * 37}" for number in range(lines)
    )
    return "\n".join([*paths, f"{name}-{version}.dist-info/RECORD,,", ""])


def _entry_points(name: str, chance: random.Random, *, is_plugin: bool) -> str:
    """Return a plugin's entry point, and for one distribution in three some commands."""
    text = ""
    if chance.random() < 1 / 3:
        commands = [f"{name}-{number} = {name}.command:main\n" for number in range(chance.randint(1, 3))]
        text += "[console_scripts]\n" + "".join(commands) + "\n"
    if is_plugin:
        text += f"[{GROUP}]\n{name} = {name}.handlers\n"
    return text
