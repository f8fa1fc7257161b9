"""The choice is measured once per machine and kind of call, and where that fails nothing breaks."""

import json
import os
import stat
import threading
import time

import pytest
import torch
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from heedful.errors import ConfigError
from heedful.kernels import _kernels, _measure, _shape, _table, choose
from heedful.kernels.call import Call
from heedful.mask import Mask


def draw(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def call_of(batch=2, heads=4, queries=5, keys=7, *, dim=3, kv_heads=2, dtype=torch.float32, **more):
    query = draw(batch, heads, queries, dim, dtype=dtype)
    key = draw(batch, kv_heads, keys, dim, dtype=dtype)
    return Call.of(query, key, draw(batch, kv_heads, keys, 6, dtype=dtype), **more)


BOTH = ("cpu", "sdpa")


# ---- which one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cpu, sdpa, chosen",
    [(1.0, 2.0, "cpu"), (2.0, 1.0, "sdpa"), (1.029, 1.0, "cpu"), (1.031, 1.0, "sdpa")],
)
def test_the_fastest_and_the_native_one_on_a_tie(timed, cpu, sdpa, chosen):
    timed[0].update(cpu=cpu, sdpa=sdpa)
    assert choose.choose(call_of()) == chosen
    assert choose.choose(call_of()) == chosen
    assert len(timed[1]) == 1


def test_a_tie_favours_no_other_kernel(timed):
    timed[0].update(plain=1.02, sdpa=1.0)
    assert choose.fastest(call_of(), ("plain", "sdpa")) == "sdpa"


@pytest.mark.parametrize(
    "cpu, sdpa, chosen", [(None, 1.0, "sdpa"), (1.0, None, "cpu"), (None, None, "sdpa")]
)
def test_a_kernel_that_fails_is_not_chosen(timed, cpu, sdpa, chosen):
    timed[0].update(cpu=cpu, sdpa=sdpa)
    assert choose.choose(call_of()) == chosen


def test_one_candidate_is_not_measured(kernels, timed):
    kernels.of["cpu"].refusal = "no"
    assert choose.choose(call_of()) == "sdpa"
    assert timed[1] == []


def test_a_changed_mind_of_the_native_kernel_is_noticed(kernels, timed):
    timed[0].update(cpu=1.0, sdpa=2.0)
    assert choose.choose(call_of()) == "cpu"
    kernels.of["cpu"].refusal = "no"
    assert choose.choose(call_of()) == "sdpa"


def test_static_measures_nothing_and_is_the_same_everywhere(monkeypatch, timed, place):
    monkeypatch.setenv(choose.VARIABLE, "static")
    assert choose.choose(call_of()) == "cpu"
    half = call_of(dtype=torch.bfloat16)
    half.query.requires_grad_()
    assert choose.choose(half) == "cpu"
    assert choose.fastest(half, ("plain", "sdpa")) == "plain"
    assert timed[1] == []
    assert not place.exists()
    assert choose.unmeasured(call_of()) == "nothing is measured, because HEEDFUL_CHOICE=static"


def test_a_choice_that_is_none_is_refused(monkeypatch, timed, place):
    monkeypatch.setenv(choose.VARIABLE, "banana")
    with pytest.raises(
        ConfigError, match=r"^HEEDFUL_CHOICE must be static or measured, got 'banana'"
    ):
        choose.choose(call_of())
    for value in ("", "measured"):
        monkeypatch.setenv(choose.VARIABLE, value)
        assert choose.unmeasured(call_of()) is None


@pytest.mark.parametrize("value", ["banana", "Static", "on"])
def test_another_word_for_the_choice_is_refused(monkeypatch, timed, kernels, value):
    monkeypatch.setenv(choose.VARIABLE, value)
    message = f"HEEDFUL_CHOICE must be static or measured, got '{value}'"
    with pytest.raises(ConfigError, match=message):
        choose.choose(call_of())
    kernels.of["cpu"].refusal = "no"  # and nothing is left to choose from
    with pytest.raises(ConfigError, match=message):
        choose.choose(call_of())
    monkeypatch.setenv(choose.VARIABLE, "measured")
    assert choose.choose(call_of()) == "sdpa"


# ---- where the clock would tell nothing ---------------------------------------------------------


def untimed(timed, action):
    """What is chosen during an action that must not measure, although measuring is possible."""
    action()
    return timed[1] == []


def test_dropout_is_not_measured(timed):
    call = call_of(dropout=0.5)
    assert untimed(timed, lambda: choose.choose(call))
    assert "dropout" in choose.unmeasured(call)


