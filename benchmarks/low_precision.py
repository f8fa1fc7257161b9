"""What fewer bits in the projections save of a whole attention site, and what they change of it."""

import argparse
from collections.abc import Callable
from typing import get_args

import torch
from _measure import write
from torch import Tensor, nn

from heedful.allocation.moves import LowPrecision
from heedful.allocation.plan import Plan
from heedful.bench.timing import in_turns, ratio
from heedful.nn import Attention
from heedful.nn.low_precision import Precision

HEAD = 64
CALLS = [  # texts and how long they are: writing step by step, reading one, reading many
    (64, 1),
    (1, 128),
    (8, 128),
]
REPEATED = 3  # calls timed together


class OneSite(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.site = Attention(width=width, heads=width // HEAD)

    def forward(self, x: Tensor) -> Tensor:
        return self.site(x)


def way(model: nn.Module, x: Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            for _ in range(REPEATED):
                model(x)

    return run


def row(width: int, texts: int, length: int, rounds: int) -> str:
    model, x = OneSite(width).eval(), torch.randn(texts, length, width)
    models = {"float32": model} | {
        kind: Plan(moves={"site": (LowPrecision(precision=kind),)}).apply(model).eval()
        for kind in get_args(Precision)
    }
    times = in_turns({name: way(of, x) for name, of in models.items()}, rounds=rounds)
    cells: list[str] = []
    with torch.inference_mode():
        want = model(x)
        for kind in get_args(Precision):
            error = (models[kind](x) - want).norm() / want.norm()
            cells.append(f"{ratio(times['float32'], times[kind])} | {100 * error:.1f} %")
    micro = 1e6 * times["float32"].median / REPEATED
    return f"| {width} | {texts} x {length} | {micro:.0f} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256, 512, 768, 1024])
    parser.add_argument("--rounds", type=int, default=21)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    lines = [
        f"`Attention` with heads of {HEAD}, float32 around it, in turns. Medians with the middle",
        "half; the error is that of the output, norm over norm, with weights as torch draws them.",
        "",
        "| width | texts | float32, us | bf16 faster | error | int8 faster | error |",
        "|---|---|---|---|---|---|---|",
    ]
    for width in arguments.widths:
        lines += [row(width, *call, arguments.rounds) for call in CALLS]
    write("low-precision", lines)


if __name__ == "__main__":
    main()
