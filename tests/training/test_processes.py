"""What one process decides for all; two real ones are in `test_start`."""

from types import SimpleNamespace

import pytest
import torch

from heedful.errors import ConfigError, UnsupportedError
from heedful.training import processes
from heedful.training.processes import accelerator, alike, decided, draw_apart


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
    monkeypatch.setattr(processes, "accelerator", lambda: state)
    monkeypatch.setattr(processes, "broadcast_object_list", broadcast)
    if isinstance(said, ConfigError):
        with pytest.raises(ConfigError, match="steps must be, got none"):
            decided(decide)
    else:
        assert decided(decide) == 7
    assert wire == (right if main else [])


@pytest.mark.parametrize("others", [[[1, 2], [1, 2]], [[1, 2], [1, 3]], [[1, 3], [1, 2]]])
def test_all_processes_notice_that_one_is_different(monkeypatch, others):
    assert alike([1, 2])  # alone
    monkeypatch.setattr(processes, "gather_object", lambda own: others)
    same = others[0] == others[1]
    assert {alike(own) for own in others} == {same}, "else those that notice nothing wait for ever"


@pytest.mark.parametrize(
    "kind, steps, message",
    [
        ("FSDP", 1, "every process must hold the whole model, got FSDP"),
        ("MULTI_GPU", 4, "decide what one step sees, got 4 gradient accumulation steps"),
        (None, 1, "must begin with mixed_precision = no in Accelerate, got: another one"),
        ("MULTI_GPU", 1, None),
    ],
)
def test_what_a_training_cannot_keep_is_refused(monkeypatch, kind, steps, message):
    def begun(*, mixed_precision, cpu):
        assert mixed_precision == "no"
        assert not cpu
        if kind is None:
            raise ValueError("another one")
        value = SimpleNamespace(value=kind)
        return SimpleNamespace(
            distributed_type=value, gradient_accumulation_steps=steps, num_processes=1
        )

    monkeypatch.setattr(processes, "Accelerator", begun)
    if message is None:
        assert accelerator().gradient_accumulation_steps == 1
    else:
        with pytest.raises(UnsupportedError, match=message):
            accelerator()


def test_what_is_drawn_depends_on_seed_process_and_step_alone():
    def drawn(seed, process, step):
        torch.rand(step + 1)  # whatever was drawn before
        draw_apart(seed, process=process, step=step)
        return torch.rand(1).item()

    places = [(seed, process, step) for seed in (1, 2) for process in (0, 1) for step in (0, 1, 2)]
    state = torch.get_rng_state()
    try:
        assert len({drawn(*place) for place in places}) == len(places)
        assert [drawn(*place) for place in places] == [drawn(*place) for place in places]
    finally:
        torch.set_rng_state(state)


@pytest.mark.parametrize("found", [1, 2])
def test_processes_that_were_started_together_find_each_other_or_none_trains(monkeypatch, found):
    def begun(*, mixed_precision, cpu):
        assert cpu is not torch.accelerator.is_available()  # else it looks on GPUs alone
        return SimpleNamespace(
            distributed_type=SimpleNamespace(value="MULTI_CPU"),
            gradient_accumulation_steps=1,
            num_processes=found,
        )

    monkeypatch.setattr(processes, "Accelerator", begun)
    monkeypatch.setenv("WORLD_SIZE", "2")
    if found == 2:
        assert accelerator().num_processes == 2
        return
    with pytest.raises(UnsupportedError, match="all 2 processes must train together, got 1 that"):
        accelerator()