def test_tensors_without_storage_are_not_measured(timed):
    x = draw(2, 4, 5, 3).to("meta")
    assert untimed(timed, lambda: choose.choose(Call.of(x, x, x)))
    assert "traced" in choose.unmeasured(Call.of(x, x, x))


def test_fake_tensors_are_not_measured(timed):
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        x = torch.randn(2, 4, 5, 3)
        assert untimed(timed, lambda: choose.choose(Call.of(x, x, x)))
    assert untimed(timed, lambda: choose.choose(Call.of(x, x, x)))


def test_a_mode_that_counts_is_not_disturbed(timed):
    with FlopCounterMode(display=False):
        assert untimed(timed, lambda: choose.choose(call_of()))


def test_a_transform_is_not_disturbed(timed):
    def chosen(x):
        choose.choose(Call.of(x, x, x))
        return x.sum()

    torch.func.grad(chosen)(draw(2, 4, 5, 3))
    torch.func.vmap(chosen)(draw(3, 2, 4, 5, 3))
    assert timed[1] == []


def test_each_of_these_is_measured_otherwise(timed):
    timed[0].update(cpu=1.0, sdpa=2.0)
    assert choose.unmeasured(call_of()) is None
    assert not untimed(timed, lambda: choose.choose(call_of()))


# ---- kinds of calls -----------------------------------------------------------------------------


def kind(**other):
    return _shape.shape_of(call_of(**other))


def test_lengths_are_rounded_up_and_have_a_most():
    assert kind(queries=5, keys=7)[4:6] == kind(queries=8, keys=8)[4:6] == (8, 8)
    assert kind(queries=1, keys=9)[4:6] == (1, 16)
    assert kind(queries=1025, keys=4097, batch=1, heads=1, kv_heads=1)[4:6] == (1024, 4096)
    assert kind(batch=40).rows == 64
    assert kind(batch=3, heads=2).rows == 8
    assert kind(dim=17).dim == 32
    assert kind(dim=300).dim == 256
    assert kind().value_dim == 16


@pytest.mark.parametrize("heads, kv_heads, shared", [(4, 4, 1), (4, 2, 2), (6, 2, 4), (16, 1, 8)])
def test_shared_heads_are_a_kind_of_their_own(heads, kv_heads, shared):
    assert kind(heads=heads, kv_heads=kv_heads).shared == shared


@pytest.mark.parametrize(
    "queries, mask, want",
    [
        (7, None, "full"),
        (7, Mask.full(), "full"),
        (7, Mask.causal(), "causal"),
        (5, Mask.causal(), "sparse"),
        (1, Mask.causal(), "full"),
        (7, Mask.window(7), "causal"),
        (7, Mask.window(6), "sparse"),
        (7, Mask.causal("start"), "causal"),
        (9, Mask.causal("start"), "sparse"),
        (7, Mask.window(3, ahead=2), "sparse"),
        (7, Mask.anticausal(), "sparse"),
        (7, Mask.lengths(torch.tensor([7, 7])), "full"),
        (7, Mask.lengths(torch.tensor([6, 7])), "sparse"),
        (7, Mask.segments(torch.tensor([[0, 0, 0, 1, 1, 1, 1]] * 2)), "sparse"),
        (7, Mask.causal() & Mask.lengths(torch.tensor([6, 7])), "sparse"),
        (7, Mask.blocks(torch.eye(3, dtype=torch.bool)[None, None], block=3), "blocks of 3"),
        (7, Mask.dense(torch.eye(7, dtype=torch.bool)), "dense"),
        (7, Mask.causal() & Mask.dense(torch.eye(7, dtype=torch.bool)), "dense"),
        (7, Mask.causal() | Mask.anticausal(), "dense"),
    ],
)
def test_masks_are_told_apart_by_what_they_let_skip(queries, mask, want):
    assert kind(queries=queries, mask=mask).mask == want


def test_gradient_bias_dtype_and_threads_count():
    plain = kind()
    bias = draw(5, 7)
    others = [kind(bias=bias), kind(bias=bias.clone().requires_grad_()), kind(dtype=torch.float16)]
    with torch.no_grad():
        others.append(kind(bias=bias.clone().requires_grad_()))
    assert len({plain, *others}) == 4
    assert others[3] == others[0]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert kind() == plain._replace(threads=threads + 1)
    finally:
        torch.set_num_threads(threads)


