"""How long `heedful --help` takes, against an empty Python."""

import subprocess
import sys

from _measure import write

from heedful.bench.timing import in_turns

WAYS = {
    "an empty Python": ["-c", "pass"],
    "heedful --help": ["-m", "heedful", "--help"],
    "heedful --version": ["-m", "heedful", "--version"],
}


def main() -> None:
    def runner(words: list[str]) -> None:
        subprocess.run([sys.executable, *words], check=True, capture_output=True)

    times = in_turns({name: lambda w=words: runner(w) for name, words in WAYS.items()}, rounds=15)
    lines = ["Seconds from the start of the process to its end, of 15.", ""]
    lines += ["| command | median | longest |", "|---|---|---|"]
    lines += [
        f"| {name} | {measured.median:.2f} | {max(measured.rounds):.2f} |"
        for name, measured in times.items()
    ]
    write("startup", lines)


if __name__ == "__main__":
    main()
