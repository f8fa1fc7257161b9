import pytest

from heedful.tuning.pruning import should_prune

TENTHS = [share / 10 for share in range(1, 11)]


def curve(speed, until=1.0):
    """A loss that falls by `speed` a whole training."""
    return [(share, 5 - speed * share) for share in TENTHS if share <= until + 1e-9]


@pytest.mark.parametrize("until", [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
def test_gives_up_what_learns_less_than_half_as_fast(until):
    reached = max(share for share in TENTHS if share <= until / 2 + 1e-9)
    slower, faster = (4 * reached / until * factor for factor in (0.99, 1.01))
    assert should_prune(curve(slower, until), [curve(4)])
    assert not should_prune(curve(faster, until), [curve(4)])


def test_the_slowest_that_made_it_counts():
    assert should_prune(curve(1.5, 0.8), [curve(4)])
    assert not should_prune(curve(1.5, 0.8), [curve(4), curve(2)])


def test_a_loss_that_rose_again_counts_as_low_as_it_was():
    own = [(0.2, 1.0), (0.4, 9.0)]
    assert not should_prune(own, [curve(4)])
    assert should_prune([(0.2, 8.0), (0.4, 9.0)], [[(0.1, 2.0), (0.2, 9.0), (1.0, 1.0)]])


@pytest.mark.parametrize(
    "own, made_it",
    [
        ([], [curve(4)]),  # nothing measured
        (curve(0, 0.9), []),  # nothing to compare with
        (curve(0, 0.2), [curve(4)]),  # too early
        (curve(0, 0.9), [curve(4), [(0.5, 1.0), (1.0, 0.5)]]),  # one was not measured so early
    ],
)
def test_without_evidence_nothing_is_given_up(own, made_it):
    assert not should_prune(own, made_it)


def test_where_more_is_better_curves_are_turned_round():
    slow, fast = ([(share, -loss) for share, loss in curve(speed)] for speed in (1.5, 4))
    assert should_prune(slow[:8], [fast], higher_is_better=True)
    assert not should_prune(fast[:8], [slow], higher_is_better=True)
    assert not should_prune(slow[:8], [fast])
