"""All mechanisms side by side with plain attention: `heedful bench mechanisms`, kept as results.

With the JSON of an earlier run as its argument it only writes the other files again.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from _measure import RESULTS, write

from heedful.bench.mechanisms import Size, compare
from heedful.report.mechanisms import losers, summary, with_factors, write_mechanisms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path, nargs="?")
    path = parser.parse_args().measured
    if path is None:
        data = compare(size=Size(seconds=1.0), on_progress=tell).to_json()
        here = data["environment"]
        stem = f"mechanisms_{here['instructions'].lower()}_{here['threads']}-threads_{here['date']}"
        path = RESULTS / f"{stem}.json"
        path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    else:
        data = json.loads(path.read_text(encoding="utf-8"))
    write("mechanisms", told(data))
    command = shlex.join(["python", "benchmarks/mechanisms.py"])
    write_mechanisms(data, path.with_suffix(".html"), command=command)


def tell(name: str, length: int) -> None:
    print(name, length, file=sys.stderr)


def told(data: dict[str, Any]) -> list[str]:
    """The summary in words and one table."""
    rows, size = summary(with_factors(data["cells"])), data["size"]
    names = list(rows[0])
    return [
        f"Batch {size['batch']}, {size['heads']} heads of {size['dim']}, float32. Factors against "
        "torch's fused scaled dot-product attention, measured in turns: from which length on a "
        "mechanism is faster, and how much faster (or smaller in memory) it is at its longest "
        "length.",
        "",
        f"**{losers(rows)} of {len(rows) - 1} are slower than plain attention at every length, "
        "forward and backward: where only speed counts, plain attention wins there.**",
        "",
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
        *(f"| {' | '.join(row.values())} |" for row in rows),
        "",
        "Settings: "
        + "; ".join(f"{name}: {given}" for name, given in data["settings"].items())
        + ". All others have their defaults. The numbers of every length stand in the JSON and on "
        "the page beside this file.",
    ]


if __name__ == "__main__":
    main()
