"""Random calls of the native kernel against float64: sizes, dtypes, layouts, masks, gradients.

Every shape follows from the seed and its index alone, so `--seed S --only I` runs one again.
`--sanitize` compiles the kernel with the sanitizers, and fills scratch memory with NaN; their
library must be loaded first, which `make sanitize` does. They do not see the masked loads of
AVX-512; `--guard` does: it puts every tensor at the border of a page that is out of bounds. Both
prove at their start, in a process that must die of it, that they notice a tensor which is read past
its end. After a crash the last number on stderr is the index of the shape.
"""

import argparse
import math
import random
import signal
import subprocess
import sys
import time
from functools import partial

import torch
from _exact_attention import Bounded, Exact, excess
from _guarded_memory import guard_kernel, guarded
from _random_attention import THREADS, Shape, draw_shape, laid_out, numbers
from torch import Tensor

import heedful
from heedful.kernels.call import Call
from heedful.kernels.cpu import build, native, operator
from heedful.kernels.cpu.isa import supported
from heedful.mask import Pattern

SANITIZE = (
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
    "-g",
    "-O1",
    "-DHEEDFUL_POISON",
)


# ---- checking ------------------------------------------------------------------------------------


def check(shape: Shape) -> dict[str, float]:
    """How far every result is off, as a multiple of its bound."""
    problem = shape.problem
    exact = Exact(problem)
    torch.set_num_threads(shape.threads)
    try:
        found, want = (backward if shape.backward else forward)(shape, exact)
        if shape.random.random() < 0.1:
            check_threads(shape, found)
    finally:
        torch.set_num_threads(1)
    dtypes = {"output": problem.dtype, "query": problem.dtype}
    wrong = {n: math.inf for n, dtype in dtypes.items() if n in found and found[n].dtype != dtype}
    return {name: excess(found[name], want[name]) for name in found} | wrong


Found = tuple[dict[str, Tensor], dict[str, Bounded]]


def forward(shape: Shape, exact: Exact) -> Found:
    p = shape.problem
    output = heedful.attend(
        p.query, p.key, p.value, mask=shape.mask, bias=p.bias, scale=shape.scale, impl="cpu"
    )
    return {"output": output}, {"output": exact.output()}


def leaf(tensor: Tensor) -> Tensor:
    """The same numbers in the same layout, to be differentiated."""
    return tensor.detach().requires_grad_()


def backward(shape: Shape, exact: Exact) -> Found:
    p, draw = shape.problem, random.Random(shape.random.getrandbits(60))
    names = {"query": p.query, "key": p.key, "value": p.value, "bias": p.bias}
    leaves = {name: leaf(x) for name, x in names.items() if x is not None}
    call = Call.of(**leaves, mask=shape.mask, scale=shape.scale)
    by_sums, through_operator = None, draw.random() < 0.5
    if through_operator:
        output, sums = operator.attend(call)
        given = numbers(tuple(sums.shape), draw)
        by_sums = given.masked_fill(sums.isinf(), 0.0) if draw.random() < 0.5 else None
    else:
        output = heedful.attend(**leaves, mask=shape.mask, scale=shape.scale, impl="cpu")
        sums = None
    by_output, word = laid_out(tuple(output.shape), p.dtype, draw)
    shape.words += [f"by={word}", "operator" if through_operator else "autograd"]
    outputs = [output] if by_sums is None else [output, sums]
    grads = [by_output] if by_sums is None else [by_output, by_sums]
    gradients = torch.autograd.grad(outputs, list(leaves.values()), grads)
    found = {"output": output.detach(), **dict(zip(leaves, gradients, strict=True))}
    want = {"output": exact.output(), **exact.gradients(by_output, by_sums)}
    if sums is not None:
        found["log_sum"], want["log_sum"] = sums.detach(), exact.sums()
    return found, want


