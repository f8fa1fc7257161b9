"""The claims of what turns dot products into weights in another way than softmax."""

import torch

from heedful import ops
from heedful.testing.claim import Claim
from heedful.testing.oracle import normalisers

NORMALISERS: dict[str, Claim] = {
    "entmax": Claim(
        attention=ops.entmax_attention,
        weights=ops.entmax_weights,
        oracle=normalisers.entmax,
        extras={"alpha": "heads"},
        domains={"alpha": lambda x: 1 + torch.sigmoid(x)},
        steps=(7, 7),  # in the search the weights are added up once more, and in the slope
    ),
    "scalable": Claim(
        attention=ops.scalable_attention,
        weights=ops.scalable_weights,
        oracle=normalisers.scalable,
        extras={"strength": "heads"},
        settings={"scale": 0.6},
    ),
    "sigmoid": Claim(
        attention=ops.sigmoid_attention,
        weights=ops.sigmoid_weights,
        oracle=normalisers.sigmoid,
        normalised=False,
    ),
    "sink": Claim(
        attention=ops.sink_attention,
        weights=ops.sink_weights,
        oracle=normalisers.sink,
        extras={"sink": "heads"},
        normalised=False,
    ),
    "sparsemax": Claim(
        attention=ops.sparsemax_attention,
        weights=ops.sparsemax_weights,
        oracle=normalisers.sparsemax,
        settings={"scale": 1.3},
    ),
    "temperature": Claim(
        attention=ops.temperature_attention,
        weights=ops.temperature_weights,
        oracle=normalisers.temperature,
        steps=(7, 7),  # the entropy and what the polynomial makes of its error
    ),
    "top_k": Claim(
        attention=ops.top_k_attention,
        weights=ops.top_k_weights,
        oracle=normalisers.top_k,
        settings={"kept": 3, "scale": 0.8},
    ),
}