def test_alike_in_all_that_counts_is_not_measured_again(timed):
    timed[0].update(cpu=1.0, sdpa=2.0)
    for queries in (5, 6, 7, 8):
        choose.choose(call_of(queries=queries))
    assert len(timed[1]) == 1
    choose.choose(call_of(queries=9))
    assert len(timed[1]) == 2
    assert timed[1][0] == (kind(), BOTH)


def test_exact_sizes_are_forgotten_before_they_fill_the_memory(monkeypatch, timed):
    timed[0].update(cpu=1.0, sdpa=2.0)
    monkeypatch.setattr(choose, "REMEMBERED", 3)
    for keys in range(1, 9):
        assert choose.choose(call_of(keys=keys)) == "cpu"
        assert len(choose._quick) <= 3


# ---- the file -----------------------------------------------------------------------------------


def test_another_process_does_not_measure_again(timed, place):
    timed[0].update(cpu=2.0, sdpa=1.0)
    assert choose.choose(call_of()) == "sdpa"
    choose.forget()
    timed[0].clear()
    assert choose.choose(call_of()) == "sdpa"
    assert len(timed[1]) == 1
    entry = "cpu float32; 8 x 8 x 8; dim 16, 16; heads share 2 to 1; mask full"
    entry += f"; threads {torch.get_num_threads()}: cpu sdpa"
    assert json.loads(place.read_text()) == {entry: {"cpu": 2.0, "sdpa": 1.0}}


def test_what_others_have_written_stays(timed, place):
    timed[0].update(cpu=1.0, sdpa=2.0)
    choose.choose(call_of())
    mine = json.loads(place.read_text())
    place.write_text(json.dumps({**mine, "of another": {"cpu": 5.0, "sdpa": None}}))
    choose.choose(call_of(queries=9))
    entries = json.loads(place.read_text())
    assert len(entries) == 3
    assert entries["of another"] == {"cpu": 5.0, "sdpa": None}
    assert [row.chosen for row in choose.table()] == ["cpu"] * 3


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"a": 1}', b'{"a": {"cpu": "fast"}}'),
        *(b'{"a": {"cpu": NaN}}', b'{"a": {"cpu": -1.0}}', b'{"a": {"cpu": true}}'),
    ],
)
def test_a_damaged_file_is_ignored_and_written_anew(timed, place, content):
    place.write_bytes(content)
    assert choose.table() == []
    timed[0].update(cpu=1.0, sdpa=2.0)
    assert choose.choose(call_of()) == "cpu"
    (times,) = json.loads(place.read_text()).values()
    assert times == {"cpu": 1.0, "sdpa": 2.0}


def test_a_folder_that_cannot_be_written_costs_the_file_only(monkeypatch, timed, place):
    timed[0].update(cpu=1.0, sdpa=2.0)
    monkeypatch.setattr(_table, "place", lambda: place.parent / "missing" / "choices.json")
    assert choose.choose(call_of()) == "cpu"
    choose.choose(call_of())
    assert len(timed[1]) == 1
    monkeypatch.setattr(_table, "place", lambda: None)
    choose.forget()
    assert choose.choose(call_of()) == "cpu"
    assert len(timed[1]) == 2


def test_no_safe_folder_is_no_place(monkeypatch, place):
    from heedful.errors import KernelError
    from heedful.kernels.cpu import build

    def refuse():
        raise KernelError("a cache folder must be writable")

    monkeypatch.setattr(build, "folder", refuse)
    assert _table.place() is None


def test_the_name_of_the_file_says_for_what_it_holds(monkeypatch, place):
    assert place.name.startswith("choices-")
    assert not stat.S_IMODE(place.parent.stat().st_mode) & 0o022
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert _table.place() != place


def test_the_table_for_people(timed, place):
    timed[0].update(cpu=2.0, sdpa=1.0)
    choose.choose(call_of(mask=Mask.causal(), bias=draw(1, 7)))
    (row,) = choose.table()
    assert row.shape.startswith(
        "cpu float32; 8 x 8 x 8; dim 16, 16; heads share 2 to 1; mask sparse; bias;"
    )
    assert (row.chosen, row.seconds) == ("sdpa", {"cpu": 2.0, "sdpa": 1.0})