def check_threads(shape: Shape, found: dict[str, Tensor]) -> None:
    """Not one bit depends on how many threads there are."""
    state = shape.random.getstate()
    for threads in THREADS:
        torch.set_num_threads(threads)
        p = shape.problem
        again = heedful.attend(
            p.query, p.key, p.value, mask=shape.mask, bias=p.bias, scale=shape.scale, impl="cpu"
        )
        if not torch.equal(again, found["output"]):
            raise AssertionError(f"{threads} threads give other bits than {shape.threads}")
    shape.random.setstate(state)


# ---- memory --------------------------------------------------------------------------------------


def overrun(guard: bool) -> None:
    """Read the last value, which does not exist: that must end the process."""
    query, key, value = torch.ones(3, 1, 1, 2, 16)
    if guard:  # `native.forward` would copy as much as the tensor claims to have
        values = guarded(value.flatten()[1:])
        values = values if values.data_ptr() % 4096 else guarded(value.flatten()[1:])
        place = values.data_ptr()
    else:
        value = value.clone()
        value.untyped_storage().resize_(31 * value.element_size())
        place = value.data_ptr()
    fake = value.new_empty(value.shape)
    head = native._head(query, key, fake, None, Pattern(), 1.0, torch.empty_like(query), None)
    head = head.replace(fake.data_ptr().to_bytes(8, "little"), place.to_bytes(8, "little"))
    native._library[0].forward(head + native._NO_TAIL)


def sees_overruns(given: argparse.Namespace) -> bool:
    """Is it noticed, in a process of its own, that a tensor is read past its end?"""
    options = ["--sanitize"] * given.sanitize + ["--guard"] * given.guard
    command = [sys.executable, __file__, "--isa", given.isa, "--overrun", *options]
    ended = subprocess.run(command, capture_output=True, text=True)
    return "READ of size" in ended.stderr or ended.returncode == -signal.SIGSEGV


# ---- running -------------------------------------------------------------------------------------


def use(isa: str, *, sanitize: bool) -> None:
    """Let the native kernel be the one for `isa`."""
    extra = SANITIZE if sanitize else ()  # with which compiling takes minutes
    build.load = partial(build.load, isa, extra=extra, seconds=1800.0)
    native.library()


def problems(shape: Shape) -> str | None:
    """What is wrong with the answer, if anything is."""
    try:
        off = check(shape)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    wrong = [f"{name} is off by {x:.3g} times its bound" for name, x in off.items() if not x <= 1]
    return ", ".join(wrong) or None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--isa", default=supported()[0], choices=supported())
    parser.add_argument("--backward-share", type=float, default=0.3)
    parser.add_argument("--only", type=int, help="run this one shape and describe it")
    parser.add_argument("--sanitize", action="store_true", help="watch every access to memory")
    parser.add_argument("--guard", action="store_true", help="put tensors at borders of memory")
    parser.add_argument("--overrun", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    torch.set_num_threads(1)
    use(given.isa, sanitize=given.sanitize)
    watched = given.sanitize or given.guard
    if given.overrun:
        overrun(given.guard)
        return 0
    if watched and not sees_overruns(given):
        print(
            "a read past the end must be noticed, and was not; `make sanitize` shows how to start"
        )
        return 2
    if given.guard:
        guard_kernel()
    failed, begun, told = 0, time.monotonic(), time.monotonic()
    indices = range(given.shapes) if given.only is None else [given.only]
    for count, index in enumerate(indices, 1):
        if watched:
            print(index, end="\r", file=sys.stderr, flush=True)
        shape = draw_shape(given.seed, index, backward_share=given.backward_share)
        wrong = problems(shape)
        if given.only is not None:
            print(shape)
        if wrong:
            failed += 1
            again = f"--seed {given.seed} --isa {given.isa} --only {index}"
            if given.backward_share != 0.3:
                again += f" --backward-share {given.backward_share}"
            if failed <= 20:
                print(f"FAILED {wrong}\n  {shape}\n  again: {sys.argv[0]} {again}", flush=True)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(
                f"{count} shapes, {count / (told - begun):.0f} a second, {failed} failed",
                flush=True,
            )
    took = time.monotonic() - begun
    print(f"{given.isa}: {len(indices)} shapes in {took:.0f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
