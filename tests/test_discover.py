"""Discovery: what is installed becomes plugins; whatever is broken costs one logged error, and no other plugin."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import site as python_site
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from shutil import make_archive
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

import importlib_metadata
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.version import Version

from fastsoy_events import EventsError, Plugin, PluginError, discover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from conftest import Site

GROUP = "fastsoy.event_handlers"
HEADER = f"[{GROUP}]\n"


def targets(plugins: Iterable[Plugin]) -> list[tuple[str, str, str]]:
    return [(plugin.distribution, plugin.name, plugin.module) for plugin in plugins]


def in_site(site: Site) -> tuple[Plugin, ...]:
    return discover([site.folder])


def the_failure(site: Site, caplog: pytest.LogCaptureFixture) -> PluginError:
    """Return the one failed plugin's error, which must be logged once, and spare the good neighbours."""
    site.install("aaa-good", {"first": "aaa.first"})
    site.install("zzz-good", {"last": "zzz.last"})
    plugins = in_site(site)
    good = [plugin.distribution for plugin in plugins if plugin.status == "discovered"]
    assert good == ["aaa-good", "zzz-good"]
    [failed] = [plugin for plugin in plugins if plugin.status == "failed"]
    assert failed.error is not None
    records = [record for record in caplog.records if record.name == "fastsoy_events"]
    assert [(record.levelno, record.getMessage()) for record in records] == [(logging.ERROR, str(failed.error))]
    assert failed.error.distribution == failed.distribution
    assert failed.distribution in str(failed.error)
    return failed.error


# What a sane distribution declares


def test_an_entry_point_becomes_a_plugin(site: Site) -> None:
    site.install("Acme.Mail_Kit", {"mail": "acme_mail.handlers"}, version="2.1")
    [plugin] = in_site(site)
    expected = Plugin(name="mail", distribution="acme-mail-kit", version="2.1", module="acme_mail.handlers")
    assert plugin == expected
    assert (plugin.status, plugin.error, plugin.import_seconds, plugin.handlers) == ("discovered", None, 0.0, ())
    assert plugin.id == "acme-mail-kit:mail"


def test_plugins_come_by_canonical_distribution_name_then_by_entry_point_name(site: Site) -> None:
    site.install("zeta", {"b": "zeta.b", "a": "zeta.a"})
    site.install("Alpha", {"z": "alpha.z"})
    site.install("alpha_two", {"a": "alpha2"})
    assert [plugin.id for plugin in in_site(site)] == ["alpha:z", "alpha-two:a", "zeta:a", "zeta:b"]


@pytest.mark.parametrize(
    ("text", "name", "module"),
    [
        ("mail = acme.mail", "mail", "acme.mail"),
        ("mail=acme.mail", "mail", "acme.mail"),
        ("mail = acme.mail:setup", "mail", "acme.mail"),
        ("mail = acme.mail : Setup.run ", "mail", "acme.mail"),
        ("mail = acme.mail [fast, safe]", "mail", "acme.mail"),
        ("mail = acme.mail:setup [fast]", "mail", "acme.mail"),
        ("the mail.of-acme = acme", "the mail.of-acme", "acme"),
        ("größe = acme.größe", "größe", "acme.größe"),
        ("# a comment\n\n  mail = acme.mail  \n# another", "mail", "acme.mail"),
    ],
)
def test_the_forms_of_an_entry_point(site: Site, text: str, name: str, module: str) -> None:
    site.install("acme", HEADER + text)
    assert targets(in_site(site)) == [("acme", name, module)]


def test_windows_line_ends_are_line_ends(site: Site) -> None:
    contents = f"[console_scripts]\r\nacme = acme:main\r\n\r\n[{GROUP}]\r\nmail = acme.mail\r\nlog = acme.log\r\n"
    site.install("acme", contents.encode(), metadata="Metadata-Version: 2.1\r\nName: acme\r\nVersion: 1.0\r\n\r\nText")
    assert targets(in_site(site)) == [("acme", "log", "acme.log"), ("acme", "mail", "acme.mail")]


