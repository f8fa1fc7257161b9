"""One decoding step of an attention module: all keys of its cache, against 64 pages of 16."""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from _measure import write
from torch import Tensor

from heedful.bench.timing import Times, in_turns, ratio
from heedful.mask import Mask
from heedful.nn import Attention, KeyValueCache
from heedful.nn.mechanisms import PagedDecoding

HEADS, DIM, PAGES, PAGE = 8, 64, 64, 16


def go_on(attention: Attention, cache: KeyValueCache, x: Tensor, steps: int) -> None:
    """Each step stores one more key."""
    for _ in range(steps):
        attention(x, mask=Mask.causal(), cache=cache)


def measure(keys: int, *, kv_heads: int, rounds: int, steps: int) -> dict[str, Times]:
    """Seconds of `steps` steps behind so many keys."""
    paged = PagedDecoding(heads=HEADS, dim=DIM, pages=PAGES, page=PAGE)
    ways: dict[str, Callable[[], None]] = {}
    for name, mechanism in (("plain", None), ("pages", paged)):
        torch.manual_seed(0)  # the same weights and keys for both
        attention = Attention(
            width=HEADS * DIM, heads=HEADS, kv_heads=kv_heads, mechanism=mechanism
        ).eval()
        cache, x = KeyValueCache(), torch.randn(1, 1, HEADS * DIM)
        cache.append(*(torch.randn(1, kv_heads, keys, DIM) for _ in range(2)))
        ways[name] = partial(go_on, attention, cache, x, steps)
    return in_turns(ways, rounds=rounds, warm_up=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--steps", type=int, default=20, help="steps that are timed together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="print, and write no file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    lines = [
        f"Milliseconds a step of `heedful.nn.Attention`, {HEADS} heads of {DIM}, batch 1, float32,",
        f"projections included: plain, and with `PagedDecoding(pages={PAGES}, page={PAGE})`.",
        "Keys are random, so the pages that are read lie far apart, as is worst.",
        "",
        "| keys | key/value heads | plain | pages | times faster |",
        "|---|---|---|---|---|",
    ]
    for keys in (4_096, 32_768):
        for kv_heads in (HEADS, 2):
            with torch.inference_mode():
                times = measure(
                    keys, kv_heads=kv_heads, rounds=arguments.rounds, steps=arguments.steps
                )
            plain, pages = (
                1e3 * times[name].median / arguments.steps for name in ("plain", "pages")
            )
            faster = ratio(times["plain"], times["pages"])
            lines.append(f"| {keys:,} | {kv_heads} | {plain:.3f} | {pages:.3f} | {faster} |")
    if arguments.dry:
        print("\n".join(lines))
    else:
        write("page-decoding", lines)


if __name__ == "__main__":
    main()
