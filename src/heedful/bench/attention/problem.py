"""From a case to tensors, and to the calls that are timed: ours, PyTorch's, and FlexAttention."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from heedful.bench.attention.cases import BLOCK, COVERAGE, Case
from heedful.mask import Mask

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
Outcome = tuple[Tensor, ...]  # the output and, backward, the gradients of query, key and value
Run = Callable[[], Outcome]


class Problem(NamedTuple):
    """What a case is computed from.

    Args:
        case: It.
        query: In the dtype of the case, as are the two below.
        pair: Keys and values, in one piece of memory, which can be read from end to end.
        gradient: Of the output.
        mask: Which query sees which key; `None` where all see all, or a selection decides.
    """

    case: Case
    query: Tensor
    pair: Tensor
    gradient: Tensor
    mask: Mask | None

    @property
    def key(self) -> Tensor:
        return self.pair[0]

    @property
    def value(self) -> Tensor:
        return self.pair[1]

    def tensors(self, dtype: str | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, in another dtype if asked for."""
        wanted = DTYPES[self.case.dtype if dtype is None else dtype]
        return self.query.to(wanted), self.key.to(wanted), self.value.to(wanted)


def draw(case: Case, seed: int = 1) -> Problem:
    """The tensors of a case; the same for cases of the same shape and dtype."""
    generator = torch.Generator().manual_seed(seed)
    dtype = DTYPES[case.dtype]
    rows = (case.batch, case.heads)
    if case.name == "select" or case.bound_by_reading:
        query, key, value = _structured(case, seed)
    else:
        query = torch.randn(*rows, case.queries, case.dim, generator=generator)
        key, value = torch.randn(2, *rows, case.keys, case.dim, generator=generator)
    pair = torch.stack((key, value)).to(dtype)
    gradient = torch.randn(*rows, case.queries, case.dim, generator=generator)
    mask = _mask(case, generator)
    return Problem(case, query.to(dtype), pair, gradient.to(dtype), mask)


def _structured(case: Case, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """In random numbers there is nothing to select: every query would need every key."""
    from heedful.bench.planted import planted

    found = planted(case.keys, batch=case.batch, heads=case.heads, dim=case.dim, seed=seed)
    return found.query[:, :, -case.queries :].contiguous(), found.key, found.value


def _mask(case: Case, generator: torch.Generator) -> Mask | None:
    if case.causal:
        return Mask.causal("start")  # as PyTorch's own switch has it
    if case.density < 1 and case.method == "attend":
        blocks = -(-case.keys // BLOCK)
        rows = (case.batch, case.heads, -(-case.queries // BLOCK))
        places = torch.rand(*rows, blocks, generator=generator).argsort(-1)
        return Mask.blocks(places < round(case.density * blocks), block=BLOCK)
    return None


# ---- what is timed -------------------------------------------------------------------------------


def ours(problem: Problem, impl: str = "auto") -> Run:
    """`heedful.attend`, and the selection before it where that belongs to the case."""
    from heedful.kernels.attend import attend

    case, mask = problem.case, problem.mask
    pages = _by_pages(problem) if case.method == "select_pages" else None

    def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        seen = mask
        if case.method == "select_blocks":
            seen = selected_mask(query, key)
        elif pages is not None:
            seen = pages(query)
        return attend(query, key, value, mask=seen, impl=impl)

    return run(problem, attention, case.dtype)


def selected_mask(query: Tensor, key: Tensor) -> Mask:
    """The blocks that a query needs; half precision tells them apart as well as single does."""
    from heedful.selection import select_blocks

    low = query.to(torch.bfloat16), key.to(torch.bfloat16)
    return Mask.blocks(select_blocks(*low, block=BLOCK, coverage=COVERAGE), block=BLOCK)


def visible_fraction(problem: Problem) -> float:
    """Which part of all blocks is visible; a selection is asked."""
    if problem.case.method != "select_blocks":
        return problem.case.density
    case, mask = problem.case, selected_mask(problem.query, problem.key)
    grid = mask.pattern(case.queries, case.keys, batch=case.batch, heads=case.heads).grid
    return 1.0 if grid is None else grid.double().mean().item()


def _by_pages(problem: Problem) -> Callable[[Tensor], Mask]:
    """The best pages for a query; their bounds are kept beside the cache and cost nothing here."""
    from heedful.selection import Pages

    pages = Pages.of(problem.key)
    count = round(problem.case.density * len(pages))
    return lambda query: Mask.blocks(pages.top(query, count), block=pages.page)


def sdpa(problem: Problem) -> Run:
    """PyTorch's fused attention; without a mask where ours has blocks, since it skips none."""
    causal = problem.case.causal

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return scaled_dot_product_attention(query, key, value, is_causal=causal)

    return run(problem, attend, problem.case.sdpa_dtype)


def flex(problem: Problem) -> Run | None:
    """FlexAttention, compiled for this one shape; `None` where it cannot be had, as backward."""
    from torch.nn.attention.flex_attention import flex_attention

    case = problem.case
    if case.backward:
        return None
    blocks = None
    if problem.mask is not None:
        rows = {"batch": case.batch, "heads": case.heads}
        blocks = problem.mask.to_block_mask(
            case.queries, case.keys, **rows, device="cpu", block_size=BLOCK
        )
    compiled = torch.compile(flex_attention, dynamic=False)

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return compiled(query, key, value, block_mask=blocks)  # pyright: ignore[reportReturnType]

    call = run(problem, attend, case.dtype)
    try:
        call()
    except RuntimeError:  # no compiler, or something that it does not cover on this CPU
        return None
    return call


def overhead(problem: Problem, impl: str = "auto") -> dict[str, Run]:
    """`heedful.attend`, the kernel that it chooses called without it, and PyTorch's attention."""
    from heedful.kernels._kernels import KERNELS, named
    from heedful.kernels.call import Call
    from heedful.kernels.choose import choose

    call = Call.of(*problem.tensors())
    chosen = KERNELS[choose(call)] if impl == "auto" else named(impl, call)

    def kernel(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return chosen.run(call)

    return {
        "attend": ours(problem, impl),
        "kernel": run(problem, kernel, problem.case.dtype),
        "sdpa": sdpa(problem),
    }


def run(problem: Problem, attention: Attention, dtype: str) -> Run:
    """One call, forward without gradients or forward and backward for all three."""
    tensors = problem.tensors(dtype)
    if not problem.case.backward:

        def forward() -> Outcome:
            with torch.no_grad():
                return (attention(*tensors),)

        return forward
    inputs = tuple(x.detach().requires_grad_() for x in tensors)
    gradient = problem.gradient.to(DTYPES[dtype])

    def both() -> Outcome:
        output = attention(*inputs)
        return (output.detach(), *torch.autograd.grad(output, inputs, gradient))

    return both
