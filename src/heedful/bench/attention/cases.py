"""What is measured, as data: shapes, dtypes, and what is measured in the same rounds."""

import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from heedful.errors import ConfigError

Method = Literal["attend", "select_blocks", "select_pages", "overhead"]

DTYPES = ("bf16", "fp32")
BLOCK = 128
COVERAGE = 0.98  # share of the attention that chosen blocks hold, by the estimate
PASSES = 3.5  # the work of forward and backward, in forward passes: 2 products and 5 more

SWEEP = 200
SWEEP_SEED = 4
SWEEP_DIMS = (16, 24, 32, 40, 48, 64, 80, 96, 128)
SWEEP_OPERATIONS = 8e9  # what SDPA takes about 60 ms for
SWEEP_ELEMENTS = 2**25  # of queries, keys, values and output, so that 200 draws take seconds


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing to measure.

    Args:
        name: The case of the table that it belongs to.
        dtype: A key of `heedful.bench.attention.problem.DTYPES`.
        batch: Texts at once.
        heads: Heads, each with its own keys and values.
        queries: Of each head.
        keys: Of each head.
        dim: Of queries, keys and values.
        density: Which part of all blocks is visible; what `select` chooses is found out later.
        causal: The first query sees the first key, the second two, and so on.
        backward: Forward and backward, for all three gradients.
        method: What ours is: `attend`; a selection of blocks or pages and `attend`; or the fixed
            cost of `attend` alone.
        flex: Compile FlexAttention for it, where that is asked for.
    """

    name: str
    dtype: str
    queries: int
    keys: int
    batch: int = 1
    heads: int = 8
    dim: int = 64
    density: float = 1.0
    causal: bool = False
    backward: bool = False
    method: Method = "attend"
    flex: bool = False

    @property
    def sdpa_dtype(self) -> str:
        """Of the baseline: what is approximate must beat what it approximates, at its best."""
        return "fp32" if self.method == "select_blocks" else self.dtype

    @property
    def plain(self) -> bool:
        """Does it do all of the work, so that others are compared with it?"""
        return self.method == "attend" and self.density == 1 and not self.causal

    @property
    def bound_by_reading(self) -> bool:
        """Do so few queries use each key that reading the keys is the work?"""
        return self.name == "decode"

    def pairs(self) -> float:
        """Visible pairs of a query and a key, of one head, before blocks are left out."""
        if not self.causal:
            return self.queries * self.keys
        square = min(self.queries, self.keys)
        return square * (square + 1) / 2 + (self.queries - square) * self.keys

    def operations(self) -> float:
        """Multiplications and additions of the two products (and, backward, of five more)."""
        forward = 4 * self.batch * self.heads * self.pairs() * self.dim
        return forward * (PASSES if self.backward else 1)

    def bytes(self) -> int:
        """Of keys and values."""
        size = {"bf16": 2, "fp32": 4}[self.dtype]
        return 2 * self.batch * self.heads * self.keys * self.dim * size

    def __str__(self) -> str:
        words = [self.name, self.dtype, f"{self.batch} x {self.heads} heads"]
        words.append(f"{self.queries} x {self.keys} of {self.dim}")
        if self.density < 1:
            words.append(f"density {self.density:g}")
        words += [word for word in ("causal", "backward") if getattr(self, word)]
        return ", ".join(words if self.method == "attend" else [*words, self.method])


Group = tuple[Case, ...]  # measured in the same rounds, so that they can be compared


def _square(name: str, dtype: str, length: int, **settings: object) -> Case:
    return Case(name=name, dtype=dtype, queries=length, keys=length, **settings)  # pyright: ignore[reportArgumentType]


def _dense() -> Iterator[Group]:
    for dtype, dim, length in product(DTYPES, (32, 64, 128), (256, 1024, 4096, 16384)):
        heads = 2 if length == 16384 else 8  # SDPA alone would take seconds a call
        flex = dim == 64 and length in (1024, 4096)
        yield (_square("dense", dtype, length, heads=heads, dim=dim, flex=flex),)


def _causal() -> Iterator[Group]:
    for dtype, length in product(DTYPES, (1024, 4096, 16384)):
        heads = 2 if length == 16384 else 8
        dense = _square("causal", dtype, length, heads=heads)
        yield dense, _square("causal", dtype, length, heads=heads, causal=True, flex=length == 4096)


def _backward() -> Iterator[Group]:
    for dtype, length in product(DTYPES, (1024, 4096)):
        dense = _square("backward", dtype, length, backward=True)
        yield dense, _square("backward", dtype, length, backward=True, causal=True)


def _sparse() -> Iterator[Group]:
    for dtype, backward in product(DTYPES, (False, True)):
        yield tuple(
            _square(
                "sparse",
                dtype,
                8192,
                density=density,
                backward=backward,
                flex=density in (1, 1 / 8),
            )
            for density in (1, 1 / 2, 1 / 4, 1 / 8, 1 / 16)
        )


def _select() -> Iterator[Group]:
    for dtype in DTYPES:
        yield (_square("select", dtype, 8192, method="select_blocks"),)


def _decode() -> Iterator[Group]:
    for dtype, keys in product(DTYPES, (4096, 8192, 16384, 32768)):
        dense = Case(name="decode", dtype=dtype, queries=1, keys=keys)
        pages = Case(
            name="decode", dtype=dtype, queries=1, keys=keys, density=1 / 16, method="select_pages"
        )
        yield dense, pages


def _sweep() -> Iterator[Group]:
    draw = random.Random(SWEEP_SEED)
    found = 0
    while found < SWEEP:
        case = _drawn(draw)
        elements = case.batch * case.heads * case.dim * 2 * (case.queries + case.keys)
        if case.operations() <= SWEEP_OPERATIONS and elements <= SWEEP_ELEMENTS:
            found += 1
            yield (case,)


def _drawn(draw: random.Random) -> Case:
    def length() -> int:
        return round(math.exp(draw.uniform(0, math.log(2048))))

    queries = length()
    return Case(
        name="sweep",
        dtype=draw.choice(DTYPES),
        batch=round(math.exp(draw.uniform(0, math.log(32)))),
        heads=draw.randint(1, 16),
        queries=queries,
        keys=draw.choice((queries, length())),
        dim=draw.choice(SWEEP_DIMS),
        causal=draw.random() < 0.5,
        backward=draw.random() < 0.25,
    )


def _small() -> Iterator[Group]:
    for dtype, backward, dim, length in product(DTYPES, (False, True), (32, 64), (16, 32, 64)):
        yield (_square("small", dtype, length, batch=32, dim=dim, backward=backward),)


def _overhead() -> Iterator[Group]:
    for dtype in DTYPES:
        yield (_square("overhead", dtype, 8, heads=1, dim=16, method="overhead"),)


CASES: dict[str, Callable[[], Iterator[Group]]] = {
    "dense": _dense,
    "causal": _causal,
    "backward": _backward,
    "sparse": _sparse,
    "select": _select,
    "decode": _decode,
    "sweep": _sweep,
    "small": _small,
    "overhead": _overhead,
}


def groups(names: Iterable[str] | None = None) -> list[Group]:
    """What is measured together, in the order of the names; `None` means all cases.

    Raises:
        ConfigError: An unknown case.
    """
    found: list[Group] = []
    for name in CASES if names is None else names:
        if name not in CASES:
            raise ConfigError(f"cases must be among {', '.join(CASES)}, got {name!r}")
        found += CASES[name]()
    return found
