"""How long each kernel takes for one kind of call: random tensors, in turns, the shortest."""

import contextlib
import time
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from heedful.kernels._kernels import KERNELS, Kernel
from heedful.kernels._shape import Shape
from heedful.kernels.call import Call
from heedful.mask import Mask

SECONDS = 0.1  # that one kind of call may take to measure, about
LEAST, MOST = 3, 15  # rounds
SHORTEST = 5e-4  # seconds below which one call is too short for the clock, and is repeated
# additions and multiplications per second and thread that any kernel does, to guess its time by
RATE = {"cpu": 2e10, "cuda": 2e13}
GRADIENT = 3.5  # times the work of the forward pass, with it

Way = Callable[[], None]


def measure(shape: Shape, names: tuple[str, ...]) -> dict[str, float | None]:
    """Seconds of each kernel for calls of this kind.

    Args:
        shape: Made smaller where measuring would take too long, heads first.
        names: The kernels.

    Returns:
        The shortest round, by name, because other load only adds; `None`: the kernel fails.
    """
    small = shrink(shape, len(names))
    with _alone(small):
        call = draw(small)
        ways: dict[str, Way] = {}
        guesses: dict[str, float] = {}
        for name in names:
            way = _way(KERNELS[name], call)
            try:
                way()  # compiles, loads, fills caches
                guesses[name] = max(_timed(way, 1, small.device), 1e-7)
                ways[name] = way
            except Exception:  # whatever is wrong with a kernel, another one can take the call
                continue
        counts = {name: max(1, round(SHORTEST / guess)) for name, guess in guesses.items()}
        rounds: dict[str, list[float]] = {name: [] for name in ways}
        together = sum(count * guesses[name] for name, count in counts.items())
        for _ in range(min(MOST, max(LEAST, int(SECONDS / max(together, 1e-6))))):
            for name, way in ways.items():
                rounds[name].append(_timed(way, counts[name], small.device))
    return {name: min(rounds[name]) if name in ways else None for name in names}


def shrink(shape: Shape, kernels: int) -> Shape:
    """The shape that can be measured in time: fewer heads, then fewer queries, then fewer keys."""
    rate = RATE.get(shape.device, RATE["cpu"]) * (shape.threads if shape.device == "cpu" else 1)
    most = SECONDS * rate / (kernels * (LEAST + 2))
    if shape.mask == "causal":
        length = min(shape.queries, shape.keys)
        shape = shape._replace(queries=length, keys=length)
    shape = shape._replace(rows=max(shape.rows, shape.shared))
    while _work(shape) > most:
        smaller = _halved(shape)
        if smaller == shape:
            break
        shape = smaller
    return shape


def draw(shape: Shape) -> Call:
    """A call of this kind: laid out as projections leave it, and with most of the mask visible.

    A mask that hides much would flatter kernels that skip what is hidden.
    """
    generator = torch.Generator(shape.device).manual_seed(1)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(
            sizes, generator=generator, device=shape.device, dtype=shape.dtype
        ).requires_grad_(shape.gradient)

    heads, queries, keys = shape.rows, shape.queries, shape.keys
    query = normal(1, queries, heads, shape.dim)
    key = normal(1, keys, heads // shape.shared, shape.dim)
    value = normal(1, keys, heads // shape.shared, shape.value_dim)
    bias = None
    if shape.bias:
        bias = normal(1, heads, queries, keys).detach()
        bias.requires_grad_(shape.bias == "bias with gradient")
    return Call.of(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        _mask(shape, generator),
        bias,
    )


def _mask(shape: Shape, generator: torch.Generator) -> Mask | None:
    def mostly(share: float, *sizes: int) -> Tensor:
        return torch.rand(sizes, generator=generator, device=shape.device) < share

    if shape.mask == "full":
        return None
    if shape.mask == "causal":
        return Mask.causal()
    if shape.mask == "sparse":
        shortest = shape.keys - max(1, shape.keys // 8)
        return Mask.lengths(torch.tensor([shortest], device=shape.device))
    if shape.mask == "dense":
        return Mask.dense(mostly(7 / 8, shape.queries, shape.keys))
    block = int(shape.mask.removeprefix("blocks of "))
    blocks = (-(-shape.queries // block), -(-shape.keys // block))
    return Mask.blocks(mostly(1 / 2, 1, shape.rows, *blocks), block=block)


def _work(shape: Shape) -> float:
    products = 2 * shape.rows * shape.queries * shape.keys * (shape.dim + shape.value_dim)
    return products * (GRADIENT if shape.gradient else 1)


def _halved(shape: Shape) -> Shape:
    if shape.rows > max(shape.shared, shape.threads):
        return shape._replace(rows=shape.rows // 2)
    if shape.mask == "causal" and shape.keys > 64:
        return shape._replace(queries=shape.queries // 2, keys=shape.keys // 2)
    if shape.mask != "causal" and shape.queries > 64:
        return shape._replace(queries=shape.queries // 2)
    if shape.mask != "causal" and shape.keys > 512:
        return shape._replace(keys=shape.keys // 2)
    return shape


def _way(kernel: Kernel, call: Call) -> Way:
    leaves = [x for x in (call.query, call.key, call.value, call.bias) if x is not None]
    leaves = [x for x in leaves if x.requires_grad]

    def way() -> None:
        output = kernel.run(call)
        if leaves:
            torch.autograd.grad(output, leaves, torch.ones_like(output))

    return way


def _timed(way: Way, count: int, device: str) -> float:
    """Seconds of one of `count` calls."""
    began = _now(device)
    for _ in range(count):
        way()
    return (_now(device) - began) / count


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@contextlib.contextmanager
def _alone(shape: Shape) -> Generator[None]:
    """Apart from what the caller has switched on: autocast, gradients, hooks on saved tensors.

    Those hooks are how activation checkpoints count what a forward pass saves.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.set_grad_enabled(shape.gradient))
        if shape.device in RATE:
            stack.enter_context(torch.autocast(shape.device, enabled=False))
        if shape.gradient:
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(_same, _same))
        yield


def _same(tensor: Tensor) -> Tensor:
    return tensor
