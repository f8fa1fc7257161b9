"""The rules of attention: one promise each, checked case by case; `RULES` lists all of them."""

import torch

from heedful.testing.masks import MASKS
from heedful.testing.rules._rule import SIZES, Rule, grid, in_turn
from heedful.testing.rules._rule import Case as Case
from heedful.testing.rules._rule import describe as describe
from heedful.testing.rules.gradient import gradients, second_gradients
from heedful.testing.rules.masking import (
    empty_rows,
    hidden_keys_cannot_matter,
    hidden_keys_get_no_gradient,
    hidden_numbers_cannot_matter,
    other_masks_are_refused,
)
from heedful.testing.rules.output import (
    deterministic,
    inputs_unchanged,
    large_scores,
    matches_oracle,
    no_dropout,
    weights_make_the_output,
    weights_sum_to_one,
)
from heedful.testing.rules.symmetry import (
    batch_rows_do_not_meet,
    decoding_is_the_whole,
    grouped_heads_are_repeated_heads,
    heads_do_not_meet,
    memory_layout_does_not_matter,
    order_of_keys_does_not_matter,
    pieces_are_the_whole,
)
from heedful.testing.rules.tracing import compiles, exports

_WIDE = (torch.float64, torch.float32)
_HALF = (torch.bfloat16, torch.float16)
_FEW = ("none", "causal", "lengths", "both", "dense_shared")
_KEYS = ("lengths", "causal", "window", "both", "dense_shared")

RULES: dict[str, Rule] = {
    "output": Rule(
        "output and weights are those of the oracle",
        matches_oracle,
        in_turn(sizes=SIZES, kind=MASKS, dtype=_WIDE),
    ),
    "half_precision": Rule(
        "so they are in half precision, up to rounding; the dtype is kept",
        matches_oracle,
        in_turn(sizes=["fewer_queries", "square"], kind=MASKS, dtype=_HALF),
    ),
    "weights_make_the_output": Rule(
        "the weights times the values are the output",
        weights_make_the_output,
        grid(kind=MASKS),
    ),
    "weights_sum_to_one": Rule(
        "the visible keys share 1, hidden ones have 0", weights_sum_to_one, grid(kind=MASKS)
    ),
    "hidden_keys": Rule(
        "hidden keys and values cannot matter, bit for bit",
        hidden_keys_cannot_matter,
        grid(kind=_KEYS),
    ),
    "hidden_numbers": Rule(
        "neither can NaN and inf there, in the output and in gradients",
        hidden_numbers_cannot_matter,
        grid(kind=("lengths", "causal", "dense_shared"), number=(float("nan"), float("inf"))),
    ),
    "hidden_gradients": Rule(
        "a key that nobody sees gets gradient 0",
        hidden_keys_get_no_gradient,
        grid(kind=_KEYS),
    ),
    "empty_rows": Rule(
        "a query that sees nothing gives 0 with gradient 0",
        empty_rows,
        grid(dtype=_WIDE + _HALF, value_dim=(3, 6)),
    ),
    "refused_masks": Rule(
        "a mask that cannot be honoured is refused, not ignored",
        other_masks_are_refused,
        ({},),
    ),
    "gradients": Rule(
        "gradients are the quotients of differences",
        gradients,
        grid(
            kind=("none", "causal", "lengths", "both", "dense_shared", "blocks"), value_dim=(3, 2)
        ),
    ),
    "second_gradients": Rule(
        "so are the gradients of gradients",
        second_gradients,
        grid(kind=("none", "dense_shared"), value_dim=(3, 2)),
    ),
    "large_scores": Rule(
        "huge scores give finite outputs and gradients",
        large_scores,
        grid(dtype=(torch.float32, *_HALF)),
    ),
    "batch_rows": Rule("rows of a batch do not meet", batch_rows_do_not_meet, grid(kind=MASKS)),
    "heads": Rule("heads do not meet", heads_do_not_meet, grid(kind=("none", "lengths", "dense"))),
    "order_of_keys": Rule(
        "the order of keys does not matter",
        order_of_keys_does_not_matter,
        grid(kind=MASKS),
    ),
    "pieces": Rule(
        "queries in pieces get the same answers",
        pieces_are_the_whole,
        grid(kind=("none", "causal", "dense"), first=(1, 3)),
    ),
    "decoding": Rule(
        "step by step with the keys so far is the causal pass",
        decoding_is_the_whole,
        grid(kind=("causal", "window")),
    ),
    "grouped_heads": Rule(
        "shared key/value heads are repeated ones",
        grouped_heads_are_repeated_heads,
        grid(kind=MASKS),
    ),
    "memory_layout": Rule(
        "the layout in memory does not matter",
        memory_layout_does_not_matter,
        grid(kind=_FEW),
    ),
    "deterministic": Rule(
        "the same call gives the same bits", deterministic, grid(kind=("none", "both"))
    ),
    "inputs_unchanged": Rule(
        "inputs are not written to", inputs_unchanged, grid(kind=("none", "both"))
    ),
    "no_dropout": Rule("a dropout of 0 changes nothing", no_dropout, ({},)),
    "compiles": Rule(
        "torch.compile computes the same", compiles, grid(kind=("none", "lengths", "both"))
    ),
    "exports": Rule(
        "torch.export computes the same", exports, grid(kind=("none", "lengths", "both"))
    ),
}
