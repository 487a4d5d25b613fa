"""Hook of MkDocs: what the pages link to outside of docs/ becomes part of the site, and so does what that links to.

The pages keep their links relative, as they work in the repository. On the site, `x/y.md` of the repository is the page
`repository/x/y.md`, a source file is a page that shows it, and a folder is a page that lists what it holds. A link to
what does not exist stays as it is, so that MkDocs warns of it, and a strict build fails.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_FENCE = re.compile(r"^ *(?P<fence>`{3,}).*?^ *(?P=fence) *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?P<path>(?![a-z]+:)[^)#\s]+)")
_IN_NAVIGATION = re.compile(r"^ *- (?:[^:]+: )?repository/(\S+)$", re.MULTILINE)
_PIPE_IN_CODE = re.compile(r"`[^`\n]*\\\|[^`\n]*`")
_SHOWN = {".py": "python", ".toml": "toml", ".yml": "yaml", ".sh": "sh", "": "make"}
_COPIED = {".svg", ".png"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what is linked to, until nothing new is.

    Args:
        files: those of docs/.
        config: the site's.

    Returns:
        The same, with more in it.
    """
    root, docs = _root(config), Path(config.docs_dir)
    places = [docs / file.src_uri for file in files.documentation_pages()]
    places += [root / name for name in _IN_NAVIGATION.findall((root / "mkdocs.yml").read_text(encoding="utf-8"))]
    for place in places:  # it grows meanwhile
        if not place.is_relative_to(docs) and not files.get_file_from_path(_uri(place, root, docs)):
            files.append(_added(place, config))
        places += [each for each in _linked(place, root) if each not in places]
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have the links of a page lead to where things are on the site.

    In a table, GitHub wants `|` in code escaped, and Python-Markdown would show the backslash.

    Args:
        markdown: the page's text.
        page: the page.
        config: the site's.
        files: those of the site.

    Returns:
        The text with its links changed.
    """
    root, docs = _root(config), Path(config.docs_dir)
    here = _place(page.file.src_uri, root, docs)

    def changed(match: re.Match[str]) -> str:
        target = _uri((here.parent / match["path"]).resolve(), root, docs)
        known = files.get_file_from_path(target)
        return posixpath.relpath(target, posixpath.dirname(page.file.src_uri)) if known else match["path"]

    def for_site(text: str) -> str:
        return _PIPE_IN_CODE.sub(lambda match: match[0].replace("\\|", "|"), _LINK.sub(changed, text))

    return _outside_code(markdown, for_site)


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent


def _linked(place: Path, root: Path) -> Iterator[Path]:
    """Yield what there is in the repository of all that a page links to, or a folder lists."""
    if place.is_dir():
        yield from _readmes(place)
    if place.suffix == ".md":
        for match in _LINK.finditer(_FENCE.sub("", place.read_text(encoding="utf-8"))):
            linked = (place.parent / match["path"]).resolve()
            if linked.exists() and linked.is_relative_to(root):
                yield linked


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    parts: list[str] = []
    end = 0
    for fence in _FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])


# Where a file of the repository is on the site, and back


def _uri(place: Path, root: Path, docs: Path) -> str:
    if place.is_relative_to(docs):
        return place.relative_to(docs).as_posix()
    path = f"repository/{place.relative_to(root).as_posix()}" if place.is_relative_to(root) else ""
    if place.is_dir():
        return f"{path}/index.md"
    return path if place.suffix in {".md", *_COPIED} else f"{path}.md"


def _place(uri: str, root: Path, docs: Path) -> Path:
    """Return the file that a page is of; for a page that shows something else, what stands beside that is enough."""
    return root / uri.removeprefix("repository/") if uri.startswith("repository/") else docs / uri


def _added(place: Path, config: MkDocsConfig) -> File:
    root = _root(config)
    uri = _uri(place, root, Path(config.docs_dir))
    name = place.relative_to(root).as_posix()
    if place.is_dir():
        return File.generated(config, uri, content=_listing(place, name))
    if place.suffix in {".md", *_COPIED}:
        return File.generated(config, uri, abs_src_path=str(place))
    if place.suffix in _SHOWN:
        text = place.read_text(encoding="utf-8")
        shown = f'````{_SHOWN[place.suffix]} title="{name}" linenums="1"\n{text}````\n'
        return File.generated(config, uri, content=f"# {place.name}\n\n{shown}")
    raise PluginError(f"{name} is linked to, and the site cannot show such a file: see tools/site_repository.py")


def _listing(folder: Path, name: str) -> str:
    lines = [f"- [{each.parent.name}]({each.parent.name}/README.md)" for each in _readmes(folder)]
    return "\n".join([f"# {name}/", "", *lines, ""])


def _readmes(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/README.md"))
