"""Each Chinese page says what its English page says: the same headings, code, tables and links in each section.

The words can only be read by people. What is compared is all that must not depend on the language: readers copy the
code and compare its output with what they see, and every link leads to the Chinese page where there is one. The index
of the Chinese pages is no translation; it says what there is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CHINESE_DOCS = DOCS / "zh"
INDEX = CHINESE_DOCS / "index.md"
README, CHINESE_README = ROOT / "README.md", ROOT / "README.zh-CN.md"
CHINESE = sorted({CHINESE_README, *CHINESE_DOCS.rglob("*.md")} - {INDEX})

BLOCK = re.compile(r"(?:^<!--[^\n]*-->\n+)?^```.*?^```$", re.MULTILINE | re.DOTALL)
BLOCK_STOOD_HERE = "\0"
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
OTHER_LANGUAGE = re.compile(r"^\[(English|简体中文)\]\((\S+)\)$", re.MULTILINE)
TABLE = re.compile(r"(?:^\|.*\n?)+", re.MULTILINE)
ITEM = re.compile(r"^ *(?:-|\d+\.) ", re.MULTILINE)
COLUMN = re.compile(r"(?<!\\)\|")
CODE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HAN = re.compile(r"[\u4e00-\u9fff]")
LATIN_WORD = re.compile(r"[A-Za-z]+")
MOST_LATIN_WORDS = 3  # of a line without a Chinese one, such as a row of names
LINES_AT_THE_TOP = 3


class Section(NamedTuple):
    """A heading, and what stands below it."""

    level: int
    heading: str
    body: str


class Target(NamedTuple):
    """What a link leads to: a file or an address, and there the heading of that number."""

    place: str
    heading: int | None = None


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


each_chinese_page = pytest.mark.parametrize("page", CHINESE, ids=name_of)


def english_of(page: Path) -> Path:
    return README if page == CHINESE_README else DOCS / page.relative_to(CHINESE_DOCS)


def chinese_of(page: Path) -> Path:
    """Return the Chinese page of an English one, or else the page itself."""
    if page == README:
        return CHINESE_README
    chinese = CHINESE_DOCS / page.relative_to(DOCS) if page.is_relative_to(DOCS) else page
    return chinese if chinese.is_file() else page


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def sections(page: Path) -> list[Section]:
    text = OTHER_LANGUAGE.sub("", BLOCK.sub(BLOCK_STOOD_HERE, text_of(page)))
    _, *parts = HEADING.split(text)
    levels = (len(marks) for marks in parts[::3])
    return [Section(*each) for each in zip(levels, parts[1::3], parts[2::3], strict=True)]


def both(page: Path) -> list[tuple[Section, Section]]:
    """Return the sections of a Chinese page, each with the English one."""
    return list(zip(sections(page), sections(english_of(page)), strict=True))


def code_in(text: str) -> set[str]:
    """Return what stands between backticks; where a line is broken does not count."""
    return {" ".join(each.split()) for each in CODE.findall(text)}


# What both languages share


@each_chinese_page
def test_headings_have_the_same_levels(page: Path) -> None:
    assert [each.level for each in sections(page)] == [each.level for each in sections(english_of(page))]


@each_chinese_page
def test_code_blocks_are_the_same_to_the_letter_and_stand_in_the_same_sections(page: Path) -> None:
    assert BLOCK.findall(text_of(page)) == BLOCK.findall(text_of(english_of(page)))
    for chinese, english in both(page):
        assert chinese.body.count(BLOCK_STOOD_HERE) == english.body.count(BLOCK_STOOD_HERE), chinese.heading
        assert "```" not in chinese.body, f"{chinese.heading}: a fence is not closed, or indented"


@each_chinese_page
def test_tables_have_the_same_rows_and_columns_with_the_same_code_in_each_cell(page: Path) -> None:
    for chinese, english in both(page):
        assert tables(chinese) == tables(english), chinese.heading


def tables(section: Section) -> list[list[list[set[str]]]]:
    """Return, by table, row and cell, the code that it shows."""
    return [
        [[code_in(cell) for cell in COLUMN.split(row.strip())] for row in table.splitlines()]
        for table in TABLE.findall(section.body)
    ]


@each_chinese_page
def test_each_section_has_as_many_paragraphs_and_list_items(page: Path) -> None:
    for chinese, english in both(page):
        assert paragraphs_and_items(chinese) == paragraphs_and_items(english), chinese.heading


def paragraphs_and_items(section: Section) -> tuple[int, int]:
    text = TABLE.sub("", section.body.replace(BLOCK_STOOD_HERE, "\n\n"))
    parts = [part for part in re.split(r"\n\s*\n", text) if part.strip()]
    return sum(not ITEM.match(part) for part in parts), len(ITEM.findall(text))


@each_chinese_page
def test_each_section_names_the_same_code(page: Path) -> None:
    for chinese, english in both(page):
        assert code_in(chinese.heading) == code_in(english.heading), chinese.heading
        assert code_in(chinese.body) == code_in(english.body), chinese.heading


@each_chinese_page
def test_no_line_is_left_in_english(page: Path) -> None:
    for section in sections(page):
        for line in (section.heading, *section.body.splitlines()):
            words = LATIN_WORD.findall(LINK.sub("", CODE.sub("", line)))
            assert HAN.search(line) or len(words) <= MOST_LATIN_WORDS, line


# Links


@each_chinese_page
def test_links_lead_to_the_chinese_page_where_there_is_one_and_else_where_the_english_ones_lead(page: Path) -> None:
    only_in_chinese = {Target(name_of(INDEX))}
    for chinese, english in both(page):
        there = {in_chinese(target(link, english_of(page))) for link in LINK.findall(english.body)}
        here = {target(link, page) for link in LINK.findall(chinese.body)}
        assert here - only_in_chinese == there - only_in_chinese, chinese.heading


def target(link: str, page: Path) -> Target:
    if link.startswith("https://"):
        return Target(link)
    file, heading = followed(link, page)
    return Target(name_of(file), heading)


def in_chinese(found: Target) -> Target:
    """Return the same place in Chinese, where it is there; headings are in the same order."""
    if found.place.startswith("https://"):
        return found
    return found._replace(place=name_of(chinese_of(ROOT / found.place)))


def followed(link: str, page: Path) -> tuple[Path, int | None]:
    path, _, anchor = link.partition("#")
    file = (page.parent / path).resolve() if path else page
    assert file.exists(), f"{name_of(page)}: {link} names no file"
    if not anchor:
        return file, None
    assert anchor in anchors(file), f"{name_of(page)}: {link} names no heading, only {anchors(file)} are there"
    return file, anchors(file).index(anchor)


def anchors(page: Path) -> list[str]:
    """Return the anchors that its headings get on GitHub, and on the site."""
    headings = (section.heading.lower() for section in sections(page))
    return [re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings]


@each_chinese_page
def test_the_english_page_is_linked_at_the_top(page: Path) -> None:
    assert_top_links("English", page, english_of(page))


def test_the_english_readme_and_the_chinese_index_link_to_the_other_language_at_the_top() -> None:
    assert_top_links("简体中文", README, CHINESE_README)
    assert_top_links("English", INDEX, english_of(INDEX))


def assert_top_links(language: str, page: Path, other: Path) -> None:
    top = "\n".join(text_of(page).splitlines()[:LINES_AT_THE_TOP])
    found = OTHER_LANGUAGE.search(top)
    assert found, f"{name_of(page)}: write [{language}](...) below the first heading"
    assert (found[1], (page.parent / found[2]).resolve()) == (language, other)


# Completeness


def test_the_readme_the_tutorial_and_every_how_to_are_there_in_chinese() -> None:
    english = {README, DOCS / "tutorial.md", *(DOCS / "how-to").rglob("*.md")}
    assert english <= {english_of(page) for page in CHINESE}


def test_the_chinese_index_links_to_every_chinese_page() -> None:
    linked = {followed(link, INDEX)[0] for link in LINK.findall(text_of(INDEX))}
    assert set(CHINESE) <= linked
