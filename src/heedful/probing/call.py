"""One captured call of an attention site: its weights, and what came out of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from heedful.errors import ConfigError
from heedful.probing.text_bounds import TextBounds, end_of, seen_in, text_bounds_of
from heedful.probing.weights import AttentionWeights, Masking, ScaledDotWeights


@dataclass(frozen=True, kw_only=True)
class ProbedCall:
    """One captured call of a site.

    Args:
        weights: What it takes to compute the weights again.
        shown: Which of the map's heads were asked for.
        value: `(batch, kv_heads, keys, value_dim)`.
        output: What the model went on with, at the rows that were kept.
        compared: What `output` is, in words.
        finish: From the mixed values `(batch, heads, rows, value_dim)`, of these of the rows that
            were kept, to what `output` is. `None` means that `output` are the mixed values.
        linear: Is it linear in them, but for what it adds?
        unverifiable: Why `output` is not what the map gives, e.g. dropout. `None` means: it is.
        padding_rows: Rows that only are padding, `(batch, rows)`; what they hold is no output.
        parameters: What `finish` depends on, as it was.
        gradients: Of what was asked of the model, by `output`: one for each backward pass.
    """

    weights: AttentionWeights
    shown: tuple[int, ...]
    value: Tensor
    output: Tensor
    compared: str
    finish: Callable[[Tensor, Sequence[int]], Tensor] | None = None
    linear: bool = True
    unverifiable: str | None = None
    padding_rows: Tensor | None = None
    parameters: tuple["ParameterVersion", ...] = ()
    gradients: list[Tensor] = field(default_factory=list[Tensor])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """That of the map: batch, heads, rows and keys."""
        attention = self.weights
        return attention.batch, len(self.shown), len(attention.rows), attention.keys

    @property
    def heads(self) -> tuple[int, ...]:
        """The numbers of the heads of the map."""
        return tuple(self.weights.heads[head] for head in self.shown)

    @property
    def rows(self) -> list[int]:
        """The numbers of the query rows of the map."""
        return self.weights.rows.tolist()

    @property
    def queries(self) -> int:
        """How many query rows there were."""
        return self.weights.queries


@dataclass(frozen=True)
class ParameterVersion:
    """A parameter, and what tells whether it was changed since."""

    tensor: Tensor
    seen: tuple[int, int]

    @staticmethod
    def of(*tensors: Tensor | None) -> "tuple[ParameterVersion, ...]":
        return tuple(
            ParameterVersion(tensor, _version(tensor)) for tensor in tensors if tensor is not None
        )

    def changed(self) -> bool:
        return _version(self.tensor) != self.seen


def _version(tensor: Tensor) -> tuple[int, int]:
    # tensors made in inference mode have no version, and refuse to be changed outside of it
    return tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version


@dataclass(frozen=True, kw_only=True)
class CaptureOptions:
    """What of each call is kept.

    Args:
        heads: Which heads. `None` means all.
        rows: Which query rows. `None` means all.
        device: Where. `None` means: where it is.
        enough_rows: Once the kept calls of a site have so many rows, of all texts of the batch,
            no more of them are kept. `None` means that all are.
        gradients: Are those of the outputs kept too, while they are computed?
    """

    heads: tuple[int, ...] | None = None
    rows: slice | tuple[int, ...] | None = None
    device: torch.device | None = None
    enough_rows: int | None = None
    gradients: bool = False

    def heads_of(self, heads: int) -> tuple[int, ...]:
        """The numbers of the heads to keep.

        Raises:
            ConfigError: There is no such head.
        """
        for head in self.heads or ():
            if head >= heads:
                raise ConfigError(f"heads must be below {heads} here, got {head}")
        return tuple(range(heads)) if self.heads is None else self.heads

    def rows_of(self, queries: int) -> Tensor:
        """The numbers of the query rows to keep.

        Raises:
            ConfigError: There is no such row.
        """
        if self.rows is None or isinstance(self.rows, slice):
            return torch.arange(queries)[slice(None) if self.rows is None else self.rows]
        for row in self.rows:
            if not -queries <= row < queries:
                raise ConfigError(f"rows must be in {-queries} to {queries - 1} here, got {row}")
        return torch.tensor([row % queries for row in self.rows], dtype=torch.long)

    def copy_of(self, tensor: Tensor) -> Tensor:
        """A copy without a graph: what the model writes into its memory later does not matter."""
        copy = tensor.detach().to(self.device or tensor.device)
        return copy.clone(memory_format=torch.contiguous_format)


@dataclass(frozen=True, kw_only=True)
class Subset:
    """What of one call is kept: these heads and rows, of so many.

    Args:
        options: What was asked for.
        heads: Which heads.
        rows: Which query rows.
        queries: Query rows that there were.
        groups: Heads that share one of keys and values.
        self_attention: Do queries look at their own keys, the last ones?
        extra: Keys that the module put behind those of its input.
    """

    options: CaptureOptions
    heads: tuple[int, ...]
    rows: Tensor
    queries: int
    kv_heads: tuple[int, ...] = field(init=False)
    sources: tuple[int, ...] = field(init=False)
    groups: int = 1
    self_attention: bool = False
    extra: int = 0

    def __post_init__(self) -> None:
        groups = [head // self.groups for head in self.heads]
        sources = tuple(sorted(set(groups)))
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "kv_heads", tuple(sources.index(group) for group in groups))

    def of_query(self, query: Tensor) -> Tensor:
        """Of `(batch, heads, queries, ...)`."""
        return self.of_rows(self._some(query, self.heads), axis=2)

    def of_rows(self, tensor: Tensor, *, axis: int) -> Tensor:
        """Of a tensor in which this axis is that of the queries."""
        return self.options.copy_of(self._rows(tensor, axis))

    def of_key(self, key: Tensor) -> Tensor:
        """Of `(batch, kv_heads, keys, ...)`, the heads that chosen queries look at."""
        return self.options.copy_of(self._some(key, self.sources))

    def of_rule(self, rule: Tensor, keys: int) -> Tensor:
        """Of `(batch, heads, queries, keys)`, axes of size 1 standing for all; not copied whole."""
        rule = rule.detach() if rule.shape[1] == 1 else self._some(rule.detach(), self.heads)
        rule = rule if rule.shape[2] == 1 else self._rows(rule, 2)
        return rule.expand(*rule.shape[:3], keys).to(self.options.device or rule.device)

    def _some(self, tensor: Tensor, heads: Sequence[int]) -> Tensor:
        every = list(heads) == list(range(tensor.shape[1]))
        return tensor if every else tensor[:, list(heads)]

    def _rows(self, tensor: Tensor, axis: int) -> Tensor:
        if self.options.rows is None:
            return tensor
        return tensor.index_select(axis, self.rows.to(tensor.device))


def scaled_dot(
    subset: Subset,
    query: Tensor,
    key: Tensor,
    *,
    scale: float,
    masking: Masking,
    softcap: float | None = None,
    sinks: Tensor | None = None,
) -> ScaledDotWeights:
    """Keep what was chosen of a softmax of scaled products.

    Args:
        subset: Which heads and rows.
        query: `(batch, heads, queries, dim)`.
        key: `(batch, kv_heads, keys, dim)`.
        scale: Factor of the product.
        masking: Who sees whom, for all heads and rows.
        softcap: As in `ScaledDotWeights`.
        sinks: As in `ScaledDotWeights`, of all heads.
    """
    keys, device = key.shape[2], subset.options.device
    return ScaledDotWeights(
        batch=len(key),
        heads=subset.heads,
        kv_heads=subset.kv_heads,
        rows=subset.rows.to(device or query.device),
        queries=subset.queries,
        keys=keys,
        self_attention=subset.self_attention,
        bounds=_bounds(subset, masking, len(key), keys) if subset.self_attention else None,
        query=subset.of_query(query),
        key=subset.of_key(key),
        scale=scale,
        masking=Masking(
            mask=masking.mask
            if masking.mask is None or device is None
            else masking.mask.to(device),
            visible=tuple(subset.of_rule(rule, keys) for rule in masking.visible),
            added=tuple(subset.of_rule(rule, keys) for rule in masking.added),
            causal=masking.causal,
            uniform=masking.uniform,
        ),
        softcap=softcap,
        sinks=None if sinks is None else subset.options.copy_of(subset.of_rule(sinks, 1)),
    )


def _bounds(subset: Subset, masking: Masking, batch: int, keys: int) -> TextBounds | None:
    """Where the text is, as far as tensors tell: before rows are chosen they know all of it."""
    seen = seen_in(masking.visible, masking.added, keys)
    if seen is None:
        if not subset.extra:
            return None
        seen = torch.ones(1, 1, 1, keys, dtype=torch.bool, device=subset.rows.device)
    device, queries = seen.device, subset.queries
    end = end_of(seen[..., : keys - subset.extra], queries)
    every = torch.arange(queries, device=device)
    found = text_bounds_of([(every, seen)], batch=batch, queries=queries, end=end)
    padding = found.padding[:, subset.rows.to(device)]
    target = subset.options.device or device
    start = None if found.start is None else found.start.to(target)
    return TextBounds(padding.to(target), start, end.to(target))
