"""Give the core and every plugin one version: `python tools/set_version.py 0.2.0`.

Each is a distribution of its own and has to build alone, so each `pyproject.toml` has the version; no other file does.
`make release-check` refuses versions that differ.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from _projects import ROOT, plugin_folders
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERSION = re.compile(r'^version = "[^"]*"$', re.MULTILINE)


def main(arguments: Sequence[str]) -> int:
    """Write the version into every `pyproject.toml`, and say into which."""
    try:
        [text] = arguments
        version = str(Version(text))
    except (ValueError, InvalidVersion):
        sys.stderr.write("usage: python tools/set_version.py VERSION, such as 0.2.0 or 0.2.0rc1\n")
        return 2
    for folder in (ROOT, *plugin_folders()):
        file = folder / "pyproject.toml"
        written, count = _VERSION.subn(f'version = "{version}"', file.read_text(encoding="utf-8"))
        if count != 1:
            sys.stderr.write(f'{file}: has {count} lines version = "...", and needs one, in [project]\n')
            return 1
        file.write_text(written, encoding="utf-8")
        print(f"{version}  {file.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
