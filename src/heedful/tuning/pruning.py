"""When a training is not worth its end: it learns less than half as fast as any that made it."""

from collections.abc import Sequence

Curve = Sequence[tuple[float, float]]  # share of the training, loss on the dev split
LAG = 2.0
EARLIEST = 0.3  # share of the training before which nothing is given up


def hopeless(own: Curve, made_it: Sequence[Curve]) -> bool:
    """Say whether a training should be given up.

    It is when its best loss so far is worse than that which each of the others had reached at half
    the share of the training. The median of all trainings, the usual bar, would not do here: what
    is cheap learns more slowly than most and is wanted all the same, as long as it arrives.

    Args:
        own: What was measured so far, in order.
        made_it: The whole curves of those that kept the quality, or of the nearest one.
    """
    if not own or not made_it or own[-1][0] < EARLIEST:
        return False
    share = own[-1][0] / LAG
    reached = [[loss for at, loss in curve if at <= share + 1e-9] for curve in made_it]
    if not all(reached):
        return False
    return min(loss for _, loss in own) > max(min(losses) for losses in reached)
