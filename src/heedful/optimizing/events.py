"""What an optimisation tells whoever listens."""

from collections.abc import Callable
from dataclasses import dataclass

from heedful.optimizing.candidate import Candidate


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is going on now.

    Args:
        text: In a few words.
        done: Share of it that is done, where that is known.
    """

    text: str
    done: float | None = None


@dataclass(frozen=True, kw_only=True)
class RoundDone:
    """A round came to its candidate.

    Args:
        number: From 1.
        candidate: The best of the round.
        final: Was this one of the long fine-tunings behind the rounds?
    """

    number: int
    candidate: Candidate
    final: bool = False


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A candidate outside of the rounds was judged on the dev split.

    Args:
        text: What was changed.
        candidate: With its verdict.
    """

    text: str
    candidate: Candidate


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something worth a line of its own."""

    text: str


OptimizeEvent = Stage | RoundDone | Verified | Note
EventListener = Callable[[OptimizeEvent], None]


def ignore(event: OptimizeEvent) -> None:
    """Listen to nothing."""
