"""The examples of one client, where one data set stands for those of several."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from heedful.errors import ConfigError, DataError

SomeExample = TypeVar("SomeExample")


def shard(
    examples: Sequence[SomeExample],
    *,
    client: int,
    clients: int,
    seed: int,
    skew: float | None = None,
) -> list[SomeExample]:
    """Return what one client holds: disjoint shares that are all of the examples together.

    Args:
        examples: Of the training split.
        client: Which client, from 0.
        clients: How many there are.
        seed: Of the drawing; the same for all clients.
        skew: `None` draws shares alike. A number is the concentration of a Dirichlet distribution
            by which every label is spread over the clients: 100 is nearly alike, 0.1 leaves most
            labels with one client.

    Raises:
        ConfigError: There is no such client, or `skew` is not above 0.
        DataError: There are fewer examples than clients, a client gets none, or examples have no
            label to spread.

    Source:
        Hsu et al. 2019, arXiv:1909.06335, section 3 (labels by a Dirichlet distribution).
    """
    if not 0 <= client < clients:
        raise ConfigError(f"client must be from 0 to {clients - 1}, got {client}")
    random = np.random.default_rng([seed, clients])
    owner = np.empty(len(examples), dtype=np.int64)
    if skew is None:
        owner[random.permutation(len(examples))] = np.arange(len(examples)) % clients
    else:
        owner = _by_label(examples, clients, skew, random)
    counts = np.bincount(owner, minlength=clients)
    if counts.min() == 0:
        raise DataError(
            f"every client must have an example, got none for client {int(counts.argmin())} of "
            f"{clients} from {len(examples)} examples"
        )
    return [
        example for example, whose in zip(examples, owner.tolist(), strict=True) if whose == client
    ]


def _by_label(
    examples: Sequence[Any], clients: int, skew: float, random: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.int64]]:
    if not skew > 0:
        raise ConfigError(f"skew must be above 0, got {skew}")
    labels = [str(getattr(example, "label", None)) for example in examples]
    if "None" in labels:
        raise DataError("examples must have a label to be spread by, got some without")
    owner = np.empty(len(examples), dtype=np.int64)
    for label in sorted(set(labels)):
        rows = np.flatnonzero([other == label for other in labels])
        shares = random.dirichlet([skew] * clients).cumsum()
        places = (np.arange(len(rows)) + 0.5) / len(rows)
        owner[random.permutation(rows)] = np.searchsorted(shares, places).clip(max=clients - 1)
    return owner
