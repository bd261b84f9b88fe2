"""A callback runs once its module has been executed, and never before."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from rerun_mp.hooks import when_loaded
from rerun_mp.hooks.when_loaded import LoadWatcher, install_finder


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of a module that can be imported and has not been."""
    (tmp_path / "loaded_late.py").write_text("value = 1\nvalue = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "loaded_late"
    sys.modules.pop("loaded_late", None)
    when_loaded._callbacks.pop("loaded_late", None)


def test_a_callback_gets_the_module_after_its_execution(name: str) -> None:
    values: list[int] = []
    when_loaded.when_loaded(name, lambda module: values.append(module.value))
    assert values == []
    import_module(name)
    assert values == [2]


def test_a_callback_for_a_loaded_module_runs_at_once(name: str) -> None:
    modules: list[ModuleType] = []
    module = import_module(name)
    when_loaded.when_loaded(name, modules.append)
    assert modules == [module]


def test_callbacks_run_in_their_order_and_once(name: str) -> None:
    order: list[str] = []
    when_loaded.when_loaded(name, lambda _: order.append("first"))
    when_loaded.when_loaded(name, lambda _: order.append("second"))
    import_module(name)
    del sys.modules[name]
    import_module(name)
    assert order == ["first", "second"]


@pytest.mark.parametrize("is_on", [True, False])
def test_no_collection_runs_while_a_watched_module_is_executed(tmp_path: Path, name: str, is_on: bool) -> None:
    (tmp_path / "loaded_late.py").write_text("import gc\nwas_on = gc.isenabled()\n")
    seen: list[bool] = []
    when_loaded.when_loaded(name, lambda module: seen.append(module.was_on))
    before = gc.isenabled()
    (gc.enable if is_on else gc.disable)()
    try:
        import_module(name)
        assert gc.isenabled() == is_on
    finally:
        (gc.enable if before else gc.disable)()
    assert seen == [False]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the interpreter has other generations")
@pytest.mark.parametrize("is_frozen", [False, True])
def test_objects_of_a_watched_module_are_old(tmp_path: Path, name: str, is_frozen: bool) -> None:
    """Forked children copy the pages of young ones. A program's own frozen objects stay frozen."""
    (tmp_path / "loaded_late.py").write_text("value = []\n")
    when_loaded.when_loaded(name, lambda _: None)
    if is_frozen:
        gc.freeze()
    try:
        value = import_module(name).value
        assert any(value is one for one in gc.get_objects(generation=2)) != is_frozen
        assert bool(gc.get_freeze_count()) == is_frozen
    finally:
        gc.unfreeze()


def test_an_exception_in_a_callback_fails_the_import(name: str) -> None:
    def fail(module: ModuleType) -> None:
        raise RuntimeError(module.__name__)

    when_loaded.when_loaded(name, fail)
    with pytest.raises(RuntimeError, match=name):
        import_module(name)
    assert name not in sys.modules


def test_the_loader_stays_as_it_was(name: str) -> None:
    when_loaded.when_loaded(name, lambda _: None)
    module = import_module(name)
    assert module.__loader__ is not None
    assert "exec_module" not in vars(module.__loader__)


def test_the_finder_is_installed_once() -> None:
    install_finder()
    assert sum(isinstance(finder, LoadWatcher) for finder in sys.meta_path) == 1
