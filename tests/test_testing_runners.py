"""The testing kit under the runners of asynchronous tests, in parallel processes, and in any order."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from textwrap import dedent

import pytest

pytest_plugins = ["pytester"]

IS_INSTALLED = any(each.value == "fastsoy_events.testing.plugin" for each in entry_points(group="pytest11"))
KIT = () if IS_INSTALLED else ("-p", "fastsoy_events.testing.plugin")
SETTINGS = """
    [pytest]
    asyncio_default_fixture_loop_scope = function
    addopts = --strict-markers -p no:cacheprovider -p no:randomly -p no:hypothesispytest
    filterwarnings = error
"""
HANDLERS = """
    from fastsoy_events import emit, on

    sent = []

    @on("employee.created")
    async def send(employee_id, **_):
        if employee_id < 0:
            raise ValueError(f"{employee_id} is no employee")
        sent.append(employee_id)
        await emit("mail.sent", employee_id=employee_id)
"""
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
ENTRY_POINT = "[fastsoy.event_handlers]\n{name} = {module}\n"


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a folder of tests with two plugins installed beside them."""
    pytester.makeini(dedent(SETTINGS))
    for name in ("acme-mail", "acme-post"):
        module = name.replace("-", "_")
        info = pytester.mkdir(f"{module}-1.0.dist-info")
        (info / "METADATA").write_text(METADATA.format(name=name))
        (info / "entry_points.txt").write_text(ENTRY_POINT.format(name=name, module=module))
        pytester.makepyfile(**{module: dedent(HANDLERS)})
    return pytester


def assert_outcomes(result: pytest.RunResult, **outcomes: int) -> None:
    assert result.parseoutcomes() == outcomes, result.stdout.str() + result.stderr.str()


# Asynchronous tests: the same ones, as each runner wants them written

TESTS = """
    import asyncio

    import pytest
    {imports}
    from fastsoy_events import deferred, emit, emit_sync, handlers
    from fastsoy_events.testing import expected_failures, flush_deferred

    pytestmark = [{mark}pytest.mark.events(plugins=["acme-mail"])]

    async def hire(employee_id):
        async with deferred():
            await emit("employee.created", employee_id=employee_id)

    @pytest.fixture
    def application(event_bus):
        event_bus.on("mail.sent")(lambda **_: None)

    {fixture}
    async def rolled_back(captured_events):
        class RollbackError(Exception): ...
        try:
            async with deferred():
                await hire(1)
                yield
                raise RollbackError
        except RollbackError:
            pass
        captured_events.assert_order(["employee.created", "mail.sent", "employee.created"])

    async def test_flushed_by_hand(rolled_back, captured_events):
        captured_events.assert_not_emitted("mail.sent")
        await flush_deferred()
        captured_events.assert_emitted("mail.sent", employee_id=1, times=1)
        await hire(2)

    async def test_in_tasks_and_threads(application, captured_events):
        await asyncio.gather(*(emit("employee.created", employee_id=number) for number in range(3)))
        await asyncio.to_thread(emit_sync, "employee.created", employee_id=3)
        captured_events.assert_emitted("mail.sent", times=4)
        assert len(handlers("employee.created")) == 1

    async def test_failed(application):
        await emit("employee.created", employee_id=-1)

    async def test_expected():
        with expected_failures(ValueError, event="employee.created"):
            await emit("employee.created", employee_id=-1)

    def test_plain(captured_events):
        emit_sync("employee.created", employee_id=1)
        captured_events.assert_emitted("mail.sent")
"""


@pytest.mark.parametrize(
    ("parts", "arguments"),
    [
        (
            {"imports": "import pytest_asyncio", "mark": "pytest.mark.asyncio, ", "fixture": "@pytest_asyncio.fixture"},
            ["-o", "asyncio_mode=strict", "-W", "ignore:The test <Function test_plain"],
        ),
        ({"imports": "", "mark": "", "fixture": "@pytest.fixture"}, ["-o", "asyncio_mode=auto"]),
        ({"imports": "", "mark": "pytest.mark.anyio, ", "fixture": "@pytest.fixture"}, ["-p", "no:asyncio"]),
    ],
    ids=["asyncio strict", "asyncio auto", "anyio"],
)
def test_asynchronous_tests(project: pytest.Pytester, parts: dict[str, str], arguments: list[str]) -> None:
    project.makepyfile(test_it=dedent(TESTS).format(**parts))
    if "anyio" in parts["mark"]:
        project.makeini(dedent(SETTINGS).replace("asyncio_default_fixture_loop_scope = function\n", ""))
        project.makeconftest("import pytest\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'")
    result = project.runpytest_subprocess(*KIT, *arguments)
    assert_outcomes(result, passed=4, failed=1)
    result.stdout.fnmatch_lines(["*ValueError: -1 is no employee", "*direct cause*", "*an event handler failed*"])


# unittest

