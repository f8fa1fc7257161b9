"""Which kernel would run a call, and why the others would not."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from heedful.kernels._kernels import KERNELS, NAMES, candidates, named, not_now
from heedful.kernels.call import Call
from heedful.kernels.choose import choose, seconds, unmeasured
from heedful.mask import Mask

WORDS = {
    "cpu": "native kernel",
    "plain": "two products with stored scores",
    "flex": "FlexAttention, compiled",
    "sdpa": "torch's own kernel",
}


@dataclass(frozen=True)
class Why:
    """Which kernel runs, and why.

    Args:
        chosen: Its name.
        reason: What it is, and why it is the one.
        others: The names of the others, each with the reason why it does not run.
    """

    chosen: str
    reason: str
    others: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        lines = [(self.chosen, f"runs: {self.reason}")]
        lines += [(name, f"not: {reason}") for name, reason in self.others]
        return "\n".join(f"{name:6} {words}" for name, words in lines)


def why(
    query: Float[Tensor, "batch heads queries dim"],
    key: Float[Tensor, "batch kv_heads keys dim"],
    value: Float[Tensor, "batch kv_heads keys value_dim"],
    *,
    mask: Mask | None = None,
    bias: Float[Tensor, "..."] | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
    impl: str = "auto",
) -> Why:
    """Say which kernel `attend` runs for these arguments, without running it.

    Args:
        query: As for `attend`, and so are the others.
        key: What is looked at.
        value: What is returned.
        mask: Which query may see which key.
        bias: Added to the scores.
        scale: Factor of the dot product.
        dropout: Share of the weights that is set to 0.
        impl: "auto", or a kernel by name.

    Returns:
        The choice with its reasons; printed, it is one line per kernel.

    Raises:
        ShapeError: As for `attend`.
        ConfigError: As for `attend`.
        UnsupportedError: As for `attend`.
        KernelError: As for `attend`.

    Cost:
        As `attend` it measures a kind of call that nobody has measured yet on this machine.
    """
    call = Call.of(query, key, value, mask, bias, scale, dropout)
    if impl != "auto":
        named(impl, call)
        others = [(n, f"{impl} was asked for by name") for n in NAMES if n != impl]
        return Why(impl, f"{_what(impl)}, asked for by name", tuple(others))
    return _told(call, choose(call))


def _told(call: Call, chosen: str) -> Why:
    able = candidates(call)
    times = seconds(call, able)
    others: list[tuple[str, str]] = []
    for name in NAMES:
        if name == chosen:
            continue
        refusal = not_now(name, KERNELS[name], call)
        if refusal is not None:
            others.append((name, str(refusal)))
        elif times is None:
            others.append((name, f"it can, but {chosen} comes first where nothing is measured"))
        else:
            others.append((name, _measured(times.get(name))))
    reason = _what(chosen)
    if len(able) == 1:
        return Why(chosen, f"{reason}, the only one that can", tuple(others))
    if times is None:
        return Why(chosen, f"{reason}; {unmeasured(call)}", tuple(others))
    told = [f"{n} {_span(t)}" for n in able if n != chosen and (t := times.get(n)) is not None]
    mine = times.get(chosen)
    if mine is not None:
        reason += f"; {', '.join([f'{_span(mine)} measured', *told])}"
    return Why(chosen, reason, tuple(others))


def _what(name: str) -> str:
    if name != "cpu":
        return WORDS[name]
    from heedful.kernels.cpu.isa import chosen

    return f"{WORDS[name]}, {chosen()}"


def _measured(seconds: float | None) -> str:
    return "it failed when it was measured" if seconds is None else f"{_span(seconds)} measured"


def _span(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
