"""Greedy writing of 64 target tokens: keys and values kept, against the whole prefix read again."""

import argparse

import torch
from _measure import write

from heedful.bench.timing import in_turns, ratio
from heedful.models import Limits, Transformer, greedy

TOKENS = 64


def again(model: Transformer, source: torch.Tensor, lengths: torch.Tensor) -> None:
    """Read the source once, but the whole prefix at every step."""
    memory, mask = model.encode(source, lengths)
    target = torch.ones(len(source), 1, dtype=torch.long)
    for _ in range(TOKENS):
        logits = model.decode(target, memory, mask)[:, -1]
        target = torch.cat([target, logits.argmax(-1, keepdim=True)], dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    lines = [
        "Tokens a second of a Transformer of width 128, 2 + 2 layers, 4 heads, rotary positions.",
        "",
        "| batch | with cache | read again | times faster |",
        "|---|---|---|---|",
    ]
    torch.manual_seed(0)
    model = Transformer(source_size=2_700, target_size=750, width=128, heads=4, positions="rotary")
    model.eval()
    endless = Limits(eos=-1, max_length=TOKENS)  # no text ends early
    for batch in (1, 8, 64):
        source = torch.randint(4, 2_700, (batch, 40))
        lengths = torch.full((batch,), 40)
        with torch.inference_mode():
            times = in_turns(
                {
                    "cache": lambda s=source, n=lengths: greedy(model, s, n, limits=endless),
                    "again": lambda s=source, n=lengths: again(model, s, n),
                },
                rounds=arguments.rounds,
            )
        speeds = [f"{batch * TOKENS / times[name].median:,.0f}" for name in ("cache", "again")]
        lines.append(
            f"| {batch} | {' | '.join(speeds)} | {ratio(times['again'], times['cache'])} |"
        )
    write("decoding-cache", lines)


if __name__ == "__main__":
    main()
