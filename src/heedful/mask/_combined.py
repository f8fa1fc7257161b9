"""Masks combined: the rules behind `&` and `|`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from heedful.mask._base import At, Rule
from heedful.mask._rules import FULL, Full


def both(one: Rule, other: Rule) -> Rule:
    """Visible where both rules say so."""
    if isinstance(one, Full):
        return other
    if isinstance(other, Full):
        return one
    return Both(
        (one.parts if isinstance(one, Both) else (one,))
        + (other.parts if isinstance(other, Both) else (other,))
    )


def either(one: Rule, other: Rule) -> Rule:
    """Visible where at least one rule says so."""
    if isinstance(one, Full) or isinstance(other, Full):
        return FULL
    return Either(
        (one.parts if isinstance(one, Either) else (one,))
        + (other.parts if isinstance(other, Either) else (other,))
    )


class Several(Rule):
    """Rules combined: what `&` and `|` share."""

    parts: tuple[Rule, ...]

    def check_sizes(self, batch: int, heads: int, queries: int, keys: int) -> None:
        for part in self.parts:
            part.check_sizes(batch, heads, queries, keys)

    def select(self, rows: Tensor) -> Rule:
        return type(self)(tuple(part.select(rows) for part in self.parts))  # pyright: ignore[reportCallIssue]

    def map(self, change: Callable[[Tensor], Tensor]) -> Rule:
        return type(self)(tuple(part.map(change) for part in self.parts))  # pyright: ignore[reportCallIssue]

    def device(self) -> torch.device:
        for part in self.parts:
            if part.device().type != "cpu":
                return part.device()
        return torch.device("cpu")

    def _joined(self, sign: str) -> str:
        return f" {sign} ".join(
            f"({part!r})" if isinstance(part, Several) else repr(part) for part in self.parts
        )


@final
@dataclass(frozen=True, eq=False, repr=False)
class Both(Several):
    parts: tuple[Rule, ...]

    def visible(self, at: At) -> Tensor:
        visible = self.parts[0].visible(at)
        for part in self.parts[1:]:
            visible = visible & part.visible(at)
        return visible

    def within(self, queries: int, keys: int) -> Rule:
        rule: Rule = FULL
        for part in self.parts:
            rule = both(rule, part.within(queries, keys))
        return rule

    def __repr__(self) -> str:
        return self._joined("&")


@final
@dataclass(frozen=True, eq=False, repr=False)
class Either(Several):
    parts: tuple[Rule, ...]

    def visible(self, at: At) -> Tensor:
        visible = self.parts[0].visible(at)
        for part in self.parts[1:]:
            visible = visible | part.visible(at)
        return visible

    def within(self, queries: int, keys: int) -> Rule:
        parts = [part.within(queries, keys) for part in self.parts]
        return FULL if FULL in parts else Either(tuple(parts))

    def __repr__(self) -> str:
        return self._joined("|")
