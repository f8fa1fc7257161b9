"""Users with planted interests: each follows a few series, so that what comes next has a cause."""

from collections.abc import Sequence

import numpy as np

from heedful.tasks.recommend.config import PlantedData

SERIES = (
    *("crime", "jazz", "garden", "space", "history", "cooking", "nature", "chess", "comedy"),
    *("travel", "opera", "sailing", "poetry", "football", "horror", "science"),
)


def planted_users(data: PlantedData, seed: int) -> list[list[str]]:
    """Return the episodes that each user sees, in order.

    A user follows a few series, one of them more than the others, and turns to any of them for
    each episode. It is the one after the last that was seen of the series or, now and then, any
    other. None is seen twice: a user ends where a series does.

    Args:
        data: How many, and how often.
        seed: Decides all of it.
    """
    draw = np.random.default_rng(seed)
    known = 1 / np.arange(1, data.series + 1) ** 0.7  # some series have more friends than others
    users: list[list[str]] = []
    for _ in range(data.users):
        followed = draw.choice(data.series, data.followed, replace=False, p=known / known.sum())
        liking = draw.dirichlet(np.full(data.followed, 3.0))
        users.append(_seen(data, followed.tolist(), liking.tolist(), draw))
    return users


def follows(items: Sequence[str], item: str) -> int:
    """Return the place of the latest episode of the same series, or -1."""
    same = [place for place, each in enumerate(items) if series_of(each) == series_of(item)]
    return same[-1] if same else -1


def series_of(item: str) -> str:
    """Return the series of an episode."""
    return item.rpartition(" ")[0]


def _seen(
    data: PlantedData, followed: list[int], liking: list[float], draw: np.random.Generator
) -> list[str]:
    left = {each: list(range(1, data.episodes + 1)) for each in followed}
    latest = {each: int(draw.integers(0, max(1, data.episodes // 2))) for each in followed}
    items: list[str] = []
    while len(items) < data.length:
        series = followed[int(draw.choice(len(followed), p=liking))]
        free, episode = left[series], latest[series] + 1
        if draw.random() < data.leaps or episode not in free:
            if not free:
                break
            episode = free[int(draw.integers(len(free)))]
        free.remove(episode)
        latest[series] = episode
        items.append(f"{_name(series)} {episode}")
    return items


def _name(series: int) -> str:
    return SERIES[series] if series < len(SERIES) else f"series {series + 1}"
