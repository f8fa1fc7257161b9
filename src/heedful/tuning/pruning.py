"""When a training is not worth its end: it learns less than half as fast as any that made it."""

from collections.abc import Sequence

Curve = Sequence[tuple[float, float]]  # share of the training, score on the dev split
LAG = 2.0
EARLIEST = 0.3  # share of the training before which nothing is given up


def should_prune(own: Curve, feasible: Sequence[Curve], *, higher_is_better: bool = False) -> bool:
    """Say whether a training should be given up.

    It is when its best score so far is worse than that which each of the others had reached at half
    the share of the training. The median of all trainings, the usual bar, would not do here: what
    is cheap learns more slowly than most and is wanted all the same, as long as it arrives.

    Args:
        own: What was measured so far, in order.
        feasible: The whole curves of those that kept the quality, or of the nearest one.
        higher_is_better: Whether more of the score is better.
    """
    if not own or not feasible or own[-1][0] < EARLIEST:
        return False
    sign = -1 if higher_is_better else 1
    share = own[-1][0] / LAG
    reached = [[sign * score for at, score in curve if at <= share + 1e-9] for curve in feasible]
    if not all(reached):
        return False
    return min(sign * score for _, score in own) > max(min(scores) for scores in reached)
