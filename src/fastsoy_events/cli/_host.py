"""Sets the options, imports the host's application and loads the plugins, in this order."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from traceback import extract_tb, format_exception
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from fastsoy_events import load_plugins
from fastsoy_events.cli._output import Stop, say, shown_log
from fastsoy_events.errors import AlreadyLoadedError, PluginLoadError, UnknownPluginError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastsoy_events import LoadReport

_ALLOWED = "FASTSOY_EVENTS_ALLOWED"
_DISABLED = "FASTSOY_EVENTS_DISABLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command was asked to load.

    Args:
        app: `package.module` or `package.module:attribute` of the host's application.
        allow: the distributions that may be imported; empty for all.
        disable: plugins or distributions that are not imported.
        path: the folders to look for plugins in; empty for `sys.path`.
        order: plugins or distributions that go first.
        traceback: show tracebacks.
    """

    app: str | None = None
    allow: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    path: tuple[Path, ...] = ()
    order: tuple[str, ...] = ()
    traceback: bool = False


def load(options: Options) -> LoadReport:
    """Import the host's application, if there is one, and load the plugins.

    What either prints goes to stderr, so that stdout holds the command's result alone.

    Args:
        options: what to load.

    Returns:
        The report of the load; the application's own where it has loaded the plugins while it was imported.

    Raises:
        Stop: the application cannot be imported, or lacks the attribute, or a plugin stops the loading.
    """
    folders = prepare(options)
    working_folder = "" if options.app is None else str(_working_folder())
    sys.path[:0] = [*folders, working_folder] if working_folder else folders
    with redirect_stdout(sys.stderr):
        if options.app is not None:
            with shown_log(traceback=options.traceback):
                _import_app(options.app, working_folder, traceback=options.traceback)
        # Shown anew: the application may have configured logging, which disables or replaces what was there.
        with shown_log(traceback=options.traceback):
            return _load(folders, options)


def prepare(options: Options) -> list[str]:
    """Allow and disable as the options say, and return the folders to look in, as absolute paths.

    Args:
        options: what to load.

    Raises:
        Stop: a folder is relative, and the working folder is gone.
    """
    folders = [str(folder if folder.is_absolute() else _working_folder() / folder) for folder in options.path]
    _set_environment(options)
    return folders


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        reason = error.strerror or error
        raise Stop(f"the working folder cannot be read: {reason}. Change to a folder that exists") from error


def stop_if_any_failed(report: LoadReport) -> None:
    """End the command with the exit code for failed plugins, where there are any; each was named before.

    Raises:
        Stop: with the exit code 1.
    """
    if report.failures:
        raise Stop(exit_code=1)


def say_no_plugin_was_found() -> None:
    """Say what a plugin would need in order to be found."""
    say("note", "no plugin was found: nothing declares an entry point in the group fastsoy.event_handlers")


def _load(folders: list[str], options: Options) -> LoadReport:
    try:
        return _load_plugins(folders, options.order)
    except PluginLoadError as error:  # the application's, which load_plugins() raises anew
        return _report_of(error)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:  # such as a CancelledError, which passes through the loader
        details = "".join(format_exception(error)) if options.traceback else ""
        raise Stop(f"a plugin's import raised {_describe(error)}", exit_code=1, details=details) from error


def _report_of(error: PluginLoadError) -> LoadReport:
    """Return the report of a strict load; there, a name that fits nothing is a failure too, but nobody has said so."""
    unknown = [failure for failure in error.exceptions if isinstance(failure, UnknownPluginError)]
    for failure in unknown:
        say("error", str(failure))
    return replace(error.report, failures=(*error.report.failures, *unknown))


def _set_environment(options: Options) -> None:
    """Allow and disable through the environment, because the application may load the plugins itself."""
    if options.allow:
        allowed = _names(options.allow)
        if _ALLOWED in os.environ:
            allowed &= _names([os.environ[_ALLOWED]])
        os.environ[_ALLOWED] = ",".join(sorted(allowed))
    if options.disable:
        before = os.environ.get(_DISABLED, "")
        os.environ[_DISABLED] = ",".join(filter(None, [before, *options.disable]))


def _names(lists: Iterable[str]) -> set[str]:
    return {canonicalize_name(name.strip()) for names in lists for name in names.split(",") if name.strip()}


def _load_plugins(folders: list[str], order: tuple[str, ...]) -> LoadReport:
    if not folders and not order:
        return load_plugins()
    try:
        return load_plugins(path=folders or None, order=order)
    except AlreadyLoadedError:
        given = " and ".join(name for name, value in (("--path", folders), ("--order", order)) if value)
        say("note", f"{given} came too late: the application loaded the plugins itself while it was imported")
        return load_plugins()


def _import_app(target: str, folder: str, *, traceback: bool) -> None:
    module_name, colon, attribute = target.partition(":")
    if not _is_dotted_name(module_name) or (colon and not _is_dotted_name(attribute)):
        raise Stop(f"--app takes package.module or package.module:attribute, not {target!r}")
    try:
        found: object = importlib.import_module(module_name)
        for part in attribute.split(".") if colon else ():
            found = _attribute(found, part, target)
    except (Stop, KeyboardInterrupt):
        raise
    except PluginLoadError as error:
        details = "".join(format_exception(error)) if traceback else ""
        say("note", f"--app {target}: its import ended where it loads plugins with strict=True", details=details)
    except BaseException as error:  # also what is no Exception, such as a CancelledError, is one line
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise Stop(f"--app {target}: {_in_words(error.msg)}, looked for in {folder} and on sys.path") from error
        details = "".join(format_exception(error)) if traceback else ""
        raise Stop(f"--app {target}: its import raised {_describe(error)}", details=details) from error


def _is_dotted_name(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _attribute(owner: object, name: str, target: str) -> object:
    # An AttributeError can also come out of a module's own __getattr__, about something else.
    try:
        return getattr(owner, name)
    except AttributeError as error:
        if error.name not in {name, None}:
            raise
        message = f"--app {target}: there is no attribute {name!r}"
        nearest = get_close_matches(name, dir(owner), n=1)
        raise Stop(message + "".join(f"; did you mean {match!r}?" for match in nearest)) from error


def _describe(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename is not None:
        text, place = _in_words(error.msg), f"{error.filename}:{error.lineno}"
    else:
        text, place = _in_words(error), _place(error)
    description = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{description} ({place})" if place else description


def _in_words(error: object) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error that cannot be put into words still has a name and a place
        return ""


def _place(error: BaseException) -> str:
    frames = [frame for frame in extract_tb(error.__traceback__) if not _is_import_system(frame.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _is_import_system(filename: str) -> bool:
    return filename.startswith("<frozen ") or filename in {__file__, importlib.__file__}
