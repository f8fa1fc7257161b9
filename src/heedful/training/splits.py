"""Held-out examples as a file: one JSON object a line."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from heedful.data.examples import Example
from heedful.errors import RunError
from heedful.files import reason, write_bytes

LARGEST = 1 << 32  # bytes of a split
LEDGER = "test-looks.jsonl"  # a line for each time that a test split was judged on


def write_split(folder: Path, split: str, examples: Sequence[Example]) -> None:
    """Write what `Run.examples` reads, in a run that is being made.

    Raises:
        RunError: The folder cannot be written.
    """
    lines = [json.dumps(asdict(example), ensure_ascii=False) for example in examples]
    write_bytes(folder / "splits" / f"{split}.jsonl", "".join(f"{x}\n" for x in lines).encode())


def parse_split(content: bytes, path: Path) -> list[Example]:
    """Turn what `path` holds into examples.

    Raises:
        RunError: A line is damaged, or holds anything but texts; none is ever left out.
    """
    if content and not content.endswith(b"\n"):
        raise RunError(f"{path} must be whole, got no end of its last line")
    lines = content.split(b"\n")[:-1]
    return [_example(line, path, number) for number, line in enumerate(lines, 1)]


def _example(line: bytes, path: Path, number: int) -> Example:
    try:
        example = Example(**json.loads(line))
        for text in (example.source, example.target, example.kind):
            if type(text) is not str:
                raise TypeError(f"{text!r:.40} is no text")
            text.encode()  # half of a pair of surrogates is no letter
        return example
    except RecursionError:
        got = "brackets without end"
    except (TypeError, ValueError) as error:
        got = reason(error)
    raise RunError(f"{path} must be whole, got a damaged line {number}: {got:.100}")
