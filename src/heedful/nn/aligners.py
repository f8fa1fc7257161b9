"""How a recurrent decoder aligns with its source: the mechanisms of `heedful.ops` with parameters.

Every aligner turns decoder states and encoder states into weights in two steps, because the second
runs once for each target position and the first need not: `prepare` projects the encoder states,
`forward` compares one or more decoder states with them. Those that are `stepwise` also look at what
was attended to before: they take one decoder state at a time, and `remember` makes the history.
"""

import abc

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.ops.additive import additive_weights
from heedful.ops.coverage import coverage_weights
from heedful.ops.dot import dot_weights
from heedful.ops.general import general_weights
from heedful.ops.location import location_weights
from heedful.ops.scaled_dot import scaled_dot_weights

Queries = Float[Tensor, "batch queries query_width"]
Keys = Float[Tensor, "batch keys key_width"]
Prepared = Float[Tensor, "batch keys prepared_width"]
Weights = Float[Tensor, "batch queries keys"]
History = Float[Tensor, "batch keys"]


class Aligner(nn.Module, abc.ABC):
    """Where decoder states look among encoder states.

    Args:
        query_width: Size of the decoder states.
        key_width: Size of the encoder states.
        hidden: Size of the space in which they are compared, where there is one.
    """

    stepwise = False  # does where one query looked change where the next one looks?

    @abc.abstractmethod
    def __init__(self, *, query_width: int, key_width: int, hidden: int) -> None:
        super().__init__()

    @abc.abstractmethod
    def prepare(self, keys: Keys) -> Prepared:
        """Return what `forward` needs of the encoder states, once for all queries."""

    @abc.abstractmethod
    def forward(
        self, query: Queries, prepared: Prepared, *, mask: Mask, history: History | None = None
    ) -> Weights:
        """Return the weights; `history` is what `remember` returned, `None` at the start."""

    def remember(self, history: History | None, weights: Weights) -> History | None:
        """Return what the next step must know about these weights: nothing, unless `stepwise`."""
        return None


class Additive(Aligner):
    """`v . tanh(W_q query + W_k key + b)`; the paper has no `b`.

    Source:
        Bahdanau et al. 2014, arXiv:1409.0473, appendix A.1.2.

    Cost:
        Stores `queries x keys x hidden` numbers, `hidden` times what dot products need.
    """

    def __init__(self, *, query_width: int, key_width: int, hidden: int) -> None:
        super().__init__(query_width=query_width, key_width=key_width, hidden=hidden)
        self.query = nn.Linear(query_width, hidden, bias=False)
        self.key = nn.Linear(key_width, hidden)
        self.score = _vector(hidden)

    def prepare(self, keys: Keys) -> Prepared:
        return self.key(keys)

    def forward(
        self, query: Queries, prepared: Prepared, *, mask: Mask, history: History | None = None
    ) -> Weights:
        query, key = self.query(query)[:, None], prepared[:, None]
        return additive_weights(query, key, score_weight=self.score, mask=mask)[:, 0]


class Dot(Aligner):
    """`query . key`, once the keys are projected to the width of the queries where it differs.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (dot).
    """

    def __init__(self, *, query_width: int, key_width: int, hidden: int) -> None:
        super().__init__(query_width=query_width, key_width=key_width, hidden=hidden)
        same = query_width == key_width
        self.key = nn.Identity() if same else nn.Linear(key_width, query_width, bias=False)

    def prepare(self, keys: Keys) -> Prepared:
        return self.key(keys)

    def forward(
        self, query: Queries, prepared: Prepared, *, mask: Mask, history: History | None = None
    ) -> Weights:
        return dot_weights(query[:, None], prepared[:, None], mask=mask)[:, 0]


class ScaledDot(Aligner):
    """`(W_q query) . (W_k key) / sqrt(hidden)`.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1.
    """

    def __init__(self, *, query_width: int, key_width: int, hidden: int) -> None:
        super().__init__(query_width=query_width, key_width=key_width, hidden=hidden)
        self.query = nn.Linear(query_width, hidden, bias=False)
        self.key = nn.Linear(key_width, hidden, bias=False)

    def prepare(self, keys: Keys) -> Prepared:
        return self.key(keys)

    def forward(
        self, query: Queries, prepared: Prepared, *, mask: Mask, history: History | None = None
    ) -> Weights:
        return scaled_dot_weights(self.query(query)[:, None], prepared[:, None], mask=mask)[:, 0]


