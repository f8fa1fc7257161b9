"""Entmax-1.5 against the package `entmax` and against softmax: time, and how far they differ.

The file is not called after the package, which could then not be imported.
"""

from collections.abc import Callable
from importlib.metadata import version

import torch
from _measure import write
from torch import Tensor

from heedful.bench.timing import in_turns, ratio
from heedful.ops.entmax import masked_entmax

try:
    from entmax import entmax15, entmax_bisect
except ImportError:
    raise SystemExit("the package to compare with is missing: pip install entmax==1.3") from None

Normalise = Callable[[Tensor], Tensor]

SHAPES = {"4 x 8 x 512 x 512": (4, 8, 512, 512), "4096 rows of 1024": (1, 1, 4096, 1024)}
ROUNDS = 7
WAYS: dict[str, Normalise] = {
    "heedful": lambda scores: masked_entmax(scores, alpha=1.5),
    "entmax15": lambda scores: entmax15(scores, -1),
    "entmax_bisect": lambda scores: entmax_bisect(scores, alpha=1.5, dim=-1),
    "softmax": lambda scores: scores.softmax(-1),
}


def forward(normalise: Normalise, scores: Tensor) -> Callable[[], object]:
    def run() -> None:
        with torch.no_grad():
            normalise(scores)

    return run


def forward_and_backward(
    normalise: Normalise, scores: Tensor, gradient: Tensor
) -> Callable[[], object]:
    def run() -> None:
        torch.autograd.grad(normalise(scores), scores, gradient)

    return run


def differences(scores: Tensor, gradient: Tensor) -> dict[str, tuple[float, float]]:
    """The largest difference to `entmax15` in float64: of the weights, and of their gradient."""

    def both(normalise: Normalise, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        given = scores.detach().to(dtype).requires_grad_()
        weights = normalise(given)
        return weights.detach(), torch.autograd.grad(weights, given, gradient.to(dtype))[0]

    want = both(WAYS["entmax15"], torch.float64)
    found: dict[str, tuple[float, float]] = {}
    for name in ("heedful", "entmax15", "entmax_bisect"):
        pairs = zip(both(WAYS[name], torch.float32), want, strict=True)
        first, second = ((one - other).abs().max().item() for one, other in pairs)
        found[name] = first, second
    return found


def main() -> None:
    torch.manual_seed(0)
    lines = [
        f"Seconds (median of {ROUNDS}, the ways in turns, float32, scores from N(0, 1)), and how",
        "many times faster heedful is (median of the rounds, and their middle half). The package",
        f"is entmax {version('entmax')}; softmax is torch's own and another function.",
        "",
    ]
    header = ["| scores | pass | way | seconds | heedful is faster |", "|---|---|---|---|---|"]
    precision = [
        "",
        "The largest difference to `entmax15` in float64:",
        "",
        "| scores | way | weights | gradient |",
        "|---|---|---|---|",
    ]
    lines += header
    for shape_name, shape in SHAPES.items():
        scores, gradient = torch.randn(shape).requires_grad_(), torch.randn(shape)
        passes = {
            "forward": {name: forward(way, scores) for name, way in WAYS.items()},
            "forward + backward": {
                name: forward_and_backward(way, scores, gradient) for name, way in WAYS.items()
            },
        }
        for pass_name, ways in passes.items():
            times = in_turns(ways, rounds=ROUNDS)
            for name, measured in times.items():
                faster = "" if name == "heedful" else str(ratio(measured, times["heedful"]))
                lines.append(
                    f"| {shape_name} | {pass_name} | {name} | {measured.median:.4f} | {faster} |"
                )
        for name, (weights, gradients) in differences(scores, gradient).items():
            precision.append(f"| {shape_name} | {name} | {weights:.1e} | {gradients:.1e} |")
    write("entmax15", [*lines, *precision])


if __name__ == "__main__":
    main()
