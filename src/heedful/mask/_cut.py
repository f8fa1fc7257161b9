"""A mask of some queries, keys and heads of a longer text, by their places in the whole."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from heedful.errors import ShapeError
from heedful.mask._base import At, Rule


class Whole(NamedTuple):
    """How many there are of each in the text that something was cut from."""

    heads: int
    queries: int
    keys: int


@final
@dataclass(frozen=True, eq=False, repr=False)
class Cut(Rule):
    rule: Rule
    first: Whole  # where the cut begins
    whole: Whole

    def visible(self, at: At) -> Tensor:
        head, query, key = self.first
        there = At(at.batch, at.head + head, at.query + query, at.key + key, *self.whole[1:])
        return self.rule.visible(there)

    def check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        for name, first, count, all_of_them in zip(
            Whole._fields, self.first, (heads, queries, keys), self.whole, strict=True
        ):
            if first + count > all_of_them:
                raise ShapeError(
                    f"a cut must lie within {all_of_them} {name}, got {first} to {first + count}"
                )
        self.rule.check_sizes(batch, *self.whole)

    def select(self, rows: Tensor) -> Rule:
        return Cut(self.rule.select(rows), self.first, self.whole)

    def map(self, change: Callable[[Tensor], Tensor]) -> Rule:
        return Cut(self.rule.map(change), self.first, self.whole)

    def device(self) -> torch.device:
        return self.rule.device()

    def __repr__(self) -> str:
        return f"({self.rule!r}).cut(first={tuple(self.first)}, whole={tuple(self.whole)})"
