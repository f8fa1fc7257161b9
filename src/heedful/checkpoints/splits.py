"""Three splits of examples by what a model sees of them: nothing is in two, or twice in one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from heedful.checkpoints.examples import CheckpointExample
from heedful.data.shares import divide
from heedful.errors import DataError
from heedful.optimizing.verdict import FEWEST_EXAMPLES

DEV, TEST = 0.15, 0.3  # shares of what is held out

Identity = Callable[[CheckpointExample], str]


@dataclass(frozen=True, kw_only=True)
class CheckpointSplits:
    """Examples to calibrate and fine-tune with, to choose with, and to judge on once.

    Args:
        calibration: The first.
        dev: The second.
        test: The third.
        repeated: How many examples were left out, because an earlier one is the same to the model.
        spare: How many of each split were left out, because fewer are enough.
    """

    calibration: list[CheckpointExample]
    dev: list[CheckpointExample]
    test: list[CheckpointExample]
    repeated: int
    spare: Mapping[str, int]


def split_examples(
    examples: Sequence[CheckpointExample],
    identity: Identity,
    *,
    test: Sequence[CheckpointExample] | None = None,
    most: Mapping[str, int],
    seed: int = 0,
) -> CheckpointSplits:
    """Divide examples by a hash of what the model sees; which file they come from in which order
    does not matter.

    Args:
        examples: All of them.
        identity: Equal for two that are the same to the model.
        test: Examples to judge on. `None` means that a part of the others is kept back for it.
        most: How many of `calibration`, `dev` and `test` are kept at most.
        seed: Another one holds out others.

    Raises:
        DataError: There are too few for a verdict.
    """
    known: dict[str, CheckpointExample] = {}
    judged = {identity(example): example for example in test or ()}
    for example in examples:
        known.setdefault(identity(example), example)
    repeated = len(examples) - len(known) + len(test or ()) - len(judged)
    shared = known.keys() & judged.keys()
    repeated += len(shared)
    own = [key for key in known if key not in shared]
    parts = divide(own, str, (DEV, 0.0 if judged else TEST), seed=seed)
    chosen = {
        "calibration": [known[key] for key in parts.train],
        "dev": [known[key] for key in parts.dev],
        "test": list(judged.values()) if judged else [known[key] for key in parts.test],
    }
    _check(chosen, len(own) + len(judged), repeated)
    spare = {name: max(0, len(found) - most[name]) for name, found in chosen.items()}
    kept = {name: found[: most[name]] for name, found in chosen.items()}
    return CheckpointSplits(**kept, repeated=repeated, spare=spare)


def _check(chosen: Mapping[str, Sequence[CheckpointExample]], there: int, repeated: int) -> None:
    few = min(FEWEST_EXAMPLES, *(len(found) for found in chosen.values()))
    if few < FEWEST_EXAMPLES:
        needed = 1.5 * FEWEST_EXAMPLES / DEV  # shares are drawn: of 1.3 times one in 20 falls short
        again = f" and {repeated:,} that repeat others" if repeated else ""
        counts = ", ".join(f"{len(found):,} for {name}" for name, found in chosen.items())
        raise DataError(
            f"data must have about {needed:,.0f} examples, {FEWEST_EXAMPLES} for each split, "
            f"got {there:,} different ones{again}: {counts}"
        )
