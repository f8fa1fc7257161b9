"""What metrics read of answers and of examples."""

from collections.abc import Callable, Sequence
from typing import Any

from heedful.errors import DataError

Read = Callable[[Any], Any]


def itself(thing: Any) -> Any:
    """Return the thing: an answer that is nothing but what is compared."""
    return thing


def paired(
    answers: Sequence[Any], examples: Sequence[Any], *, answer: Read, truth: Read
) -> tuple[list[Any], list[Any]]:
    """Return what is compared: what was answered, and what is true.

    Args:
        answers: One for each example, in the same order.
        examples: What was to be answered.
        answer: What is compared of an answer.
        truth: What is compared of an example.

    Raises:
        DataError: There are none, or not as many of both.
    """
    if len(answers) != len(examples):
        raise DataError(
            "answers must be as many as their examples, "
            f"got {len(answers)} answers for {len(examples)} examples"
        )
    if len(examples) == 0:  # arrays have no truth
        raise DataError("a metric must have an example to be computed on, got none")
    return [answer(each) for each in answers], [truth(each) for each in examples]
