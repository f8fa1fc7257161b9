"""`heedful bench attention`, all of it, kept as results with the targets beside what was measured.

With the JSON of an earlier run as its argument it only writes the page again; `--again` measures
some cases anew before. Reasons for what is missed stand in `REASONS`, and go on the page.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from _attention_targets import NEEDS, TARGETS, Verdict, judge, promised
from _measure import RESULTS, write

from heedful.bench.attention.cases import groups
from heedful.bench.attention.measure import MeasureSettings, measure
from heedful.bench.attention.rates import MatrixRates
from heedful.bench.attention.row import Measurement
from heedful.bench.attention.table import columns, shape, summary, without_empty
from heedful.bench.environment import environment
from heedful.kernels.cpu.isa import chosen

COMPILE_SECONDS = 20.0
ALONE = ("dense", 64, (1024, 4096))  # case, dim and lengths that are measured with one thread too

# the text of a target that is missed -> why, and what was tried
LIMIT = (
    "beyond this processor: SDPA reaches {sdpa} of its matrix rate here and we {ours}, so nothing "
    "can be more than {most} as fast; the target comes from one with vector units twice as wide"
)
REASONS: dict[str, str] = {
    "dense bf16 forward: at least 3.5x SDPA": LIMIT.format(
        sdpa="a third (37 %)", ours="61 to 92 %", most="2.7 times"
    ),
    "dense bf16 forward, D = 64, N >= 1k: at least 4x SDPA": LIMIT.format(
        sdpa="37 %", ours="76 to 83 %", most="2.7 times"
    ),
    "dense bf16 forward, N >= 4k: at least 80 % of the matrix rate": (
        "D = 32 only, where an exponential stands against 64 products: 16 of them take 3.0 ns, "
        "their products 4.8. Tried: blocks of 64 to 384 keys (+5 % from 128 to 256, kept), 12 to "
        "48 queries at a time (no difference), scalef or integer exponents (no difference), a "
        "polynomial of degree 3 instead of 4 (kept)"
    ),
    "dense fp32 forward, N >= 1k: at least 2x SDPA": LIMIT.format(
        sdpa="85 to 90 %", ours="97 to 105 %", most="1.2 times"
    ),
    "forward + backward bf16, N >= 1k: at least 2.2x SDPA": LIMIT.format(
        sdpa="45 %", ours="75 to 81 %", most="2.2 times"
    ),
    "forward + backward fp32, N >= 1k: at least 1.5x SDPA": LIMIT.format(
        sdpa="80 %", ours="97 to 103 %", most="1.25 times"
    ),
    "block-sparse forward, N = 8k: at least 0.9 of the ideal scaling": (
        "one block in sixteen, bf16: laying out keys and values takes as long at any density; 0.92 "
        "in another run. A process of low priority ran beside the first half of this one"
    ),
    "decode bf16, all keys: at least 8x SDPA": (
        "at 32k keys ours waits for the memory (97 % of what it gives), and SDPA almost does"
    ),
    "decode, all keys: at least 90 % of the read bandwidth": (
        "up to 16k keys lie in the last cache, from which plain reading gets 40 to 130 GB/s: there "
        "scores and sums take longer than reading. Tried: prefetching the next 128 keys (no gain, "
        "taken out), vectors of known length (+30 %, kept)"
    ),
    "sweep, where SDPA takes >= 100 us: never below 0.97x SDPA": (
        "what is measured is a kind of call, its sizes rounded to powers of two, and a shape of it "
        "may lie on the other side; five of six take below 0.4 ms with their gradient, of which "
        "0.05 ms are a Python autograd function. Sweep and small were measured again after calls "
        "of little work were left to one thread: 13 of 174 were below before"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--again", nargs="+", default=[], metavar="CASE")
    arguments = parser.parse_args()
    if arguments.measured is None:
        data = everything(arguments.seconds)
    else:
        data = json.loads(arguments.measured.read_text(encoding="utf-8"))
    if arguments.again:
        renew(data, arguments.again, arguments.seconds)
    here = data["environment"]
    stem = f"attention_{here['instructions'].lower()}_{here['threads']}-threads_{here['date']}"
    text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
    (RESULTS / f"{stem}.json").write_text(text, encoding="utf-8")
    write("attention", told(data))


def everything(seconds: float) -> dict[str, Any]:
    """Measure all cases, some of them with one thread as well, and the first compile."""
    rates, settings = MatrixRates(), MeasureSettings(flex=True, seconds=seconds)
    compiled = compile_seconds()
    measured = measure(groups(), settings=settings, on_progress=tell, rates=rates)
    name, dim, lengths = ALONE
    alone = [group for group in groups([name]) if group[0].dim == dim and group[0].keys in lengths]
    measured += measure(alone, threads=[1], settings=settings, on_progress=tell, rates=rates)
    return {
        "environment": asdict(environment()),
        "isa": chosen(),
        "rates": rates.words(),
        "compile_seconds": compiled,
        "measured": [asdict(one) for one in measured],
    }


def renew(data: dict[str, Any], cases: Sequence[str], seconds: float) -> None:
    """Measure some cases again, with all threads, and put the new rows in the place of the old."""
    fresh = measure(groups(cases), settings=MeasureSettings(seconds=seconds), on_progress=tell)
    kept = [one for one in data["measured"] if one["row"]["case"] not in cases]
    data["measured"] = kept + [asdict(one) for one in fresh]


def tell(text: str) -> None:
    print(text, file=sys.stderr)


def compile_seconds() -> float | None:
    """How long `heedful doctor --build` takes with an empty cache; `None` where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "heedful", "doctor", "--build"],
            env={**os.environ, "XDG_CACHE_HOME": folder},
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - began if done.returncode == 0 else None


