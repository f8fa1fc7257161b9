"""Why a change does not pay: what dominates the cost, and from which length on it would."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class WorkShare:
    """How the work divides.

    Args:
        attention: Share of the time that all sites take, 0 to 1.
        quadratic: Share of the sites' multiply-adds that grows with the square of the length.
        length: Most keys of a call.
    """

    attention: float
    quadratic: float
    length: int

    @property
    def bound(self) -> float:
        """How many times faster the whole can get at most, however little attention costs.

        Source:
            Amdahl 1967, "Validity of the single processor approach".
        """
        return 1 / max(1e-9, 1 - self.attention)

    def at(self, length: float) -> float:
        """Return the share of attention at another length: scores grow, projections do not."""
        attention = self.attention * (
            1 - self.quadratic + self.quadratic * length / max(1, self.length)
        )
        return attention / (attention + 1 - self.attention)

    def length_for(self, share: float) -> int | None:
        """Return from which length on attention takes this share; `None` if never in sight."""
        length = max(1, self.length)
        while self.at(length) < share:
            length *= 2
            if length > 2**24:
                return None
        return length


def why_not_faster(share: WorkShare, speedup: str) -> str:
    """Return why something is not faster, in words."""
    text = (
        f"it must be faster, got {speedup}: attention takes {share.attention:.0%} of the time at "
        f"{share.length} keys, so no plan can win more than {share.bound:.2f}x; "
        "the rest is feed-forward, embeddings and the cost of calls"
    )
    if share.attention >= 0.5:
        return f"{text}. What was cut here costs little; cut more, or loosen the budget."
    length = share.length_for(0.5)
    return text if length is None else f"{text}. From about {length:,} keys on it would be half."
