"""The user's own settings win."""

import gc

import pytest

from heedful.cli._runtime import SETTINGS, loading, prepare


def test_sets_what_is_not_set_and_nothing_else(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    prepare()
    import os

    assert os.environ["GOMP_SPINCOUNT"] == "7"
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == SETTINGS["THP_MEM_ALLOC_ENABLE"]


def test_garbage_is_looked_for_again_after_loading():
    assert gc.isenabled()
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ModuleNotFoundError), loading():
        import no_such_module  # noqa: F401
    assert gc.isenabled()


def test_who_looks_for_no_garbage_is_not_made_to():
    gc.disable()
    try:
        with loading():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
