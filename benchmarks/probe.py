"""Statistics of one attention site after the fact, against the time and memory of its forward."""

import argparse

import torch
from _measure import write

from heedful.bench.memory import peak_bytes
from heedful.bench.timing import in_turns, ratio
from heedful.mask import Mask
from heedful.nn.attention import Attention
from heedful.probing.probe import Probe, probe

WIDTH, HEADS = 512, 8


def heard(module: Attention, x: torch.Tensor, mask: Mask | None) -> Probe:
    with probe(module) as p:
        module(x, mask=mask)
    return p


def row(length: int, name: str, mask: Mask | None, rounds: int) -> str:
    module = Attention(width=WIDTH, heads=HEADS).eval()
    x = torch.randn(1, length, WIDTH)
    p = heard(module, x, mask)
    ways = {
        "forward": lambda: module(x, mask=mask),
        "heard": lambda: heard(module, x, mask),
        "statistics": p.statistics,
    }
    times = in_turns(ways, rounds=rounds)
    error = p.fidelity()[""].error
    alone, all_of_it = (
        (peak_bytes(way) or 0) / 1e6
        for way in (ways["forward"], lambda: heard(module, x, mask).statistics())
    )
    forward, listening, counting = (times[way].median for way in ways)
    slower = ratio(times["statistics"], times["forward"])
    return (
        f"| {length:,} | {name} | {forward:.2f} | {listening:.2f} | {counting:.2f} | {slower} | "
        f"{alone:.0f} | {all_of_it:.0f} | {all_of_it - alone:.0f} | {error:.1e} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lengths", type=int, nargs="+", default=[4_096, 16_384])
    arguments = parser.parse_args()
    lines = [
        f"One `heedful.nn.Attention` of width {WIDTH}, {HEADS} heads of 64, float32, batch 1, "
        "`p.statistics()` with its defaults. Seconds are medians; memory is how far the "
        "peak resident set rises in one call, in MB: of the forward pass alone, and of the forward "
        "pass in the probe with what it keeps and the statistics after it.",
        "",
        "| tokens | mask | forward | forward, heard | statistics | statistics / forward | "
        "memory of forward | of probe and statistics | extra | fidelity |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    torch.manual_seed(0)
    with torch.inference_mode():
        for length in arguments.lengths:
            for name, mask in (("none", None), ("causal", Mask.causal())):
                lines.append(row(length, name, mask, arguments.rounds))
    write("probe", lines)


if __name__ == "__main__":
    main()
