"""Shares are disjoint, whole, the same for all who draw them, and as uneven as asked."""

from collections import Counter
from dataclasses import dataclass

import pytest

from heedful.errors import ConfigError, DataError
from heedful.federated.shards import shard


@dataclass(frozen=True)
class Labelled:
    number: int
    label: str


EXAMPLES = [Labelled(number, "abcdefgh"[number % 8]) for number in range(1_003)]


@pytest.mark.parametrize("skew", [None, 0.1, 100.0])
@pytest.mark.parametrize("clients", [2, 5])
def test_shares_are_disjoint_and_together_everything(clients, skew):
    shares = [
        shard(EXAMPLES, client=client, clients=clients, seed=3, skew=skew)
        for client in range(clients)
    ]
    numbers = [example.number for share in shares for example in share]
    assert sorted(numbers) == list(range(1_003))
    again = shard(EXAMPLES, client=1, clients=clients, seed=3, skew=skew)
    assert again == shares[1]
    assert again != shard(EXAMPLES, client=1, clients=clients, seed=4, skew=skew)


def test_shares_alike_are_of_one_size_and_one_kind():
    shares = [shard(EXAMPLES, client=client, clients=4, seed=1) for client in range(4)]
    assert {len(share) for share in shares} == {250, 251}
    for share in shares:
        counts = Counter(example.label for example in share)
        assert min(counts.values()) > 15


def test_a_small_number_leaves_most_labels_with_one_client_and_a_large_one_does_not():
    def largest(skew):
        shares = [shard(EXAMPLES, client=c, clients=2, seed=1, skew=skew) for c in range(2)]
        counts = [Counter(example.label for example in share) for share in shares]
        return [max(count[label] for count in counts) / 125 for label in "abcdefgh"]

    assert sum(share > 0.9 for share in largest(0.05)) >= 6
    assert max(largest(1_000.0)) < 0.6


@pytest.mark.parametrize(
    "settings, kind, message",
    [
        ({"client": 2}, ConfigError, "client must be from 0 to 1, got 2"),
        ({"skew": 0.0}, ConfigError, "skew must be above 0, got 0.0"),
        ({"skew": float("nan")}, ConfigError, "skew must be above 0, got nan"),
    ],
)
def test_what_cannot_be_is_refused(settings, kind, message):
    with pytest.raises(kind, match=message):
        shard(EXAMPLES, **{"client": 0, "clients": 2, "seed": 1, **settings})


def test_too_few_examples_are_refused():
    with pytest.raises(
        DataError, match="every client must have an example, got none for client 1 of 2 from 1"
    ):
        shard(EXAMPLES[:1], client=0, clients=2, seed=1)


def test_examples_without_labels_cannot_be_spread_by_them():
    with pytest.raises(
        DataError, match="examples must have a label to be spread by, got some without"
    ):
        shard(["a", "b"], client=0, clients=2, seed=1, skew=1.0)
