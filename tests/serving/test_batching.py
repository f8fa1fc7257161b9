import asyncio
import threading
from time import monotonic

import pytest

from heedful.errors import DataError
from heedful.serving.batching import Batcher, FullError, StoppedError, Work, answered

LATER = 1e9  # seconds from now


@pytest.fixture
def batcher():
    made = Batcher(5)
    yield made
    made.close(drop=True)
    if made._thread.is_alive():
        made.join()


class Gate:
    """Work that notes its batches, and goes on when it may."""

    def __init__(self, open=True):
        self.batches, self.entered, self.may = [], threading.Event(), threading.Event()
        if open:
            self.may.set()

    def __call__(self, inputs):
        self.entered.set()
        assert self.may.wait(20)
        self.batches.append(list(inputs))
        return [each * 10 for each in inputs]


def test_results_come_in_the_order_of_their_inputs(batcher):
    async def ask():
        batcher.start()
        found = batcher.put(Work(Gate(), most=2), [1, 2, 3], until=LATER)
        return await asyncio.gather(*found)

    assert asyncio.run(ask()) == [10, 20, 30]


def test_what_waits_is_worked_on_together_and_no_more_than_most(batcher):
    gate = Gate()

    async def ask():
        work = Work(gate, most=3)
        found = [batcher.put(work, [n], until=LATER)[0] for n in range(5)]
        batcher.start()
        await asyncio.gather(*found)

    asyncio.run(ask())
    assert gate.batches == [[0, 1, 2], [3, 4]]


def test_works_do_not_mix_and_keep_their_order(batcher):
    first, second = Gate(), Gate()

    async def ask():
        one, other = Work(first, most=9), Work(second, most=9)
        found = [*batcher.put(one, [1], until=LATER), *batcher.put(other, [2], until=LATER)]
        found += batcher.put(one, [3], until=LATER)
        batcher.start()
        return await asyncio.gather(*found)

    assert asyncio.run(ask()) == [10, 20, 30]
    assert (first.batches, second.batches) == ([[1], [3]], [[2]])


def test_an_input_waits_for_company_until_the_batch_is_whole(batcher):
    gate = Gate()

    async def ask():
        batcher.start()
        work = Work(gate, most=2, wait=1e6)
        found = batcher.put(work, [1], until=LATER)
        await asyncio.sleep(0.02)
        found += batcher.put(work, [2], until=LATER)
        await asyncio.gather(*found)

    asyncio.run(ask())
    assert gate.batches == [[1, 2]]


def test_an_input_that_is_alone_waits_no_longer_than_it_must(batcher):
    gate = Gate()

    async def ask():
        batcher.start()
        begun = monotonic()
        await asyncio.gather(*batcher.put(Work(gate, most=2, wait=0.05), [1], until=LATER))
        return monotonic() - begun

    assert asyncio.run(ask()) >= 0.05
    assert gate.batches == [[1]]


def test_all_find_room_or_none(batcher):
    async def ask():
        work = Work(Gate())
        batcher.put(work, [1, 2, 3], until=LATER)
        with pytest.raises(FullError, match="at most 5 inputs must wait, got 3 and 4 more") as full:
            batcher.put(work, [1, 2, 3, 4], until=LATER)
        assert full.value.after >= 1
        assert batcher.depth() == 3

    asyncio.run(ask())


def test_the_wait_that_is_said_grows_with_what_an_input_takes(batcher):
    batcher._seconds = 2.5

    async def ask():
        batcher.put(Work(Gate()), [1, 2, 3, 4, 5], until=LATER)
        with pytest.raises(FullError) as full:
            batcher.check()
        return full.value.after

    assert asyncio.run(ask()) == 13


def test_an_error_is_of_whoever_caused_it_and_the_thread_goes_on(batcher):
    def work(inputs):
        if inputs == ["all"]:
            raise KeyError("all")
        return [ValueError("one") if each == "one" else each for each in inputs]

    async def ask():
        batcher.start()
        doing = Work(work, most=2)
        broken = batcher.put(doing, ["all"], until=LATER)
        await asyncio.wait(broken)
        mixed = batcher.put(doing, ["one", "good"], until=LATER)
        return await asyncio.gather(*broken, *mixed, return_exceptions=True)

    broken, one, good = asyncio.run(ask())
    assert (type(broken), type(one), good) == (KeyError, ValueError, "good")


def test_what_nobody_wants_any_more_is_not_begun(batcher):
    gate = Gate()

    async def ask():
        late = batcher.put(Work(gate), [1], until=monotonic())
        found = batcher.put(Work(gate), [2], until=LATER)
        batcher.start()
        await asyncio.gather(*found)
        return late[0].done()

    assert asyncio.run(ask()) is False
    assert gate.batches == [[2]]


def test_closed_it_takes_nothing_and_finishes_what_waits(batcher):
    gate = Gate(open=False)

    async def ask():
        batcher.start()
        found = batcher.put(Work(gate), [1, 2], until=LATER)
        await asyncio.to_thread(gate.entered.wait)
        batcher.close()
        with pytest.raises(StoppedError, match="must be running to be asked, got one that stops"):
            batcher.put(Work(gate), [3], until=LATER)
        gate.may.set()
        return await asyncio.gather(*found)

    assert asyncio.run(ask()) == [10, 20]
    batcher.join()


def test_callers_that_are_gone_disturb_nobody(batcher):
    gate = Gate(open=False)

    async def ask():
        batcher.start()
        batcher.put(Work(gate), [1], until=LATER)
        await asyncio.to_thread(gate.entered.wait)

    asyncio.run(ask())  # its loop is closed while the thread is at work
    gate.may.set()

    async def again():
        return await asyncio.gather(*batcher.put(Work(gate), [2], until=LATER))

    assert asyncio.run(again()) == [20]


def test_batches_are_heard_with_their_size_and_time():
    heard = []
    batcher = Batcher(5, heard=lambda count, seconds: heard.append((count, seconds)))

    async def ask():
        found = batcher.put(Work(Gate(), most=5), [1, 2, 3], until=LATER)
        batcher.start()
        await asyncio.gather(*found)

    asyncio.run(ask())
    batcher.close()
    batcher.join()
    [(count, seconds)] = heard
    assert count == 3
    assert seconds >= 0


def _answered(*outcomes, seconds=20):
    """What is answered of futures with these outcomes, and the futures; `None` is not done."""

    async def ask():
        loop = asyncio.get_running_loop()
        waiting = [loop.create_future() for _ in outcomes]
        for future, outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            elif outcome is not None:
                loop.call_later(0.01, future.set_result, outcome)
        try:
            return await answered(waiting, until=monotonic() + seconds), waiting
        except Exception as error:
            return error, waiting

    return asyncio.run(ask())


def test_an_error_of_ours_stands_for_what_it_is_about():
    wrong = DataError("bad")
    assert _answered(1, wrong, 3)[0] == [1, wrong, 3]


@pytest.mark.parametrize("outcome, kind", [(KeyError("a bug"), KeyError), (None, TimeoutError)])
def test_whoever_does_not_wait_any_more_cancels_what_is_left(outcome, kind):
    error, (first, second, last) = _answered(1, outcome, None, seconds=0.1)
    assert isinstance(error, kind)
    assert first.result() == 1
    assert second.cancelled() is (outcome is None)
    assert last.cancelled()
