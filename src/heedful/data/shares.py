"""Splits by what examples hold: what is there twice is on one side."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from heedful.data.examples import Splits

SomeExample = TypeVar("SomeExample")


def divide(
    examples: Sequence[SomeExample],
    content: Callable[[SomeExample], str],
    shares: tuple[float, float],
    *,
    seed: int,
) -> Splits[SomeExample]:
    """Hold out about these shares; content and seed alone decide of what.

    Neither the order nor the names of examples matter, nor what else is there.

    Args:
        examples: All of them.
        content: What two examples share that are the same one, e.g. a hash of pixels.
        shares: Of dev and of test.
        seed: Another one holds out others.
    """
    dev, test = shares
    found = Splits[SomeExample](train=[], dev=[], test=[])
    for example in examples:
        digest = hashlib.sha256(f"{seed}:{content(example)}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        part = found.dev if place < dev else found.test if place < dev + test else found.train
        part.append(example)
    return found
