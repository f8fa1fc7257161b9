"""Batches of a training: the same from wherever it goes on, in whichever thread they are cut."""

import itertools
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from heedful.training.stream import Place, Stream

CPU = torch.device("cpu")
EXAMPLES = 23


class Numbers:
    """Examples whose batches show what they were cut with."""

    def __init__(self, *, broken=None):
        self.sizes = np.ones((EXAMPLES, 1), np.int64)
        self.amounts = np.arange(EXAMPLES)
        self.broken, self.calls, self.threads = broken, [], set()

    def __len__(self):
        return EXAMPLES

    def batch(self, rows, device, *, random=None):
        self.threads.add(threading.current_thread().name)
        self.calls.append(rows)
        if len(self.calls) - 1 == self.broken:
            raise OSError("no such image")
        return rows, float(random.random()), device


def stream(data=None, *, seed=3, most=5, share=(0, 1)):
    task = SimpleNamespace(config=SimpleNamespace(seed=seed), batch_limit=most)
    return Stream(task, data or Numbers(), device=CPU, share=share)


def first(count, of, epoch=0, batch=0):
    return list(itertools.islice(of.after(epoch, batch), count))


def test_it_goes_on_alike_from_every_place():
    whole = first(15, stream())
    places = [place for place, _, _ in whole]
    assert places == [Place(epoch, batch) for epoch in range(3) for batch in range(5)]
    for number, place in enumerate(places):
        assert first(15 - number, stream(), *place) == whole[number:]


def test_behind_the_last_batch_of_an_epoch_the_next_one_begins():
    whole = first(15, stream())
    assert first(5, stream(), 0, 5) == whole[5:10]


def test_every_epoch_holds_every_example_once_in_an_order_of_its_own():
    whole = first(15, stream())
    epochs = [[rows for _, (rows, _, _), _ in whole[i : i + 5]] for i in (0, 5, 10)]
    for epoch in epochs:
        assert sorted(itertools.chain(*epoch)) == [*range(EXAMPLES)]
    assert epochs[0] != epochs[1] != epochs[2]
    assert first(5, stream(seed=4)) != whole[:5]


def test_how_much_a_batch_is_belongs_to_it():
    for _, (rows, _, device), amount in first(9, stream()):
        assert amount == sum(rows)
        assert device == CPU


def test_what_is_drawn_is_another_for_each_batch_epoch_process_and_seed():
    drawn = [
        value
        for seed in (3, 4)
        for process in (0, 1)
        for _, (_, value, _), _ in first(6, stream(seed=seed, share=(process, 2)))
    ]
    assert len(set(drawn)) == len(drawn) == 24


def test_batches_are_cut_by_one_other_thread_and_one_ahead():
    data = Numbers()
    batches = stream(data).after(0, 0)
    next(batches)
    deadline = time.monotonic() + 30
    while len(data.calls) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(data.calls) == 2
    next(batches)
    batches.close()
    assert len(data.calls) == 3
    assert data.threads == {"batches_0"}
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


@pytest.mark.parametrize("broken", [0, 1, 6])
def test_an_error_comes_where_its_batch_was_due(broken):
    batches = stream(Numbers(broken=broken)).after(0, 0)
    for _ in range(broken):
        next(batches)
    with pytest.raises(OSError, match="no such image"):
        next(batches)


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_processes_share_an_epoch_and_take_as_many_steps_each(processes):
    shares = [stream(share=(process, processes)).batches(4) for process in range(processes)]
    assert {len(share) for share in shares} == {5 // processes}
    rows = [row for share in shares for batch in share for row in batch]
    assert len(rows) == len(set(rows))
    alone = stream().batches(4)
    assert [batch for step in zip(*shares, strict=True) for batch in step] == alone[
        : processes * (5 // processes)
    ]


def test_where_there_are_more_processes_than_batches_each_has_one():
    shares = [stream(share=(process, 7)).batches(0) for process in range(7)]
    assert [len(share) for share in shares] == [1] * 7
    assert shares[0] == shares[5]


def test_two_epochs_are_kept_and_none_is_made_twice(monkeypatch):
    import heedful.training.stream as module

    honest, made = module.size_batches, []

    def counted(*given, epoch, **rest):
        made.append(epoch)
        return honest(*given, epoch=epoch, **rest)

    monkeypatch.setattr(module, "size_batches", counted)
    of = stream()
    for place, _, _ in itertools.islice(of.after(0, 0), 15):
        of.batches(place.epoch)  # as the loop asks, for its limits
    assert made == [0, 1, 2, 3]
    assert set(of._epochs) == {2, 3}