def test_what_other_groups_hold_does_not_matter(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", f"no group\n[other]\nbroken\n=\nx = 1 2 3\n{HEADER}mail = acme.mail\n[more]\nbroken\n")
    site.install("unrelated", "[console_scripts]\nbroken\n")
    site.install("also-unrelated", b"[console_scripts]\n\xff\xfe\n")
    site.install("named-like-it", f"[{GROUP}.more]\nmail = acme\n[x{GROUP}]\nmail = acme\n")
    site.install("empty", "")
    site.install("none")
    assert targets(in_site(site)) == [("acme", "mail", "acme.mail")]
    assert caplog.records == []


def test_a_group_that_is_opened_twice_is_one_group(site: Site) -> None:
    site.install("acme", f"{HEADER}a = acme.a\n[other]\nb = acme.b\n{HEADER}c = acme.c\n")
    assert [plugin.name for plugin in in_site(site)] == ["a", "c"]


def test_the_same_line_twice_is_one_plugin(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", f"{HEADER}mail = acme.mail\nmail = acme.mail\n")
    assert targets(in_site(site)) == [("acme", "mail", "acme.mail")]
    assert caplog.records == []


def test_the_same_name_in_two_distributions_is_two_plugins(site: Site) -> None:
    site.install("acme", {"mail": "acme.mail"})
    site.install("zeta", {"mail": "zeta.mail"})
    assert [plugin.id for plugin in in_site(site)] == ["acme:mail", "zeta:mail"]


def test_one_module_may_be_named_by_two_entry_points(site: Site) -> None:
    site.install("acme", {"mail": "acme.mail", "post": "acme.mail"})
    assert [plugin.status for plugin in in_site(site)] == ["discovered", "discovered"]


def test_metadata_is_read_up_to_its_first_empty_line(site: Site) -> None:
    text = "Metadata-Version: 2.1\nNAME : Acme\nversion:3\nSummary: Gr\udcfc\xdfe\n\nName: other\nVersion: 9\n"
    info = site.install("acme", {"mail": "acme.mail"}, metadata="")
    (info / "METADATA").write_bytes(text.encode(errors="surrogateescape"))
    [plugin] = in_site(site)
    assert (plugin.distribution, plugin.version) == ("acme", "3")


def test_a_distribution_whose_metadata_names_no_version_has_the_one_of_its_folder(site: Site) -> None:
    site.install("acme", {"mail": "acme.mail"}, metadata="Name: acme\n", version="3.2")
    [plugin] = in_site(site)
    assert (plugin.version, plugin.status) == ("3.2", "discovered")


def test_discovery_runs_no_code_of_a_plugin(site: Site) -> None:
    bomb = "raise SystemExit('discovery imported it')"
    modules = {"acme_bomb.__init__": bomb, "acme_bomb.handlers": bomb, "acme_bomb_alone": bomb}
    site.install("acme", {"a": "acme_bomb.handlers:attribute.of_it", "b": "acme_bomb_alone"}, modules)
    before = set(sys.modules)
    assert [plugin.status for plugin in in_site(site)] == ["discovered", "discovered"]
    assert not {name for name in set(sys.modules) - before if name.startswith("acme")}


# What is broken


@pytest.mark.parametrize(
    ("line", "name", "module", "reason"),
    [
        ("mail acme.mail", "mail acme.mail", "", "the line 'mail acme.mail' of entry_points.txt has no '='"),
        ("mail: acme.mail", "mail: acme.mail", "", "has no '='"),
        ("mail =", "mail", "", "the entry point names no module"),
        ("= acme.mail", "", "acme.mail", "has no name"),
        ("=", "", "", "has no name"),
        ("mail = acme mail", "mail", "acme mail", "'acme mail' is no module"),
        ("mail = acme-mail", "mail", "acme-mail", "'acme-mail' is no module"),
        ("mail = acme/mail.py", "mail", "acme/mail.py", "'acme/mail.py' is no module"),
        ("mail = .mail", "mail", ".mail", "is no module"),
        ("mail = acme..mail", "mail", "acme..mail", "is no module"),
        ("mail = acme.", "mail", "acme.", "is no module"),
        ("mail = acme.mail:", "mail", "acme.mail:", "is no module"),
        ("mail = :setup", "mail", ":setup", "is no module"),
        ("mail = acme.mail # a comment", "mail", "acme.mail # a comment", "is no module"),
        ('mail = "acme.mail"', "mail", '"acme.mail"', "is no module"),
        ("mail = acme = mail", "mail", "acme = mail", "is no module"),
    ],
)
def test_a_broken_line_is_a_failed_plugin(
    site: Site, caplog: pytest.LogCaptureFixture, line: str, name: str, module: str, reason: str
) -> None:
    site.install("broken", HEADER + line + "\n", version="3.2")
    error = the_failure(site, caplog)
    assert (error.distribution, error.version, error.entry_point, error.module) == ("broken", "3.2", name, module)
    assert reason in str(error)
    assert "broken 3.2" in str(error)
    assert f'under [project.entry-points."{GROUP}"]' in str(error)  # says what to write instead


def test_a_broken_line_costs_no_other_line_of_its_distribution(site: Site) -> None:
    site.install("acme", f"{HEADER}a = acme.a\nbroken\nb = acme.b\n= acme.c\nd =\n")
    statuses = {(plugin.name, plugin.module): plugin.status for plugin in in_site(site)}
    good = {("a", "acme.a"): "discovered", ("b", "acme.b"): "discovered"}
    assert statuses == {**good, ("broken", ""): "failed", ("", "acme.c"): "failed", ("d", ""): "failed"}


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (f"{HEADER}mail = acme.gr\xfc\xdfe\n".encode("latin-1"), "entry_points.txt is not UTF-8 (byte 39)"),
        (b"\xff" + f"{HEADER}mail = acme.mail\n".encode(), "entry_points.txt is not UTF-8 (byte 0)"),
        (f"[other]\nx = \xfc\n{HEADER}mail = acme\n".encode("latin-1"), "entry_points.txt is not UTF-8"),
        (f"{HEADER}mail = acme.mail\n".encode("utf-8-sig"), "entry_points.txt begins with a byte-order mark"),
        (f"{HEADER}mail = acme.mail\n".encode() + b"#" * (1 << 20), "entry_points.txt is larger than 1048576 bytes"),
        (b"#" * ((1 << 20) + 1), "entry_points.txt is larger than 1048576 bytes"),
    ],
)
def test_a_broken_file_is_one_failure_of_its_distribution(
    site: Site, caplog: pytest.LogCaptureFixture, contents: bytes, reason: str
) -> None:
    info = site.install("Broken-Kit", contents, version="3.2")
    error = the_failure(site, caplog)
    assert (error.distribution, error.version, error.entry_point, error.module) == ("broken-kit", "3.2", "", "")
    assert reason in str(error)
    assert str(info.resolve()) in str(error)  # the place to look at