CASES = """
    import unittest

    from fastsoy_events import bus, emit, handlers
    from fastsoy_events.testing import captured, expected_failures, narrowed, temporary_plugins

    class TestMail(unittest.IsolatedAsyncioTestCase):
        def setUp(self):
            self.bus = self.enterContext(narrowed(plugins=["acme-mail"]))
            self.events = self.enterContext(captured())

        async def test_captured(self):
            await emit("employee.created", employee_id=1)
            self.events.assert_order(["employee.created", "mail.sent"])
            self.assertEqual(self.bus.validation, "raise")

        async def test_expected(self):
            with expected_failures(ValueError) as failures:
                await emit("employee.created", employee_id=-1)
            self.assertEqual(len(failures), 1)

        async def test_failed(self):
            await emit("employee.created", employee_id=-1)

        async def test_installed(self):
            install = self.enterContext(temporary_plugins())
            install(name="acme-more", module="acme_more", source="import acme_mail")
            self.assertEqual(len(handlers("employee.created")), 1)

    class TestOutside(unittest.TestCase):
        def test_restored(self):
            self.assertEqual((handlers(), bus.validation), ((), "off"))
"""


def test_unittest_by_itself(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=dedent(CASES))
    command = [sys.executable, "-W", "error", "-m", "unittest", "-v", "test_it"]
    done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, check=False)
    assert "FAILED (failures=1)" in done.stderr, done.stderr
    assert "\nFAIL: test_failed" in done.stderr
    assert "\nAssertionError: an event handler failed, which the test does not expect:" in done.stderr
    assert "Ran 5 tests" in done.stderr


def test_unittest_by_pytest(project: pytest.Pytester) -> None:
    marked = """
        import unittest

        import pytest
        from fastsoy_events import emit, handlers

        @pytest.mark.events(plugins=["acme-mail"])
        class TestMarked(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                assert len(handlers()) == 1

            async def test_passed(self): ...

            async def test_failed_by_marker(self):
                await emit("employee.created", employee_id=-1)
    """
    project.makepyfile(test_it=dedent(CASES), test_marked=dedent(marked))
    result = project.runpytest_subprocess(*KIT)
    assert_outcomes(result, passed=5, failed=2)
    result.stdout.fnmatch_lines(["FAILED test_it.py::TestMail::test_failed*", "FAILED *::test_failed_by_marker*"])


# Any order, and several processes

MIXED = """
    import asyncio
    import importlib
    import sys

    import pytest
    from fastsoy_events import ContractError, bus, emit_sync, event, handlers, load_plugins, on, plugins
    from fastsoy_events.testing import captured, expected_failures, narrowed

    BY_TEST = '''
        from fastsoy_events import on

        @on("employee.created")
        def {name}(**_): ...
    '''

    @event("desk.reserved")
    def desk_reserved(*, employee_id: int) -> None: ...

    @on("employee.created")
    def host(employee_id, **_): ...

    def heard():
        return [handler.qualname for handler in handlers("employee.created")]

    again = pytest.mark.parametrize("number", range(3))

    @again
    def test_as_it_was(number):
        assert heard() == ["host"]
        assert (bus.validation, bus._watchers, bus.handler_timeout) == ("off", (), None)
        assert emit_sync("desk.reserved", number=number) == ()

    @again
    @pytest.mark.parametrize("name", ["acme-mail", "acme-post"])
    def test_narrowed(name, number, request):
        with narrowed([name]), captured() as events:
            assert heard() == ["send"]
            emit_sync("employee.created", employee_id=number)
        events.assert_emitted("mail.sent", employee_id=number, times=1)

    @again
    @pytest.mark.events(plugins=["acme-mail", "acme-post"])
    def test_marked(number, captured_events):
        assert heard() == ["send", "send"]
        emit_sync("employee.created", employee_id=number)
        captured_events.assert_emitted("mail.sent", times=2)

    @again
    def test_cleared(number, event_bus):
        assert heard() == []
        event_bus.handler_timeout = 1.0
        event_bus.on("employee.created")(host)
        with pytest.raises(ContractError):
            emit_sync("desk.reserved", number=number)
        with pytest.raises(ContractError):
            asyncio.run(desk_reserved.emit(number=number))

    @again
    def test_made(number, install_plugin):
        name = f"handle_{number}"
        install_plugin(name="acme-made", module="acme_made", source=BY_TEST.format(name=name))
        assert heard() == [name]

    @again
    def test_imported_by_a_test(number, event_bus):
        importlib.import_module("acme_post")
        load_plugins(allowed=["acme-mail"])
        assert heard() == ["send"]

    @again
    @pytest.mark.events(mute=True)
    def test_muted(number, captured_events):
        emit_sync("employee.created")
        assert len(captured_events) == 1

    @again
    @pytest.mark.events(plugins=["acme-mail"])
    def test_failing(number):
        with expected_failures(ValueError, times=1):
            emit_sync("employee.created", employee_id=-1 - number)
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_order(project: pytest.Pytester, seed: int) -> None:
    project.makepyfile(test_it=dedent(MIXED))
    result = project.runpytest_subprocess(*KIT, "--random-order-bucket=global", f"--random-order-seed={seed}")
    assert_outcomes(result, passed=27)


def test_several_processes(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=dedent(MIXED))
    result = project.runpytest_subprocess(*KIT, "-n", "2", "--random-order-bucket=global", "--random-order-seed=4")
    assert_outcomes(result, passed=27)
