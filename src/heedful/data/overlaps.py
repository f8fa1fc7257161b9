"""Examples that stand in two splits: what is measured on them is memory."""

from collections.abc import Sequence

from heedful.data.examples import Example, Splits
from heedful.data.scripts import composed


def overlaps(splits: Splits) -> dict[str, dict[str, int]]:
    """Count the held-out examples that an earlier split holds too, with source and target.

    Returns:
        For `dev` and `test`: how many there are, and how many of them are in `train` and in `dev`.
    """
    train, dev, test = (_pairs(examples) for examples in (splits.train, splits.dev, splits.test))
    in_train, in_dev = set(train), set(dev)
    return {
        "dev": {"examples": len(dev), "train": sum(pair in in_train for pair in dev)},
        "test": {
            "examples": len(test),
            "train": sum(pair in in_train for pair in test),
            "dev": sum(pair in in_dev for pair in test),
        },
    }


def told(counts: dict[str, dict[str, int]]) -> list[str]:
    """Say what `overlaps` has found; nothing where it has found nothing."""
    return [
        f"{count:,} of the {found['examples']:,} {split} examples are in the {other} split too: "
        f"on them, {split} scores say nothing about texts that are new"
        for split, found in counts.items()
        for other, count in found.items()
        if other != "examples" and count
    ]


def _pairs(examples: Sequence[Example]) -> list[tuple[str, str]]:
    return [(composed(example.source), composed(example.target)) for example in examples]
