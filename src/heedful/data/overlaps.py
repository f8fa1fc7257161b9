"""Examples that stand in two splits, and are not learned from; and those that contradict others."""

from collections.abc import Callable, Hashable, Sequence

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


def without_held_out(
    train: Sequence[SomeExample],
    held_out: Sequence[SomeExample],
    identity: Callable[[SomeExample], Hashable],
) -> list[SomeExample]:
    """Return the training examples that are not held out too.

    Where all of them are, which is on purpose, all are returned.
    """
    known = set(map(identity, held_out))
    return [example for example in train if identity(example) not in known] or [*train]


def contradictions(
    examples: Sequence[SomeExample],
    identity: Callable[[SomeExample], Hashable],
    right_answers: Callable[[SomeExample], frozenset[Hashable]],
) -> list[str]:
    """Say of how many inputs no answer is right in all their examples; nothing where one is.

    Args:
        examples: Of the training split.
        identity: Equal for two examples of the same input.
        right_answers: See `Task.right_answers`.
    """
    right: dict[Hashable, frozenset[Hashable]] = {}
    for example in examples:
        if answers := right_answers(example):
            key = identity(example)
            right[key] = right.get(key, answers) & answers
    count = sum(not answers for answers in right.values())
    many = f"{count:,} of the {len(right):,} training inputs"
    return [f"{many} {_are(count)} there with answers that contradict each other"] if count else []


def told(counts: dict[str, dict[str, int]], *, left_out: int) -> list[str]:
    """Say what `overlaps` has found; nothing where it has found nothing.

    Args:
        counts: What it returned.
        left_out: How many training examples are not learned from therefore.
    """
    memory = "on them, {} scores say nothing about what is new"
    return [
        f"{count:,} of the {split_counts['examples']:,} {split} examples {_are(count)} in the "
        f"{other} split too: {_remedy(other, left_out) or memory.format(split)}"
        for split, split_counts in counts.items()
        for other, count in split_counts.items()
        if other != "examples" and count
    ]


def _remedy(other: str, left_out: int) -> str:
    what = "1 example" if left_out == 1 else f"{left_out:,} examples"
    return f"training leaves {what} out" if other == "train" and left_out else ""


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
