"""The claims of what reaches only so far, or sees how far it reaches."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from heedful import ops
from heedful.testing.claim import Claim
from heedful.testing.oracle import reach

FARTHEST = 7  # no query of a contract is farther from a key


def _on_a_line(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function on a grid of one axis that is as long as the text."""

    def call(query: Any, *others: Any, **settings: Any) -> Any:
        return function(query, *others, shape=(query.shape[2],), window=(3,), **settings)

    return call


def _of_its_distances(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, given one vector for each distance from FARTHEST to -FARTHEST."""

    def call(query: Any, key: Any, *others: Any, position: Any, **settings: Any) -> Any:
        first, last = key.shape[2] - 1, 1 - query.shape[2]
        rows: Tensor = position[:, FARTHEST - first : FARTHEST - last + 1]
        return function(query, key, *others, position=rows, **settings)

    return call


REACH: dict[str, Claim] = {
    "adaptive_span": Claim(
        attention=ops.adaptive_span_attention,
        weights=ops.adaptive_span_weights,
        oracle=reach.adaptive_span,
        extras={"span": "heads"},
        domains={"span": lambda x: 0.3 + x.abs()},
        settings={"ramp": 2.5},
        normalised=False,  # the span and the future may hide all that a mask shows
        permutation_invariant=False,
        independent_queries=False,  # where a query stands depends on how many there are
    ),
    "neighbourhood": Claim(
        attention=_on_a_line(ops.neighbourhood_attention),
        weights=_on_a_line(ops.neighbourhood_weights),
        oracle=_on_a_line(reach.neighbourhood),
        square=True,
        normalised=False,  # a window may hide all that a mask shows
        permutation_invariant=False,
        independent_queries=False,  # as many of them as keys
    ),
    "transformer_xl": Claim(
        attention=_of_its_distances(ops.transformer_xl_attention),
        weights=_of_its_distances(ops.transformer_xl_weights),
        oracle=_of_its_distances(reach.transformer_xl),
        extras={
            "position": "heads distances dim",
            "content_bias": "heads dim",
            "position_bias": "heads dim",
        },
        sizes={"distances": 2 * FARTHEST + 1},
        permutation_invariant=False,
        independent_queries=False,  # where a query stands depends on how many there are
    ),
    "window": Claim(
        attention=ops.window_attention,
        weights=ops.window_weights,
        oracle=reach.window,
        settings={"window": 2, "sinks": 1},
        normalised=False,  # a window may hide all that a mask shows
        permutation_invariant=False,
        independent_queries=False,  # where a query stands depends on how many there are
    ),
}
