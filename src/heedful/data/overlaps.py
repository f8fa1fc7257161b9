"""Examples that stand in two splits: what is measured on them is memory."""

from collections.abc import Callable, Hashable

from heedful.data.examples import SomeExample, Splits


def overlaps(
    splits: Splits[SomeExample], identity: Callable[[SomeExample], Hashable]
) -> dict[str, dict[str, int]]:
    """Count the held-out examples that an earlier split holds too.

    Args:
        splits: All three.
        identity: Equal for two examples that are the same one.

    Returns:
        For `dev` and `test`: how many there are, and how many of them are in `train` and in `dev`.
    """
    train, dev, test = (
        [identity(example) for example in examples]
        for examples in (splits.train, splits.dev, splits.test)
    )
    in_train, in_dev = set(train), set(dev)
    return {
        "dev": {"examples": len(dev), "train": sum(each in in_train for each in dev)},
        "test": {
            "examples": len(test),
            "train": sum(each in in_train for each in test),
            "dev": sum(each in in_dev for each in test),
        },
    }


def told(counts: dict[str, dict[str, int]]) -> list[str]:
    """Say what `overlaps` has found; nothing where it has found nothing."""
    return [
        f"{count:,} of the {found['examples']:,} {split} examples are in the {other} split too: "
        f"on them, {split} scores say nothing about what is new"
        for split, found in counts.items()
        for other, count in found.items()
        if other != "examples" and count
    ]
