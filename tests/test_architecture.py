"""Who may import whom; the contracts stand in pyproject.toml under [tool.importlinter]."""

from __future__ import annotations

from importlinter.application.use_cases import lint_imports  # type: ignore[import-untyped]


def test_every_import_contract_is_kept(capsys: object) -> None:
    assert lint_imports(config_filename=None, cache_dir=None, is_debug_mode=False, show_timings=False, verbose=False)
