"""Is a linear layer with dynamic int8 faster than in fp32 and bf16? Time and error of every way."""

import warnings
from collections.abc import Callable

import torch
from _measure import write
from torch import Tensor, nn

from heedful.bench.timing import in_turns

Way = Callable[[], object]

WIDTHS = (64, 128, 256, 512, 1024)
ROWS = (64, 512, 4096)
THREADS = (1, 2)
ROUNDS = 15
SHORTEST = 2e7  # multiplications timed together, so that no time is too short to read
NAMES = {
    "packed": "torch.ops.quantized.linear_dynamic (engine x86)",
    "onednn": "torch.ops.onednn.qlinear_pointwise, x quantised before it, one scale for all rows",
    "_int_mm": "torch._int_mm, x quantised before it, one scale a row",
    "weights": "torch._weight_int8pack_mm, x in bf16: only the weights are int8",
}


def packed(linear: nn.Linear, x: Tensor) -> Way:
    weight, scale = quantised(linear.weight)
    zeros = torch.zeros(len(scale), dtype=torch.long)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that tensors like this one are deprecated
        tensor = torch._make_per_channel_quantized_tensor(weight, scale.flatten(), zeros, 0)
        held = torch.ops.quantized.linear_prepack(tensor, linear.bias)
    return lambda: torch.ops.quantized.linear_dynamic(x, held, reduce_range=False)


def onednn(linear: nn.Linear, x: Tensor) -> Way:
    weight, scale = quantised(linear.weight)
    zeros = torch.zeros(len(scale), dtype=torch.long)
    held = torch.ops.onednn.qlinear_prepack(weight, None)
    multiply = torch.ops.onednn.qlinear_pointwise.tensor
    end = (1.0, 0, torch.float32, "none", [], "")

    def run() -> Tensor:
        low, high = x.aminmax()
        step = (high.clamp(min=0) - low.clamp(max=0)) / 255
        zero = (-low.clamp(max=0) / step).round().to(torch.int32)
        whole = (x / step + zero).round_().clamp_(0, 255).to(torch.uint8)
        return multiply(whole, step, zero, held, scale.flatten(), zeros, linear.bias, *end)

    return run


def int_mm(linear: nn.Linear, x: Tensor) -> Way:
    weight, scale = quantised(linear.weight)
    turned, scale = weight.T, scale.T

    def run() -> Tensor:
        whole, step = quantised(x)
        return (torch._int_mm(whole, turned) * step).mul_(scale).add_(linear.bias)

    return run


def weights(linear: nn.Linear, x: Tensor) -> Way:
    weight, scale = quantised(linear.weight)
    scale, bias = scale.flatten().to(x), linear.bias.to(x)
    return lambda: torch._weight_int8pack_mm(x, weight, scale) + bias


def quantised(x: Tensor) -> tuple[Tensor, Tensor]:
    """In int8 with a scale for each row."""
    step = x.abs().amax(1, keepdim=True) / 127
    return (x / step).round_().to(torch.int8), step


def ways_of(linear: nn.Linear, x: Tensor) -> dict[str, Way]:
    half = nn.Linear(linear.in_features, linear.out_features, dtype=torch.bfloat16)
    half.load_state_dict(linear.state_dict())
    x_half = x.bfloat16()
    return {
        "fp32": lambda: linear(x),
        "bf16": lambda: half(x_half),
        "packed": packed(linear, x),
        "onednn": onednn(linear, x),
        "_int_mm": int_mm(linear, x),
        "weights": weights(linear, x_half),
    }


def repeated(way: Way, times: int) -> Way:
    def run() -> None:
        for _ in range(times):
            way()

    return run


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    names = list(NAMES)
    lines = ["How many times faster than fp32 and than bf16 (input and output in bf16) a square"]
    lines += [f"linear layer is: the fastest of {ROUNDS} rounds of each, the ways in turns, since"]
    lines += ["other work on the machine only ever adds.", ""]
    lines += [f"* `{name}`: {what}" for name, what in NAMES.items()]
    errors: dict[str, float] = {}
    for threads in THREADS:
        torch.set_num_threads(threads)
        tables = {
            name: ["", f"{threads} thread(s), against {name}:", ""] for name in ("fp32", "bf16")
        }
        for base, table in tables.items():
            columns = [base, *[name for name in ("bf16", "fp32") if name != base], *names]
            table.append(f"| width | rows | {columns[0]}, us | {' | '.join(columns[1:])} |")
            table.append("|---" * (len(columns) + 2) + "|")
        for width in WIDTHS:
            for rows in ROWS:
                linear, x = nn.Linear(width, width), torch.randn(rows, width)
                ways = ways_of(linear, x)
                want = nn.functional.linear(
                    x.double(), linear.weight.double(), linear.bias.double()
                )
                for name, way in ways.items():
                    lost = (way().double() - want).norm() / want.norm()
                    errors[name] = max(errors.get(name, 0.0), lost.item())
                times = max(1, int(SHORTEST / (rows * width * width)))
                measured = in_turns(
                    {name: repeated(way, times) for name, way in ways.items()}, rounds=ROUNDS
                )
                best = {name: min(one.rounds) for name, one in measured.items()}
                for base, table in tables.items():
                    found = [
                        f"{best[base] / best[name]:.2f}"
                        for name in ("fp32", "bf16", *names)
                        if name != base
                    ]
                    micro = best[base] / times * 1e6
                    table.append(f"| {width} | {rows} | {micro:.0f} | {' | '.join(found)} |")
        lines += tables["fp32"] + tables["bf16"]
    lines += [
        "",
        "The largest error of an output, norm over norm, x and weights as torch draws them:",
    ]
    lines += ["", "| way | error |", "|---|---|"]
    lines += [f"| {name} | {error:.1e} |" for name, error in errors.items()]
    write("int8-projections", lines)


if __name__ == "__main__":
    main()
