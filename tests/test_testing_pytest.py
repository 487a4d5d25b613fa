"""The testing kit as pytest's plugin: small projects, run by a pytest of their own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from textwrap import dedent

import pytest

from fastsoy_events import bus
from fastsoy_events.testing import (
    _hooks,  # noqa: F401 - before any test: pytester forgets what is first imported while one of its own runs
)

pytest_plugins = ["pytester"]

IS_INSTALLED = any(each.value == "fastsoy_events.testing.plugin" for each in entry_points(group="pytest11"))
KIT = () if IS_INSTALLED else ("-p", "fastsoy_events.testing.plugin")
SETTINGS = """
    [pytest]
    asyncio_default_fixture_loop_scope = function
    addopts = --strict-markers -p no:cacheprovider -p no:randomly -p no:hypothesispytest -p no:xdist
    filterwarnings =
        error
        ignore:Module already imported so cannot be rewritten
"""
NOTIFY = """
    from fastsoy_events import on

    sent = []

    @on("employee.created")
    def send(employee_id, **_):
        if employee_id < 0:
            raise ValueError(f"{employee_id} is no employee")
        sent.append(employee_id)
"""


class Project:
    """A folder with tests, and with plugins installed beside them."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeini(dedent(SETTINGS))

    def write(self, **sources: str) -> None:
        self.pytester.makepyfile(**{name: dedent(source) for name, source in sources.items()})

    def install(self, name: str, plugin: str, module: str, source: str) -> None:
        info = self.pytester.mkdir(f"{name.replace('-', '_')}-1.0.dist-info")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[fastsoy.event_handlers]\n{plugin} = {module}\n")
        self.write(**{module: source})

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run its tests in this process, whose default bus is then as it was."""
        return self.pytester.runpytest_inprocess(*KIT, *arguments)

    def run_apart(self, *arguments: str) -> pytest.RunResult:
        """Run its tests in a process of their own."""
        return self.pytester.runpytest_subprocess(*KIT, *arguments)


@pytest.fixture
def project(pytester: pytest.Pytester, default_bus: object) -> Project:
    return Project(pytester)


@pytest.fixture
def with_notify(project: Project) -> Project:
    """Return a project with fastsoy-notify and another plugin, neither of which is the real one."""
    project.install("acme-notify", "acme-n", "acme_notify", NOTIFY)
    project.install("acme-audit", "acme-a", "acme_audit", NOTIFY.replace("send(", "keep("))
    return project


def assert_outcomes(result: pytest.RunResult, **outcomes: int) -> None:
    counted = {name: count for name, count in result.parseoutcomes().items() if name not in {"warning", "warnings"}}
    assert counted == outcomes, result.stdout.str() + result.stderr.str()


def shows(result: pytest.RunResult, *lines: str) -> None:
    """Require lines of the output, one after another; what stands between, and an `E` before them, does not count."""
    rest = iter([line.removeprefix("E").strip() for line in result.outlines])
    for line in lines:
        assert any(line in each for each in rest), f"{line}\n\n{result.stdout.str()}"


# event_bus


def test_the_bus_is_empty_and_is_restored_whoever_has_imported_what(project: Project) -> None:
    project.write(
        test_it="""
        import fastsoy_events
        from fastsoy_events import bus, emit as fire, handlers as registered, on as listen

        ran = []

        @listen("work.begun")
        def host(**_): ran.append("host")

        async def test_empty(event_bus):
            assert event_bus is bus
            assert registered() == ()
            listen("work.begun")(lambda **_: ran.append("test"))
            await fire("work.begun")
            await fastsoy_events.emit("work.begun")
            assert ran == ["test", "test"]
            ran.clear()
            event_bus.validation = "off"
            event_bus.slow_after = 1.0

        async def test_restored():
            assert (bus.validation, bus.slow_after) == ("off", None)
            await fire("work.begun")
            assert ran == ["host"]
    """
    )
    assert_outcomes(project.run("-o", "asyncio_mode=auto"), passed=2)


def test_it_is_narrowed_by_the_marker_with_and_without_the_fixture(with_notify: Project) -> None:
    with_notify.write(
        test_it="""
        import pytest
        from fastsoy_events import handlers, load_plugins

        pytestmark = pytest.mark.events(plugins=["acme-notify"])

        def heard():
            return [handler.qualname for handler in handlers("employee.created")]

        def test_by_the_module(): assert heard() == ["send"]
        def test_by_fixture(event_bus): assert heard() == ["send"]

        @pytest.mark.parametrize("number", [1, 2])
        def test_imported_before(event_bus, number): assert heard() == ["send"]

        @pytest.mark.events(plugins=["acme-a"])
        class TestClass:
            def test_closest(self, event_bus): assert heard() == ["keep"]

            @pytest.mark.events(mute=True)
            def test_both(self): assert heard() == ["keep"]

            @pytest.mark.events(plugins=[])
            def test_none(self, event_bus): assert heard() == []

            @pytest.mark.parametrize("expected", [
                pytest.param(["send"], marks=pytest.mark.events(plugins=("acme-n",))),
                ["keep"],
            ])
            def test_of_one_parameter(self, expected): assert heard() == expected

        @pytest.mark.usefixtures("event_bus")
        def test_used_by_name(): assert heard() == ["send"]

        def test_asked_for_late(request): assert request.getfixturevalue("event_bus").handlers()
    """,
        test_other="""
        from fastsoy_events import handlers

        def test_outside(): assert handlers() == ()

        def test_asked_for_late(request):
            assert request.getfixturevalue("event_bus").validation == "raise"
            assert request.getfixturevalue("captured_events") is request.getfixturevalue("captured_events")
    """,
    )
    assert_outcomes(with_notify.run(), passed=13)


def test_an_unknown_plugin_is_one_line_with_the_nearest(with_notify: Project) -> None:
    with_notify.write(
        test_it="""
        import pytest

        @pytest.mark.events(plugins=["acme-notfy"])
        def test_unknown(event_bus): ...
    """
    )
    result = with_notify.run()
    assert_outcomes(result, errors=1)
    place = result.outlines.index(next(line for line in result.outlines if "ERROR at setup of test_unknown" in line))
    assert result.outlines[place + 1] == (
        "@pytest.mark.events: plugins names 'acme-notfy', but no plugin or distribution of that name is installed. "
        "Did you mean 'acme-notify'?"
    )
    assert result.outlines[place + 2].startswith("====")


def test_a_plugin_that_cannot_be_loaded_is_an_error_with_its_own_as_cause(project: Project) -> None:
    project.install("acme-bad", "bad", "acme_bad", "1 / 0")
    project.write(
        test_it="""
        import pytest

        @pytest.mark.events(plugins=["bad"])
        def test_bad(): ...
    """
    )
    result = project.run()
    assert_outcomes(result, errors=1)
    shows(result, "1 / 0", "ZeroDivisionError: division by zero", "importing it raised ZeroDivisionError")
    assert "_plugin_bus.py" not in result.stdout.str()


def test_the_kit_begins_before_the_tests_own_fixtures_and_ends_after_them(with_notify: Project) -> None:
    with_notify.write(
        conftest="""
        import pytest
        from fastsoy_events import bus, emit_sync, handlers, load_plugins

        order = []

        @pytest.fixture(scope="session", autouse=True)
        def session():
            order.append(bus.validation)

        @pytest.fixture(autouse=True)
        def autouse():
            order.append(bus.validation)
            yield
            order.append(bus.validation)

        @pytest.fixture
        def application():
            load_plugins(order=["acme-a"], disabled=["fastsoy-hr", "fastsoy-notify", "fastsoy-audit"])
            emit_sync("application.started")
            yield [handler.qualname for handler in handlers("employee.created")]
            assert handlers("employee.created")
    """,
        test_it="""
        import pytest
        from conftest import order
        from fastsoy_events import bus, handlers

        def test_application_first(application, captured_events, event_bus):
            assert application == ["keep", "send"]
            captured_events.assert_emitted("application.started", times=1)

        def test_restored():
            assert handlers() == ()
            assert order == ["off", "raise", "raise", "off"]

        @pytest.mark.events(plugins=["acme-n"])
        def test_the_applications_own_load(application):
            assert application == ["send"]
    """,
    )
    assert_outcomes(with_notify.run("-p", "no:randomly"), passed=3)


# captured_events


def test_everything_emitted_is_captured(project: Project) -> None:
    project.write(
        test_it="""
        import asyncio

        from fastsoy_events import deferred, emit, event

        @event("mail.sent")
        def mail_sent(*, mail_id: int) -> None: ...

        async def test_it(captured_events):
            async with deferred():
                await emit("employee.created", employee_id=1, department_id=3)
                await asyncio.create_task(mail_sent.emit(mail_id=2))
                captured_events.assert_order(["employee.created", "mail.sent"])
            captured_events.assert_emitted("employee.created", employee_id=1, times=1)
            captured_events.assert_not_emitted("employee.created", employee_id=2)
            assert [name for name, _ in captured_events] == ["employee.created", "mail.sent"]
            assert len(captured_events.named("mail.sent")) == 1

        async def test_anew(captured_events):
            assert not captured_events
    """
    )
    assert_outcomes(project.run("-o", "asyncio_mode=auto"), passed=2)


def test_a_failed_check_shows_the_tests_line_what_was_emitted_and_the_nearest(project: Project) -> None:
    project.write(
        test_it="""
        from fastsoy_events import emit_sync

        def test_it(captured_events):
            emit_sync("employee.created", employee_id=1)
            emit_sync("employee.created", employee_id=2)
            captured_events.assert_emitted("employee.created", employee_id=3)
    """
    )
    result = project.run()
    assert_outcomes(result, failed=1)
    shows(
        result,
        '>       captured_events.assert_emitted("employee.created", employee_id=3)',
        "AssertionError: employee.created(employee_id=3) was not emitted.",
        "The nearest is number 1:",
        "  employee_id: expected 3, emitted 1".strip(),
        "Emitted:",
        "1. employee.created(employee_id=1)",
        "2. employee.created(employee_id=2)",
        "test_it.py:6: AssertionError",
    )
    assert "_captured.py" not in result.stdout.str()


def test_muted_no_handler_runs(with_notify: Project) -> None:
    with_notify.write(
        test_it="""
        import pytest
        from fastsoy_events import emit_sync

        @pytest.mark.events(plugins=["acme-n"], mute=True)
        def test_muted(captured_events):
            import acme_notify
            assert emit_sync("employee.created", employee_id=-1) == ()
            assert acme_notify.sent == []
            captured_events.assert_emitted("employee.created", employee_id=-1)

        @pytest.mark.events(plugins=["acme-n"])
        def test_not_muted():
            import acme_notify
            emit_sync("employee.created", employee_id=1)
            assert acme_notify.sent == [1]
    """
    )
    assert_outcomes(with_notify.run(), passed=2)


# Failures


def test_a_handlers_failure_fails_the_test_with_its_own_error_as_cause(with_notify: Project) -> None:
    with_notify.write(
        test_it="""
        import pytest
        from fastsoy_events import emit_sync
        from fastsoy_events.testing import expected_failures

        pytestmark = pytest.mark.events(plugins=["acme-n"])

        def test_failed():
            emit_sync("employee.created", employee_id=-17)

        def test_expected():
            with expected_failures(ValueError, match="no employee") as failures:
                emit_sync("employee.created", employee_id=-17)
            assert failures[0].handler.plugin == "acme-n"

        @pytest.mark.xfail(strict=True, raises=AssertionError)
        def test_known(captured_events):
            emit_sync("employee.created", employee_id=-17)

        def test_expected_in_vain():
            with expected_failures(ValueError):
                emit_sync("employee.created", employee_id=17)

        def test_skipped():
            emit_sync("employee.created", employee_id=-17)
            pytest.skip("after all")
    """
    )
    result = with_notify.run()
    assert_outcomes(result, failed=2, passed=1, xfailed=1, skipped=1)
    shows(
        result,
        "_ test_failed _",
        '>           raise ValueError(f"{employee_id} is no employee")',
        "ValueError: -17 is no employee",
        "The above exception was the direct cause of the following exception:",
        "AssertionError: an event handler failed, which the test does not expect:",
        "employee.created / acme_notify.send: ValueError: -17 is no employee",
        "If it is meant to, write `with expected_failures():` around the emit (from fastsoy_events.testing)",
        "_ test_expected_in_vain _",
        ">       with expected_failures(ValueError):",
        "AssertionError: a handler was expected to fail with ValueError: none did",
    )
    assert "contextlib" not in result.stdout.str()


def test_a_failure_is_told_beside_the_tests_own(with_notify: Project) -> None:
    with_notify.write(
        test_it="""
        import pytest
        from fastsoy_events import emit_sync

        @pytest.mark.events(plugins=["acme-n"])
        def test_it():
            emit_sync("employee.created", employee_id=-17)
            import acme_notify
            assert acme_notify.sent == [-17]
    """
    )
    result = with_notify.run()
    assert_outcomes(result, failed=1)
    shows(
        result,
        ">       assert acme_notify.sent == [-17]",
        "Besides, an event handler failed",
        "test_it.py:8: AssertionError",
    )


def test_a_failure_while_fixtures_begin_or_end_is_not_lost(with_notify: Project) -> None:
    with_notify.write(
        test_it="""
        import pytest
        from fastsoy_events import emit_sync

        @pytest.fixture
        def failing_first(event_bus):
            emit_sync("employee.created", employee_id=-1)

        @pytest.fixture
        def failing_last(event_bus):
            yield
            emit_sync("employee.created", employee_id=-2)

        @pytest.mark.events(plugins=["acme-n"])
        def test_first(failing_first): ...

        @pytest.mark.events(plugins=["acme-n"])
        def test_last(failing_last): ...
    """
    )
    result = with_notify.run()
    assert_outcomes(result, failed=1, passed=1, errors=1)
    shows(result, "ERROR at teardown of test_last", "-2 is no employee", "_ test_first _", "-1 is no employee")


def test_a_test_without_the_kit_has_failures_as_before(with_notify: Project) -> None:
    with_notify.write(
        test_it="""
        from fastsoy_events import bus, emit_sync, load_plugins

        def test_it():
            with bus.isolated():
                load_plugins(allowed=["acme-notify"])
                assert emit_sync("employee.created", employee_id=-1)
                assert bus.validation == "off"
    """
    )
    assert_outcomes(with_notify.run(), passed=1)


def test_contracts_are_enforced(project: Project) -> None:
    project.write(
        test_it="""
        import pytest
        from fastsoy_events import ContractError, bus, emit_sync, event

        @event("mail.sent")
        def mail_sent(*, mail_id: int) -> None: ...

        def test_before(): assert bus.validation == "off"

        @pytest.mark.parametrize("fixture", ["event_bus", "captured_events"])
        def test_enforced(request, fixture, captured_events):
            request.getfixturevalue(fixture)
            with pytest.raises(ContractError, match="did you mean mail_id"):
                emit_sync("mail.sent", mail=1)

        @pytest.mark.events
        def test_marked():
            with pytest.raises(ContractError):
                emit_sync("mail.sent")

        def test_unless_the_test_wants_it_otherwise(event_bus):
            event_bus.validation = "off"
            emit_sync("mail.sent")

        def test_after(): assert bus.validation == "off"
    """
    )
    assert_outcomes(project.run(), passed=6)


# The marker


@pytest.mark.parametrize(
    ("marker", "problem"),
    [
        ("events('notify')", "takes keywords: write plugins=[...] or mute=True, not 'notify'"),
        ("events(plugin=['notify'])", "does not take plugin: did you mean plugins?"),
        ("events(strict=True)", "does not take strict: it takes plugins and mute"),
        (
            "events(plugins='notify')",
            "takes the names of plugins: write plugins=['fastsoy-notify'], not plugins='notify'",
        ),
        ("events(plugins=[1])", "takes the names of plugins: write plugins=['fastsoy-notify'], not plugins=[1]"),
        ("events(mute='yes')", "takes mute=True or mute=False: not mute='yes'"),
    ],
)
@pytest.mark.parametrize("base", ["", "(unittest.TestCase)"])
def test_a_wrong_marker_is_an_error_at_collection(project: Project, marker: str, problem: str, base: str) -> None:
    source = f"""
        import unittest

        import pytest

        @pytest.mark.{marker}
        class TestIt{base}:
            def test_it(self): ...
    """
    project.write(test_it=source)
    result = project.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    shows(result, "ERROR collecting test_it.py", f"test_it.py::TestIt::test_it: @pytest.mark.events {problem}", "====")


def test_a_wrong_marker_is_told_by_parallel_processes_too(project: Project) -> None:
    project.write(test_it="import pytest\n@pytest.mark.events('notify')\ndef test_it(): ...")
    project.pytester.makeini(dedent(SETTINGS).replace("-p no:xdist", "-n 1"))
    result = project.run_apart()
    shows(result, "test_it.py::test_it: @pytest.mark.events takes keywords: ")


def test_a_conftest_may_mark_tests_that_are_collected(with_notify: Project) -> None:
    with_notify.write(
        conftest="""
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                options = {"plugins": ["acme-n"]} if item.name == "test_right" else {"plugin": "acme-n"}
                item.add_marker(pytest.mark.events(**options))
    """,
        test_it="""
        from fastsoy_events import handlers

        def test_right(): assert len(handlers()) == 1
        def test_wrong(): ...
    """,
    )
    result = with_notify.run()
    assert_outcomes(result, passed=1, errors=1)
    shows(result, "ERROR at setup of test_wrong", "@pytest.mark.events does not take plugin: did you mean plugins?")


def test_the_marker_is_known_and_described(project: Project) -> None:
    result = project.run("--markers")
    shows(result, "@pytest.mark.events(*, plugins=None, mute=False): use the testing kit of fastsoy-events; ")


def test_the_fixtures_are_described_and_their_inner_ones_are_not(project: Project) -> None:
    project.write(test_it="def test_it(): ...")
    result = project.run("--fixtures")
    shows(result, "event_bus", "The default bus, emptied, or narrowed", "captured_events", "install_plugin")
    assert "_events_session" not in result.stdout.str()


# install_plugin


def test_a_plugin_is_made_and_loaded_and_gone(project: Project) -> None:
    project.write(
        test_it="""
        import sys
        from importlib.metadata import PackageNotFoundError, version

        import pytest
        from fastsoy_events import PluginError, emit_sync, handlers

        SOURCE = '''
            from fastsoy_events import emit, on

            @on("employee.created")
            async def greet(employee_id, **_):
                await emit("mail.sent", employee_id=employee_id)
        '''

        def test_loaded(install_plugin, captured_events):
            plugin = install_plugin(name="acme-mail", module="acme_mail.handlers", source=SOURCE)
            assert [handler.qualname for handler in plugin.handlers] == ["greet"]
            assert version("acme-mail") == "1.0.0"
            install_plugin(name="acme-post", module="acme_post", source=SOURCE, version="3.1")
            emit_sync("employee.created", employee_id=1)
            captured_events.assert_emitted("mail.sent", employee_id=1, times=2)

        def test_gone():
            assert handlers() == ()
            assert not [name for name in sys.modules if name.startswith("acme")]
            assert not [folder for folder in sys.path if "fastsoy-events-test-" in folder]
            with pytest.raises(PackageNotFoundError):
                version("acme-mail")

        def test_broken(install_plugin):
            with pytest.raises(PluginError, match="ZeroDivisionError") as caught:
                install_plugin(name="acme-mail", module="acme_mail", source="1 / 0")
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
    """
    )
    assert_outcomes(project.run(), passed=3)


# Inert


def test_a_project_that_does_not_use_it_sees_nothing_of_it(project: Project) -> None:
    project.write(
        conftest="""
        import pytest

        @pytest.fixture
        def event_bus():
            return "another bus"
    """,
        test_it="""
        import sys

        def test_it(event_bus, request):
            assert event_bus == "another bus"
            assert [each for each in request.fixturenames if each.startswith("_events")] == []
            assert {name for name in sys.modules if name.startswith("fastsoy_events.testing")} == {
                "fastsoy_events.testing", "fastsoy_events.testing.plugin",
            }
            from fastsoy_events import bus
            assert (bus.validation, bus._watchers) == ("off", ())
    """,
    )
    result = project.run_apart("--setup-show")
    assert_outcomes(result, passed=1)
    assert "_events" not in result.stdout.str()


def test_an_overriding_fixture_may_build_on_it(project: Project) -> None:
    project.write(
        conftest="""
        import pytest

        @pytest.fixture
        def event_bus(event_bus):
            event_bus.on("work.begun")(print)
            return event_bus
    """,
        test_it="def test_it(event_bus): assert (len(event_bus.handlers()), event_bus.validation) == (1, 'raise')",
    )
    assert_outcomes(project.run(), passed=1)


def modules_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_loading_the_plugin_imports_nothing_but_what_declaring_a_handler_does() -> None:
    before = modules_after("import pytest, fastsoy_events")
    after = modules_after("import pytest, fastsoy_events.testing.plugin")
    assert after - before == {"fastsoy_events.testing", "fastsoy_events.testing.plugin"}


def test_importing_a_name_imports_what_it_needs_alone() -> None:
    loaded = modules_after("from fastsoy_events.testing import captured")
    assert "fastsoy_events.testing._captured" in loaded
    assert not {"fastsoy_events._discover", "fastsoy_events.testing._narrowed", "pytest"} & loaded


def test_the_names_are_listed_and_others_refused() -> None:
    import fastsoy_events.testing as kit

    assert set(kit.__all__) <= set(dir(kit))
    assert all(getattr(kit, name).__doc__ for name in kit.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        kit.nothing  # noqa: B018  # type: ignore[attr-defined]


def test_these_tests_leave_the_bus_alone() -> None:
    assert bus._watchers == ()
