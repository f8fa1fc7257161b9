"""What comes of measuring: rows of numbers, and what belongs to them but stands beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heedful.bench.timing import Ratio


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case, measured. A number that there is none of is `None`.

    Args:
        case: Its name in the table.
        dtype: Of queries, keys and values.
        batch: Texts at once.
        heads: Heads.
        queries: Of each head.
        keys: Of each head.
        dim: Of queries, keys and values.
        density: Part of all blocks that is visible.
        causal: Whether the future is hidden.
        backward: Whether three gradients were computed as well.
        threads: Of torch.
        ours_ms: Median milliseconds of a call; of `overhead`, what it takes
            beside its kernel.
        sdpa_ms: Of `scaled_dot_product_attention`: without a mask where ours has blocks, and in
            float32 where ours selects.
        flex_ms: Of compiled FlexAttention with the same mask.
        speedup: SDPA's time by ours: the median of all rounds.
        error: Relative L2 distance to float64 (see `heedful.bench.attention.error`).
        sdpa_error: The same of SDPA.
        matrix_fraction: Part of the rate of a 2048^3 matrix product of the same dtype and threads;
            forward and backward counts as 3.5 forward passes. Where one query decodes: part of the
            rate at which the same memory can be read.
    """

    case: str
    dtype: str
    batch: int
    heads: int
    queries: int
    keys: int
    dim: int
    density: float
    causal: bool
    backward: bool
    threads: int
    ours_ms: float
    sdpa_ms: float
    flex_ms: float | None
    speedup: float | None
    error: float | None
    sdpa_error: float | None
    matrix_fraction: float | None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A row, how it spreads, and what was measured in the same rounds.

    Args:
        row: The numbers.
        spread: The middle half of our milliseconds.
        speedup: Against SDPA, with its middle half.
        of_dense: Our time by our own without any mask, in the same rounds.
        dense: The row of that.
    """

    row: Row
    spread: tuple[float, float]
    speedup: Ratio | None
    of_dense: Ratio | None = None
    dense: Row | None = None

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Measurement":
        """The inverse of `dataclasses.asdict`."""

        def factor(name: str) -> Ratio | None:
            return None if data[name] is None else Ratio(**data[name])

        low, high = data["spread"]
        return Measurement(
            row=Row(**data["row"]),
            spread=(low, high),
            speedup=factor("speedup"),
            of_dense=factor("of_dense"),
            dense=None if data["dense"] is None else Row(**data["dense"]),
        )
