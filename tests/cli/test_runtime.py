"""The user's own settings win."""

from heedful.cli._runtime import SETTINGS, prepare


def test_sets_what_is_not_set_and_nothing_else(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    prepare()
    import os

    assert os.environ["GOMP_SPINCOUNT"] == "7"
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == SETTINGS["THP_MEM_ALLOC_ENABLE"]
