"""All mechanisms side by side with plain attention: `heedful bench mechanisms`, kept as results."""

import json
import shlex
import sys

from _measure import RESULTS, write

from heedful.bench.mechanisms import Size, compare
from heedful.report.mechanisms import losers, summary, with_factors, write_mechanisms


def main() -> None:
    comparison = compare(
        size=Size(seconds=1.0), listen=lambda name, length: print(name, length, file=sys.stderr)
    )
    data = comparison.to_json()
    rows = summary(with_factors(data["cells"]))
    names = list(rows[0])
    lines = [
        f"Batch {comparison.size.batch}, {comparison.size.heads} heads of {comparison.size.dim}, "
        "float32. Factors against torch's fused scaled dot-product attention, measured in turns: "
        "from which length on a mechanism is faster, and how much faster (or smaller in memory) it "
        "is at its longest length.",
        "",
        f"**{losers(rows)} of {len(rows) - 1} are slower than plain attention at every length, "
        "forward and backward: where only speed counts, plain attention wins there.**",
        "",
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
        *(f"| {' | '.join(row.values())} |" for row in rows),
        "",
        "Settings: "
        + "; ".join(f"{name}: {given}" for name, given in comparison.settings.items())
        + ". All others have their defaults. The numbers of every length stand in the JSON and on "
        "the page beside this file.",
    ]
    write("mechanisms", lines)
    here = comparison.environment
    stem = f"mechanisms_{here.instructions.lower()}_{here.threads}-threads_{here.date}"
    text = json.dumps(data, ensure_ascii=False, indent=1)
    (RESULTS / f"{stem}.json").write_text(text + "\n", encoding="utf-8")
    write_mechanisms(data, RESULTS / f"{stem}.html", command=shlex.join(["python", *sys.argv]))


if __name__ == "__main__":
    main()
