"""Raw attention is one map, put together by pieces."""

import sys
from pathlib import Path

import numpy as np
import pytest

from heedful.errors import ConfigError
from heedful.explaining.attention import attention

sys.path.insert(0, str(Path(__file__).parent))
from routed import OTHERS, PLACES, routed, stored_maps


def by_pieces(row, places, pieces):
    total = np.zeros(pieces)
    for place, piece in enumerate(places):
        if piece >= 0:
            total[piece] += row[place]
    return total


def test_by_default_it_is_the_last_map_that_reads_the_input():
    asked = routed("two sources")
    found = attention(asked.model, asked.question)
    weights, _ = stored_maps(asked, 0)["decoder.cross.1.1"]
    for target, row in enumerate(asked.question.route.rows):
        expected = by_pieces(weights.mean(0)[row].numpy(), OTHERS, 6)
        np.testing.assert_allclose(found.weights[target], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("head", [None, 0, 1])
def test_another_site_and_one_head(head):
    asked = routed("two sources")
    found = attention(asked.model, asked.question, site="decoder.cross.0.0", head=head)
    weights, _ = stored_maps(asked, 0)["decoder.cross.0.0"]
    weights = weights.mean(0) if head is None else weights[head]
    for target, row in enumerate(asked.question.route.rows):
        expected = by_pieces(weights[row].numpy(), PLACES, 6)
        np.testing.assert_allclose(found.weights[target], expected, rtol=0, atol=1e-6)


def test_a_site_that_no_answer_is_read_at_is_its_mean():
    asked = routed("one source")
    found = attention(asked.model, asked.question, site="encoders.0.own.0")
    weights, _ = stored_maps(asked, 0)["encoders.0.own.0"]
    expected = by_pieces(weights.mean((0, 1)).numpy(), PLACES, 4)
    for row in found.weights:
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-6)


def test_the_query_of_pooling_is_the_answer():
    asked = routed("pooling")
    found = attention(asked.model, asked.question, head=1)
    weights, _ = stored_maps(asked, 0)["pooling"]
    expected = by_pieces(weights[1, 0].numpy(), PLACES, 4)
    for row in found.weights:
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"site": "decoder.own.0"}, r"site must be one of encoders.0.own.0, .* got 'decoder.own"),
        ({"head": 2}, "head must be in 0 to 1 at decoder.cross.1.0, got 2"),
        ({"head": -1}, "head must be in 0 to 1 at decoder.cross.1.0, got -1"),
    ],
)
def test_rejects_sites_and_heads_that_there_are_not(settings, message):
    asked = routed("one source")
    with pytest.raises(ConfigError, match=message):
        attention(asked.model, asked.question, **settings)