# ---- the page ------------------------------------------------------------------------------------


def told(data: dict[str, Any]) -> list[str]:
    """The targets, the tables and what stands around them."""
    measured = [Measurement.from_json(one) for one in data["measured"]]
    verdicts = judge(measured, promised(data["isa"]))
    return [
        "Milliseconds are medians (and their middle half); all that is compared was measured in "
        "turns in one process, and factors are medians of the rounds (and their middle half). "
        "SDPA is `torch.nn.functional.scaled_dot_product_attention`: without a mask where ours has "
        "blocks, because it skips none, and in float32 where ours selects. Errors are relative L2 "
        "distances to float64 on some heads and rows. Forward and backward counts as 3.5 forward "
        "passes of work. Shapes are batch x heads x queries x keys x dim.",
        "",
        *(f"* {line}" for line in data["rates"]),
        "",
        "## Targets",
        "",
        *([] if len(verdicts) == len(TARGETS) else [_elsewhere(data["isa"]), ""]),
        *table([_line(verdict) for verdict in verdicts] + [_compile(data["compile_seconds"])]),
        *_cases(measured),
    ]


def _elsewhere(isa: str) -> str:
    return f"The other targets are for {NEEDS}; the best that this processor has is {isa}."


def _line(verdict: Verdict) -> dict[str, str]:
    row, target = verdict.row, verdict.target
    where = "" if row is None else f"{row.dtype} {shape(row)}, {row.threads} threads"
    return {
        "target": target.text,
        "": verdict.word,
        "worst": "" if verdict.worst is None else f"{verdict.worst:.3g}",
        "where": where,
        "why": REASONS.get(target.text, ""),
    }


def _compile(seconds: float | None) -> dict[str, str]:
    text = f"first-use compile: at most {COMPILE_SECONDS:.0f} s, once"
    if seconds is None:
        return {"target": text, "": "not measured", "worst": "", "where": "", "why": ""}
    word = "met" if seconds <= COMPILE_SECONDS else "missed"
    where = "`heedful doctor --build`, with its start"
    why = REASONS.get(text, "")
    return {"target": text, "": word, "worst": f"{seconds:.1f} s", "where": where, "why": why}


def _cases(measured: Sequence[Measurement]) -> list[str]:
    lines: list[str] = []
    by_case = groupby(measured, key=lambda one: (one.row.case, one.row.threads))
    for (name, threads), group in by_case:
        rows = list(group)
        lines += ["", f"## {name}, {threads} threads", ""]
        words = summary(rows)
        lines += [*words[:1], "", *(f"* {word}" for word in words[1:]), ""] if words else []
        lines += table(without_empty([columns(one) for one in rows]))
    return lines


def table(rows: Sequence[dict[str, str]]) -> list[str]:
    """Lines of Markdown."""
    names = list(rows[0])
    return [
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
        *(f"| {' | '.join(row.values())} |" for row in rows),
    ]


if __name__ == "__main__":
    main()
