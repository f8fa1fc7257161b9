"""What one process decides for all; two real ones are in `test_start`."""

from types import SimpleNamespace

import pytest

from heedful.errors import ConfigError
from heedful.training import processes
from heedful.training.processes import decided


def test_alone_a_process_decides_for_itself():
    assert decided(lambda: 3) == 3


@pytest.mark.parametrize("main", [True, False])
@pytest.mark.parametrize("said", [7, ConfigError("steps must be, got none")])
def test_all_get_what_the_main_process_decided(monkeypatch, main, said):
    right = [None, said] if isinstance(said, ConfigError) else [said, None]
    wire = []

    def broadcast(values):
        if main:
            wire.extend(values)
        else:
            values[:] = right

    def decide():
        assert main
        if isinstance(said, ConfigError):
            raise said
        return said

    state = SimpleNamespace(num_processes=2, is_main_process=main)
    monkeypatch.setattr(processes, "Accelerator", lambda: state)
    monkeypatch.setattr(processes, "broadcast_object_list", broadcast)
    if isinstance(said, ConfigError):
        with pytest.raises(ConfigError, match="steps must be, got none"):
            decided(decide)
    else:
        assert decided(decide) == 7
    assert wire == (right if main else [])