class General(Aligner):
    """`query . W key`.

    Source:
        Luong et al. 2015, arXiv:1508.04025, section 3.1 (general).
    """

    def __init__(self, *, query_width: int, key_width: int, hidden: int) -> None:
        super().__init__(query_width=query_width, key_width=key_width, hidden=hidden)
        self.weight = nn.Parameter(torch.empty(1, query_width, key_width))
        nn.init.xavier_uniform_(self.weight[0])

    def prepare(self, keys: Keys) -> Prepared:
        return keys

    def forward(
        self, query: Queries, prepared: Prepared, *, mask: Mask, history: History | None = None
    ) -> Weights:
        query, key = query[:, None], prepared[:, None]
        return general_weights(query, key, weight=self.weight, mask=mask)[:, 0]


class Location(Aligner):
    """Additive, and the score also sees a convolution of the weights of the step before.

    `v . tanh(W_q query + W_k key + U f + b)`, `f = convolution(previous weights)`.

    Source:
        Chorowski et al. 2015, arXiv:1506.07503, section 2.2, equations 8 and 9.
    """

    stepwise = True

    def __init__(
        self, *, query_width: int, key_width: int, hidden: int, filters: int = 8, kernel: int = 7
    ) -> None:
        super().__init__(query_width=query_width, key_width=key_width, hidden=hidden)
        self.query = nn.Linear(query_width, hidden, bias=False)
        self.key = nn.Linear(key_width, hidden)
        self.kernel = nn.Parameter(torch.randn(filters, 1, kernel) * kernel**-0.5)
        self.location = nn.Parameter(torch.randn(1, filters, hidden) * filters**-0.5)
        self.score = _vector(hidden)

    def prepare(self, keys: Keys) -> Prepared:
        return self.key(keys)

    def forward(
        self, query: Queries, prepared: Prepared, *, mask: Mask, history: History | None = None
    ) -> Weights:
        return location_weights(
            self.query(query)[:, None],
            prepared[:, None],
            previous=_history(history, prepared),
            kernel=self.kernel,
            location_weight=self.location,
            score_weight=self.score,
            mask=mask,
        )[:, 0]

    def remember(self, history: History | None, weights: Weights) -> History:
        """Return what the next step must know: these weights."""
        return weights[:, -1]


class Coverage(Aligner):
    """Additive, and the score also sees how much each key was attended to so far.

    `v . tanh(W_q query + W_k key + w coverage + b)`, `coverage = sum of the weights so far`.

    Source:
        See et al. 2017, arXiv:1704.04368, section 2.3, equations 10 and 11.
    """

    stepwise = True

    def __init__(self, *, query_width: int, key_width: int, hidden: int) -> None:
        super().__init__(query_width=query_width, key_width=key_width, hidden=hidden)
        self.query = nn.Linear(query_width, hidden, bias=False)
        self.key = nn.Linear(key_width, hidden)
        self.coverage = _vector(hidden)
        self.score = _vector(hidden)

    def prepare(self, keys: Keys) -> Prepared:
        return self.key(keys)

    def forward(
        self, query: Queries, prepared: Prepared, *, mask: Mask, history: History | None = None
    ) -> Weights:
        return coverage_weights(
            self.query(query)[:, None],
            prepared[:, None],
            coverage=_history(history, prepared),
            coverage_weight=self.coverage,
            score_weight=self.score,
            mask=mask,
        )[:, 0]

    def remember(self, history: History | None, weights: Weights) -> History:
        """Return what the next step must know: the sum of all weights so far.

        In float32 at least: a sum in bf16 soon stops growing.
        """
        new = weights[:, -1].to(torch.promote_types(weights.dtype, torch.float32))
        return new if history is None else history + new


ALIGNERS: dict[str, type[Aligner]] = {
    "additive": Additive,
    "coverage": Coverage,
    "dot": Dot,
    "general": General,
    "location": Location,
    "scaled_dot": ScaledDot,
}


def aligner(name: str, *, query_width: int, key_width: int, hidden: int) -> Aligner | None:
    """Build an aligner by name; `none` builds nothing.

    Raises:
        ConfigError: `name` is neither in `ALIGNERS` nor `none`.
    """
    if name == "none":
        return None
    if name not in ALIGNERS:
        raise ConfigError(f"attention must be one of {', '.join(ALIGNERS)}, none, got {name!r}")
    return ALIGNERS[name](query_width=query_width, key_width=key_width, hidden=hidden)


def _vector(hidden: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(1, hidden) * hidden**-0.5)


def _history(history: History | None, prepared: Prepared) -> Float[Tensor, "batch 1 keys"]:
    if history is None:  # before the first step nothing was attended to
        return prepared.new_zeros(prepared.shape[0], 1, prepared.shape[1])
    return history[:, None]