def test_a_file_that_windows_wrote_in_utf16_is_one_failure(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("broken", f"{HEADER}mail = acme.mail\n".encode("utf-16"))
    assert "entry_points.txt is not UTF-8" in str(the_failure(site, caplog))


def test_a_large_file_that_is_still_small_enough_is_read(site: Site) -> None:
    text = f"{HEADER}mail = acme.mail\n"
    site.install("acme", text + "#" * ((1 << 20) - len(text)))
    assert targets(in_site(site)) == [("acme", "mail", "acme.mail")]


def test_an_unreadable_file_is_one_failure(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    info = site.install("broken", version="3.2")
    (info / "entry_points.txt").mkdir()
    error = the_failure(site, caplog)
    assert f"{info.resolve()} cannot be read: {info.resolve()}/entry_points.txt is no regular file" in str(error)
    assert error.version == "3.2"


@pytest.mark.parametrize(
    "metadata", ["", "Metadata-Version: 2.1\nVersion: 1.0\n", "Name:\nVersion: 1.0\n", "\nName: x\n"]
)
def test_metadata_without_a_name_is_one_failure(site: Site, caplog: pytest.LogCaptureFixture, metadata: str) -> None:
    site.install("broken", {"mail": "acme.mail", "post": "acme.post"}, metadata=metadata, version="3.2")
    error = the_failure(site, caplog)
    assert "its metadata has no Name" in str(error)
    assert "broken 3.2" in str(error)  # from the name of the folder


def test_a_missing_metadata_file_is_one_failure(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    info = site.install("broken", {"mail": "acme.mail"})
    (info / "METADATA").unlink()
    assert "there is no METADATA file" in str(the_failure(site, caplog))


def test_an_unreadable_metadata_file_is_one_failure(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    info = site.install("broken", {"mail": "acme.mail"})
    (info / "METADATA").unlink()
    (info / "METADATA").mkdir()
    assert "METADATA is no regular file" in str(the_failure(site, caplog))


@pytest.mark.parametrize("file", ["entry_points.txt", "METADATA"])
def test_a_pipe_is_not_waited_for(site: Site, caplog: pytest.LogCaptureFixture, file: str) -> None:
    info = site.install("broken", {"mail": "acme.mail"})
    (info / file).unlink()
    os.mkfifo(info / file)
    assert f"{file} is no regular file" in str(the_failure(site, caplog))


def test_an_absurd_number_of_broken_lines_is_one_failure(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("broken", HEADER + "".join(f"{number}\n" for number in range(20_000)))
    assert "has more than 10000 entry points" in str(the_failure(site, caplog))


def test_broken_metadata_of_what_has_no_plugin_does_not_matter(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("no-name", "[console_scripts]\nx = x:main\n", metadata="")
    (site.install("no-metadata", "[console_scripts]\nx = x:main\n") / "METADATA").unlink()
    (site.folder / "left_over-1.0.dist-info").mkdir()
    (site.folder / "a_file-1.0.dist-info").write_text(GROUP)
    assert in_site(site) == ()
    assert caplog.records == []


def test_the_same_name_twice_in_one_distribution_counts_once(site: Site) -> None:
    site.install("acme", f"{HEADER}mail = acme.one\nmail = acme.two\n")
    first, second = in_site(site)
    assert (first.module, first.status) == ("acme.one", "discovered")
    assert (second.module, second.status) == ("acme.two", "failed")
    assert "the distribution has another entry point of that name, for acme.one. Rename one" in str(second.error)


def test_the_first_of_three_entry_points_of_one_name_counts(site: Site) -> None:
    site.install("acme", f"{HEADER}mail = acme.z\nmail = acme.b\nmail = acme.a\nmail broken\n")
    assert [plugin.module for plugin in in_site(site) if plugin.status == "discovered"] == ["acme.z"]
    assert [plugin.module for plugin in in_site(site) if plugin.status == "failed"] == ["acme.a", "acme.b", ""]


def test_failures_are_errors_of_this_package(site: Site) -> None:
    site.install("acme", f"{HEADER}mail =\n")
    [plugin] = in_site(site)
    assert isinstance(plugin.error, PluginError)
    assert isinstance(plugin.error, EventsError)


# Which of several counts


@pytest.fixture
def second_site(site: Site, tmp_path: Path) -> Site:
    """Return another folder, which the tests put after the first one."""
    folder = tmp_path / "second"
    folder.mkdir()
    return type(site)(folder)


def test_of_one_distribution_in_two_folders_the_first_counts(
    site: Site, second_site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("acme", {"mail": "acme.old"}, version="1.0")
    second_site.install("Acme", {"mail": "acme.new"}, version="2.0")
    second_site.install("zeta", {"mail": "zeta"})
    both = [site.folder, second_site.folder]
    assert targets(discover(both)) == [("acme", "mail", "acme.old"), ("zeta", "mail", "zeta")]
    assert targets(discover(both[::-1])) == [("acme", "mail", "acme.new"), ("zeta", "mail", "zeta")]
    assert caplog.records == []


def test_the_first_counts_also_when_it_has_no_plugin(site: Site, second_site: Site) -> None:
    site.install("acme")
    second_site.install("acme", {"mail": "acme"})
    assert discover([site.folder, second_site.folder]) == ()


def test_the_first_counts_also_when_it_is_broken(site: Site, second_site: Site) -> None:
    site.install("acme", f"{HEADER}mail\n")
    second_site.install("acme", {"mail": "acme"})
    assert [plugin.status for plugin in discover([site.folder, second_site.folder])] == ["failed"]


def test_a_left_over_folder_hides_nothing(site: Site, second_site: Site, caplog: pytest.LogCaptureFixture) -> None:
    (site.folder / "acme-1.0.dist-info").mkdir()
    second_site.install("acme", {"mail": "acme"})
    assert targets(discover([site.folder, second_site.folder])) == [("acme", "mail", "acme")]
    assert caplog.records == []


def test_a_left_over_of_a_newer_version_hides_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", {"mail": "acme"}, version="1.0")
    left_over = site.install("acme", {"mail": "acme.newer"}, version="2.0")
    (left_over / "METADATA").unlink()
    assert [(plugin.version, plugin.status) for plugin in in_site(site)] == [("1.0", "discovered")]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("older", "newer"), [("1.9", "1.10"), ("1.0", "1.0.post1"), ("2.0rc1", "2.0"), ("1.0", "1!0.1"), ("9.0", "10.0")]
)
def test_of_two_versions_in_one_folder_the_newer_counts(
    site: Site, caplog: pytest.LogCaptureFixture, older: str, newer: str
) -> None:
    stale = site.install("acme-kit", {"mail": "acme.old"}, version=older)
    site.install("acme-kit", {"mail": "acme.new"}, version=newer)
    [plugin] = in_site(site)
    assert (plugin.version, plugin.module) == (newer, "acme.new")
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    for part in ("acme-kit", f"version {newer} counts", f"version {older} is stale", str(stale.resolve())):
        assert part in record.getMessage()


def test_the_newer_counts_also_when_it_has_no_plugin_any_more(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", {"mail": "acme"}, version="1.0")
    site.install("acme", version="2.0")
    assert in_site(site) == ()
    assert "version 1.0 is stale" in caplog.text


def test_two_versions_of_what_has_no_plugin_are_not_our_business(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", version="1.0")
    site.install("acme", version="2.0")
    assert in_site(site) == ()
    assert caplog.records == []


def test_a_version_beats_what_is_no_version(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", {"mail": "acme.odd"}, version="1.0_of_monday_")
    site.install("acme", {"mail": "acme.even"}, version="0.1")
    assert targets(in_site(site)) == [("acme", "mail", "acme.even")]
    assert "is stale" in caplog.text


def test_of_three_versions_two_are_stale(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for version in ("3.0", "1.0", "2.0"):
        site.install("acme", {"mail": "acme"}, version=version)
    assert [plugin.version for plugin in in_site(site)] == ["3.0"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_spellings_of_one_name_are_one_distribution(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for folder, version in (("Acme.Mail-1.0", "1.0"), ("acme_mail-1.1", "1.1"), ("ACME-mail-1.2", "1.2")):
        info = site.folder / f"{folder}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: Acme_Mail\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"{HEADER}mail = acme\n")
    assert [(plugin.id, plugin.version) for plugin in in_site(site)] == [("acme-mail:mail", "1.2")]
    assert len(caplog.records) == 2


def test_the_version_inside_the_metadata_decides_where_the_folder_tells_none(site: Site) -> None:
    site.install("acme", {"mail": "acme.old"}, version="1.0")
    info = site.folder / "acme.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: acme\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"{HEADER}mail = acme.new\n")
    assert [(plugin.version, plugin.module) for plugin in in_site(site)] == [("2.0", "acme.new")]


def test_two_folders_whose_metadata_give_one_name_are_one_distribution(site: Site) -> None:
    for folder, version in (("acme-1.0", "1.0"), ("renamed_by_hand-2.0", "2.0")):
        info = site.folder / f"{folder}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: acme\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"{HEADER}mail = acme_{version[0]}\n")
    assert [(plugin.id, plugin.version) for plugin in in_site(site)] == [("acme:mail", "2.0")]


@pytest.mark.parametrize(
    "folders",
    [
        ("ACME-Mail-1.0", "Zeta.Kit-2.0"),
        ("acme", "zeta"),
        ("acme-mail", "acme-stock"),
        ("py-3d-tools-1.0", "py-3d-other-1.0"),
        ("4suite-xml-1.0", "4suite-json-1.0"),
        ("acme-1.0-py3.11", "zeta-1.0-py3-none-any"),
    ],
)
@pytest.mark.parametrize("suffix", [".dist-info", ".DIST-INFO"])
def test_odd_names_of_folders_hide_nothing(
    site: Site, caplog: pytest.LogCaptureFixture, folders: tuple[str, str], suffix: str
) -> None:
    for place, folder in enumerate(folders):
        info = site.folder / f"{folder}{suffix}"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: dist{place}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"{HEADER}mail = acme{place}\n")
    assert targets(in_site(site)) == [("dist0", "mail", "acme0"), ("dist1", "mail", "acme1")]
    assert caplog.records == []


# Where distributions are found


def test_without_a_path_it_looks_along_the_path_of_python(site: Site, second_site: Site) -> None:
    site.install("acme-on-path", {"mail": "acme"})
    second_site.install("acme-beside-path", {"mail": "acme"})
    distributions = {plugin.distribution for plugin in discover()}
    assert "acme-on-path" in distributions
    assert "acme-beside-path" not in distributions


def test_with_a_path_it_looks_nowhere_else(site: Site, second_site: Site) -> None:
    site.install("acme-on-path", {"mail": "acme"})
    second_site.install("acme-beside-path", {"mail": "acme"})
    assert [plugin.distribution for plugin in discover([second_site.folder])] == ["acme-beside-path"]
    assert [plugin.distribution for plugin in discover(path=(str(second_site.folder),))] == ["acme-beside-path"]
    assert discover([]) == ()


@pytest.mark.parametrize("path", ["/somewhere", b"/somewhere", Path("/somewhere")])
def test_one_folder_in_place_of_several_is_refused(path: Any) -> None:
    with pytest.raises(TypeError, match="path takes several values: write path="):
        discover(path)


def test_a_relative_folder_is_one_of_the_current_folder(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("acme", {"mail": "acme"})
    monkeypatch.chdir(site.folder.parent)
    assert targets(discover([site.folder.name])) == [("acme", "mail", "acme")]
    monkeypatch.chdir(site.folder)
    monkeypatch.setattr(sys, "path", [""])
    assert targets(discover()) == [("acme", "mail", "acme")]


def test_a_folder_that_stands_twice_on_the_path_is_read_once(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("acme", {"mail": "acme"})
    link = tmp_path / "link"
    link.symlink_to(site.folder)
    assert targets(discover([site.folder, link, f"{site.folder}/"])) == [("acme", "mail", "acme")]
    assert caplog.records == []


def test_what_is_no_folder_holds_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", {"mail": "acme"})
    file = site.folder / "a_file.zip"
    file.write_text("no archive at all")
    assert targets(discover([site.folder / "absent", file, site.folder])) == [("acme", "mail", "acme")]
    assert caplog.records == []


@pytest.mark.parametrize("odd", [None, 3, b"/", Path("/")], ids=repr)
def test_what_python_ignores_on_its_path_is_ignored(site: Site, monkeypatch: pytest.MonkeyPatch, odd: object) -> None:
    site.install("acme", {"mail": "acme"})
    monkeypatch.setattr(sys, "path", [odd, str(site.folder)])
    assert targets(discover()) == [("acme", "mail", "acme")]


@pytest.mark.parametrize("kind", [os.fsencode, Path])
def test_python_imports_only_from_texts_on_its_path(
    site: Site, second_site: Site, monkeypatch: pytest.MonkeyPatch, kind: Callable[[Path], object]
) -> None:
    site.install("acme", {"mail": "acme"})
    second_site.install("not-importable", {"mail": "acme"})
    monkeypatch.setattr(sys, "path", [kind(second_site.folder), str(site.folder)])
    assert targets(discover()) == [("acme", "mail", "acme")]


def test_a_deleted_working_directory_does_not_stop_it(site: Site, tmp_path: Path) -> None:
    site.install("acme-for-this", {"mail": "acme"})
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        "import os, sys, fastsoy_events\n"
        "sys.path[:0] = ['', sys.argv[1]]\n"
        "os.rmdir(os.getcwd())\n"
        "print([plugin.id for plugin in fastsoy_events.discover()])\n"
    )
    command = [sys.executable, "-c", code, str(site.folder)]
    result = subprocess.run(command, cwd=gone, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "'acme-for-this:mail'" in result.stdout


def test_a_folder_that_cannot_be_listed_costs_a_warning(
    site: Site, second_site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_site.install("acme", {"mail": "acme"})
    listdir = os.listdir

    def refuse(folder: str) -> list[str]:
        if folder == os.path.realpath(site.folder):
            raise PermissionError(13, "Permission denied", folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    assert targets(discover([site.folder, second_site.folder])) == [("acme", "mail", "acme")]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{site.folder.resolve()} cannot be listed, so no plugin in it is found" in record.getMessage()


def test_the_order_in_which_a_folder_is_listed_does_not_matter(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("beta", "alpha", "gamma"):
        site.install(name, {"b": f"{name}.b", "a": f"{name}.a"})
    for version in ("1.0", "1.0.0"):  # the same version, in two spellings
        site.install("delta", {"only": f"delta.v{version.replace('.', '_')}"}, version=version)
    listdir = os.listdir
    found = set()
    for reverse in (False, True):
        monkeypatch.setattr(os, "listdir", lambda folder, reverse=reverse: sorted(listdir(folder), reverse=reverse))
        found.add(in_site(site))
    assert len(found) == 1


def egg_info(folder: Path, name: str, text: str | None, *, metadata: str = "Name: acme\nVersion: 1.5\n") -> Path:
    info = folder / name
    info.mkdir(parents=True)
    (info / "PKG-INFO").write_text(metadata)
    if text is not None:
        (info / "entry_points.txt").write_text(HEADER + text)
    return info


@pytest.mark.parametrize("name", ["acme-1.5-py3.11.egg-info", "acme-1.5.egg-info", "acme.egg-info", "Acme.EGG-INFO"])
def test_an_egg_info_folder_is_a_distribution(site: Site, name: str) -> None:
    egg_info(site.folder, name, "mail = acme.mail:setup\n")
    [plugin] = in_site(site)
    assert (plugin.id, plugin.version, plugin.module) == ("acme:mail", "1.5", "acme.mail")


def test_a_broken_egg_info_folder_is_one_failure(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    info = egg_info(site.folder, "broken-1.5-py3.11.egg-info", None)
    (info / "entry_points.txt").write_bytes(f"{HEADER}mail = gr\xfc\xdfe\n".encode("latin-1"))
    error = the_failure(site, caplog)
    assert (error.distribution, error.version) == ("acme", "1.5")
    assert "entry_points.txt is not UTF-8" in str(error)


def test_an_egg_info_folder_without_metadata_is_one_failure(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    info = egg_info(site.folder, "broken.egg-info", "mail = acme\n")
    (info / "PKG-INFO").unlink()
    assert "there is no METADATA file" in str(the_failure(site, caplog))


def test_of_an_egg_info_and_a_dist_info_in_one_folder_the_newer_counts(site: Site) -> None:
    site.install("acme", {"mail": "acme.old"}, version="1.0")
    egg_info(site.folder, "acme-1.5-py3.11.egg-info", "mail = acme.new\n")
    assert [(plugin.version, plugin.module) for plugin in in_site(site)] == [("1.5", "acme.new")]


def test_a_project_beside_its_editable_install_counts_by_its_own_version(site: Site) -> None:
    site.install("acme", {"mail": "acme.old"}, version="1.0")
    egg_info(site.folder, "acme.egg-info", "mail = acme.new\n")  # of 1.5, which its folder does not tell
    assert [(plugin.version, plugin.module) for plugin in in_site(site)] == [("1.5", "acme.new")]


def test_an_egg_info_file_is_a_distribution_without_plugins(site: Site, second_site: Site) -> None:
    (site.folder / "acme-1.0-py3.11.egg-info").write_text("Name: acme\nVersion: 1.0\n")
    second_site.install("acme", {"mail": "acme"})
    assert in_site(site) == ()
    assert discover([site.folder, second_site.folder]) == ()  # the first counts
    assert targets(discover([second_site.folder, site.folder])) == [("acme", "mail", "acme")]


def test_an_egg_folder_on_the_path_is_a_distribution(tmp_path: Path, site: Site) -> None:
    egg = tmp_path / "acme-1.5-py3.11.egg"
    egg_info(egg, "EGG-INFO", "mail = acme.mail\n")
    [plugin] = discover([egg])
    assert (plugin.id, plugin.version, plugin.module) == ("acme:mail", "1.5", "acme.mail")


def archive_of(tmp_path: Path, contents: Mapping[str, str | bytes], name: str = "plugins.zip") -> Path:
    file = tmp_path / name
    with ZipFile(file, "w") as archive:
        for inside, text in contents.items():
            archive.writestr(inside, text)
    return file


def test_a_zip_file_on_the_path_holds_distributions(tmp_path: Path, site: Site) -> None:
    contents = {
        "acme-1.5.dist-info/METADATA": "Name: Acme\nVersion: 1.5\n",
        "acme-1.5.dist-info/entry_points.txt": f"{HEADER}mail = acme.mail\n",
        "zeta-1.0.dist-info/METADATA": "Name: zeta\nVersion: 1.0\n",
    }
    [plugin] = discover([archive_of(tmp_path, contents)])
    assert (plugin.id, plugin.version, plugin.module) == ("acme:mail", "1.5", "acme.mail")


def test_a_broken_distribution_in_a_zip_file_is_one_failure(
    tmp_path: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    contents: dict[str, str | bytes] = {
        "acme-1.5.dist-info/METADATA": "Name: acme\nVersion: 1.5\n",
        "acme-1.5.dist-info/entry_points.txt": f"{HEADER}mail = acme.mail\n",
        "broken-1.0.dist-info/METADATA": "Name: broken\nVersion: 1.0\n",
        "broken-1.0.dist-info/entry_points.txt": b"\xff\xfe",
    }
    assert [plugin.status for plugin in discover([archive_of(tmp_path, contents)])] == ["discovered", "failed"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "broken 1.0" in caplog.text


def test_an_editable_install_is_found_and_imported_from_its_project(tmp_path: Path, site: Site) -> None:
    source = tmp_path / "project" / "src"
    source.mkdir(parents=True)
    (source / "acme_editable.py").write_text("ORIGIN = __file__\n")
    info = site.install("acme-editable", {"mail": "acme_editable"})
    (info / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "file:///project"}')
    (site.folder / "_editable_impl_acme_editable.pth").write_text(f"{source}\n")
    python_site.addsitedir(str(site.folder))  # what Python does with site-packages when it starts
    assert ("acme-editable", "mail", "acme_editable") in targets(discover())
    assert Path(importlib.import_module("acme_editable").ORIGIN) == source / "acme_editable.py"


def test_a_project_with_an_egg_info_counts_after_the_editable_install_that_names_it(tmp_path: Path, site: Site) -> None:
    source = tmp_path / "project" / "src"
    egg_info(source, "acme.egg-info", "mail = acme.stale\n")
    site.install("acme", {"mail": "acme.mail"})
    assert targets(discover([site.folder, source])) == [("acme", "mail", "acme.mail")]


# The finders of other tools


class InMemory(importlib_metadata.Distribution):
    """A distribution that lies in no folder."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts

    def read_text(self, filename: str) -> str | None:
        return self.texts.get(filename)

    def locate_file(self, path: object) -> Any:
        raise NotImplementedError


class InMemoryForTheStandardLibrary(importlib.metadata.Distribution):
    """The same for the finders that know only the standard library."""

    def read_text(self, filename: str) -> str | None:
        return {"METADATA": "Name: memory\nVersion: 4.0\n", "entry_points.txt": f"{HEADER}mail = memory\n"}.get(
            filename
        )

    def locate_file(self, path: object) -> Any:
        raise NotImplementedError


class Finder:
    """An import finder of another tool that brings distributions of its own."""

    def __init__(self, *distributions: object, error: Exception | None = None) -> None:
        self.distributions = distributions
        self.error = error
        self.paths: list[list[str]] = []

    def __repr__(self) -> str:
        return "the finder of another tool"

    def find_spec(self, *_: object) -> None:
        return None

    def find_distributions(self, context: Any) -> Iterator[object]:
        self.paths.append(list(context.path))
        yield from self.distributions
        if self.error:
            raise self.error


def in_memory(name: str = "memory", text: str = "mail = memory.mail\n") -> InMemory:
    return InMemory(**{"METADATA": f"Name: {name}\nVersion: 4.0\n", "entry_points.txt": HEADER + text})


def test_another_finder_brings_distributions(site: Site) -> None:
    finder = Finder(in_memory("Memory_Kit"))
    sys.meta_path.append(finder)
    site.install("acme", {"mail": "acme"})
    assert targets(in_site(site)) == [("acme", "mail", "acme"), ("memory-kit", "mail", "memory.mail")]
    assert finder.paths == [[str(site.folder)]]  # it is asked for the same folders
    assert [plugin.version for plugin in in_site(site)] == ["1.0", "4.0"]


def test_another_finder_may_know_the_standard_library_only(site: Site) -> None:
    sys.meta_path.append(Finder(InMemoryForTheStandardLibrary()))
    [plugin] = in_site(site)
    assert (plugin.id, plugin.version) == ("memory:mail", "4.0")


def test_a_finder_before_the_one_of_python_comes_first(site: Site) -> None:
    site.install("memory", {"mail": "in_folder"})
    sys.meta_path.append(Finder(in_memory()))
    assert targets(in_site(site)) == [("memory", "mail", "in_folder")]
    sys.meta_path.insert(0, Finder(in_memory()))
    assert targets(in_site(site)) == [("memory", "mail", "memory.mail")]


def test_folders_are_read_even_where_the_finder_of_python_was_removed(site: Site) -> None:
    site.install("acme", {"mail": "acme"})
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not PathFinder]
    assert targets(in_site(site)) == [("acme", "mail", "acme")]


def test_a_finder_that_raises_costs_a_warning(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", {"mail": "acme"})
    sys.meta_path.insert(0, Finder(in_memory(), error=RuntimeError("no connection")))
    assert [plugin.id for plugin in in_site(site)] == ["acme:mail", "memory:mail"]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    for part in ("the finder of another tool", "so no plugin in it is found", "no connection"):
        assert part in record.getMessage()


def test_a_finder_that_finds_nonsense_costs_a_warning(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.install("acme", {"mail": "acme"})
    sys.meta_path.insert(0, Finder("no distribution"))
    assert [plugin.id for plugin in in_site(site)] == ["acme:mail"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_broken_distribution_of_another_finder_is_one_failure(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    sys.meta_path.append(Finder(InMemory(**{"entry_points.txt": f"{HEADER}mail = memory\n"}), in_memory("other")))
    plugins = in_site(site)
    assert sorted(plugin.status for plugin in plugins) == ["discovered", "failed"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "there is no METADATA file" in caplog.text


def test_a_namesake_of_what_another_finder_brings_without_metadata_counts(site: Site) -> None:
    sys.meta_path.insert(0, Finder(InMemory()))
    site.install("acme", {"mail": "acme"})
    assert [plugin.id for plugin in in_site(site)] == ["acme:mail"]


# Beside importlib_metadata, on sane sites

NAMES = ("acme-mail", "Acme.Mail", "acme_mail", "zeta", "py-3d")
WORDS = st.sampled_from(["mail", "post", "größe", "a b", "x.y"])
TARGETS = st.sampled_from(["acme", "acme.mail", "acme.mail:setup", "acme.mail:a.b [extra]", "zeta_2.x"])
INSTALLED = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "version": st.sampled_from(["1.0", "1.9", "1.10", "2.0b1", "2.0", "1!0.5"]),
        "kind": st.sampled_from(["dist-info", "egg-info", "empty"]),
        "entry_points": st.one_of(st.none(), st.dictionaries(WORDS, TARGETS, max_size=3)),
        "line_end": st.sampled_from(["\n", "\r\n"]),
    }
)
FOLDER = st.lists(INSTALLED, max_size=4, unique_by=lambda each: (canonical(each["name"]), each["version"]))


def canonical(name: str) -> str:
    return importlib_metadata.Prepared.normalize(name).replace("_", "-")


def lay_down(folder: Path, each: Mapping[str, Any]) -> None:
    stem = f"{each['name'].replace('-', '_')}-{each['version']}"
    is_egg = each["kind"] == "egg-info"
    info = folder / (f"{stem}-py3.11.egg-info" if is_egg else f"{stem}.dist-info")
    info.mkdir()
    if each["kind"] == "empty":
        return
    end = each["line_end"]
    metadata = end.join(["Metadata-Version: 2.1", f"Name: {each['name']}", f"Version: {each['version']}", "", ""])
    (info / ("PKG-INFO" if is_egg else "METADATA")).write_bytes(metadata.encode())
    if each["entry_points"] is not None:
        lines = ["[console_scripts]", "x = x:main", "", f"[{GROUP}]", "# ours"]
        lines += [f"{name} = {target}" for name, target in each["entry_points"].items()]
        (info / "entry_points.txt").write_bytes(end.join([*lines, "[last]", "y = y", ""]).encode())


def as_the_library_finds(folders: Iterable[Path]) -> set[tuple[str, str, str, str]]:
    """Read all by importlib_metadata, and resolve duplicates as promised: the first folder, then the newest version."""
    counts: dict[str, importlib_metadata.Distribution] = {}
    for folder in folders:
        context = importlib_metadata.DistributionFinder.Context(path=[str(folder)])
        newest: dict[str, importlib_metadata.Distribution] = {}
        for distribution in importlib_metadata.MetadataPathFinder.find_distributions(context):
            if not distribution.read_text("METADATA") and not distribution.read_text("PKG-INFO"):
                continue
            name = canonical(distribution.metadata["Name"])
            rival = newest.setdefault(name, distribution)
            newest[name] = max(rival, distribution, key=lambda each: Version(each.version))
        counts = {**newest, **counts}
    return {
        (name, distribution.version, entry_point.name, entry_point.module)
        for name, distribution in counts.items()
        for entry_point in distribution.entry_points.select(group=GROUP)
    }


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(folders=st.lists(st.tuples(FOLDER, st.booleans()), min_size=1, max_size=3))
def test_it_finds_what_importlib_metadata_finds(folders: list[tuple[list[Mapping[str, Any]], bool]]) -> None:
    with TemporaryDirectory() as root:
        paths = []
        for place, (installed, is_zipped) in enumerate(folders):
            folder = Path(root, str(place))
            folder.mkdir()
            for each in installed:
                lay_down(folder, each)
            paths.append(Path(make_archive(str(folder), "zip", folder)) if is_zipped else folder)
        plugins = discover(paths)
        expected = as_the_library_finds(paths)
    assert {(each.distribution, each.version, each.name, each.module) for each in plugins} == expected
    assert all(plugin.status == "discovered" for plugin in plugins)
    assert list(plugins) == sorted(plugins, key=lambda each: (each.distribution, each.name))


@settings(max_examples=150, deadline=None)
@given(contents=st.binary(max_size=200), metadata=st.binary(max_size=60))
def test_whatever_one_distribution_holds_the_others_are_found(contents: bytes, metadata: bytes) -> None:
    with TemporaryDirectory() as root:
        for name, entry_points, text in (
            ("broken", HEADER.encode() + contents, metadata),
            ("good", f"{HEADER}mail = good\n".encode(), b"Name: good\nVersion: 1.0\n"),
        ):
            info = Path(root, f"{name}-1.0.dist-info")
            info.mkdir()
            (info / "METADATA").write_bytes(text)
            (info / "entry_points.txt").write_bytes(entry_points)
        assert ("good", "mail", "good") in targets(discover([root]))


def test_a_zip_file_whose_metadata_unpacks_to_very_much_is_not_unpacked(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    file = site.folder / "large.zip"
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr("acme-1.0.dist-info/METADATA", "Name: acme\nVersion: 1.0\n")
        archive.writestr("acme-1.0.dist-info/entry_points.txt", HEADER + "#" * (1 << 21))
    assert discover(path=[str(file)]) == ()
    assert f"{file.resolve()} holds metadata of more than 1048576 bytes" in caplog.text


def test_a_pipe_on_the_path_is_not_waited_for(site: Site) -> None:
    os.mkfifo(site.folder / "pipe.zip")
    assert discover(path=[str(site.folder / "pipe.zip")]) == ()


@pytest.mark.parametrize("version", ["1.0\x1b[2J", "1.0\x07"])
def test_what_a_terminal_would_obey_is_left_out_of_a_version(site: Site, version: str) -> None:
    site.install("acme", {"mail": "acme"}, metadata=f"Name: acme\nVersion: {version}\n")
    [plugin] = in_site(site)
    assert plugin.version.isprintable()


def test_a_line_with_characters_that_cannot_be_shown_is_one_failure(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.install("broken", f"{HEADER}mail\x1b[2J = acme\n", version="3.2")
    assert "characters that cannot be shown" in str(the_failure(site, caplog))