def test_threads_that_ask_at_once_measure_once(monkeypatch, timed):
    timed[0].update(cpu=1.0, sdpa=2.0)
    measure = _measure.measure

    def slowly(shape, names):
        time.sleep(0.05)
        return measure(shape, names)

    monkeypatch.setattr(_measure, "measure", slowly)
    call, barrier, answers = call_of(), threading.Barrier(6), []

    def ask():
        barrier.wait()
        answers.append(choose.choose(call))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["cpu"] * 6
    assert len(timed[1]) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_does_not_wait_for_a_thread_of_its_parent():
    with choose._lock:
        held = choose._lock
        choose._after_fork()
        assert choose._lock is not held
        assert choose._lock.acquire(timeout=5)
        choose._lock.release()


# ---- measuring ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", ["full", "causal", "sparse", "dense", "blocks of 16"])
@pytest.mark.parametrize("bias", ["", "bias", "bias with gradient"])
def test_a_drawn_call_is_of_its_kind(mask, bias):
    call = call_of(3, 4, 32, 32, dim=16)
    shape = _shape.shape_of(call)._replace(mask=mask, bias=bias, gradient=bias.endswith("gradient"))
    assert _shape.shape_of(_measure.draw(shape)) == shape._replace(rows=16)


def test_what_takes_long_is_made_smaller_heads_first():
    small = kind()
    assert _measure.shrink(small, 2) == small._replace(rows=8)
    large = kind(queries=1024, keys=4096, batch=16, kv_heads=4, dim=64)
    shrunk = _measure.shrink(large, 2)
    assert shrunk.rows == max(1, large.threads)
    assert shrunk.queries < large.queries
    assert (shrunk.keys, shrunk.dim) == (large.keys, large.dim)
    causal = _measure.shrink(large._replace(mask="causal"), 2)
    assert causal.queries == causal.keys <= 1024
    few = _measure.shrink(kind(batch=16, queries=256, keys=256, dim=64), 2)
    assert few.queries == 256
    assert few.rows <= 64


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("mask", ["full", "causal", "dense"])
def test_every_kernel_is_measured_by_a_clock(kernels, gradient, mask):
    shape = kind()._replace(mask=mask, gradient=gradient)
    times = _measure.measure(shape, BOTH)
    assert list(times) == ["cpu", "sdpa"]
    assert all(0 < time < 10 for time in times.values())
    assert kernels.ran.count("cpu") == kernels.ran.count("sdpa") or len(kernels.ran) > 10


def test_the_slower_one_is_found(kernels, monkeypatch):
    one = kernels.of["cpu"]
    quick = one.run
    monkeypatch.setattr(one, "run", lambda call: (time.sleep(0.005), quick(call))[1])
    times = _measure.measure(kind(), BOTH)
    assert times["cpu"] > times["sdpa"]
    assert choose.choose(call_of()) == "sdpa"


def test_a_kernel_that_raises_has_no_time(kernels, monkeypatch):
    def fail(call):
        raise RuntimeError("out of order")

    monkeypatch.setattr(kernels.of["cpu"], "run", fail)
    times = _measure.measure(kind(), BOTH)
    assert times["cpu"] is None
    assert times["sdpa"] > 0


def test_measuring_leaves_no_trace(kernels):
    """Random numbers, gradients, hooks on saved tensors and autocast are as they were."""
    x = draw(2, 4, 5, 3).requires_grad_()
    state, saved = torch.get_rng_state(), []

    def pack(tensor):
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16):
            choose.choose(Call.of(x, x, x))
            assert torch.is_autocast_enabled("cpu")
        with torch.inference_mode():
            choose.choose(call_of(queries=9))
            assert torch.is_inference_mode_enabled()
    assert kernels.ran
    assert saved == []
    assert torch.equal(torch.get_rng_state(), state)
    assert x.grad is None
    assert torch.is_grad_enabled()


def test_autocast_does_not_change_what_is_measured(kernels, monkeypatch):
    seen, shape = [], kind()
    run = kernels.of["cpu"].run
    monkeypatch.setattr(kernels.of["cpu"], "run", lambda call: seen.append(run(call)) or seen[-1])
    with torch.autocast("cpu", torch.bfloat16):
        _measure.measure(shape, BOTH)
    assert {x.dtype for x in seen} == {torch.float32}


def test_a_checkpoint_counts_what_it_saves_undisturbed(kernels):
    x = draw(2, 4, 5, 3).requires_grad_()

    def step(x):
        call = Call.of(x, x, x)
        return _kernels.KERNELS[choose.choose(call)].run(call)

    checkpoint(step, x, use_reentrant=False).sum().backward()
    checkpointed, x.grad = x.grad, None
    step(x).sum().backward()
    assert torch.equal(x.grad, checkpointed)
