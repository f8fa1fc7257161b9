"""What may be lost: a metric and how much of it, e.g. `chrf 0.5` or `loss 2%`."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from heedful.errors import ConfigError

LOWER_IS_BETTER = ("loss",)  # of every other metric more is, where nothing says otherwise
_LOSE = re.compile(r"(?P<metric>[^\s<>=!~]+)\s+(?P<sign>[+-]?)(?P<number>[^\s<>=!~+-][^<>=!~]*)")
_FORM = re.compile(r"(?P<metric>[^\s<>=!~]*)\s*(?P<comparison>[<>=!~]+)\s*(?P<number>\S.*|)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_LOSSES = "such as 'chrf 0.5' or 'loss 2%'"
_EXAMPLES = "such as 'chrf >= -0.5' or 'loss <= +0.05'"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much worse a metric may be after than before.

    Args:
        metric: Its name.
        margin: The difference, after less before, that is still fine: not above 0 where higher is
            better, not below 0 where lower is better. Zero has a sign too: -0.0 allows no loss of a
            metric of which higher is better.
        relative: Is `margin` a share of the score before?

    Raises:
        ConfigError: `metric` is empty, or `margin` is not finite.
    """

    metric: str
    margin: float
    relative: bool = False

    def __post_init__(self) -> None:
        if not self.metric:
            raise ConfigError("a budget must name its metric, got an empty name")
        if not math.isfinite(self.margin):
            raise ConfigError(f"the margin of a budget must be finite, got {self.margin}")

    @property
    def higher_is_better(self) -> bool:
        """Is the metric one of which more is better?"""
        return math.copysign(1, self.margin) < 0

    def allowed(self, before: float) -> float:
        """Return the difference that is still fine, given the score before."""
        return self.margin * abs(before) if self.relative else self.margin

    def check(self, before: float, *, floor: float | None) -> None:
        """Check that the original has more to lose than is allowed.

        A model that scores 0.3 and may lose 0.5 may lose everything: no verdict would refuse any,
        one that always writes the same sign included.

        Args:
            before: The score of the original.
            floor: What no model can score less than. `None` means not known.

        Raises:
            ConfigError: A model of the lowest possible score would keep the budget.
        """
        if floor is not None and before + self.allowed(before) <= floor:
            raise ConfigError(
                "the original must have more to lose than the budget allows, got "
                f"{self.metric} {before:.4g} and {self}: no model could be refused"
            )

    def __str__(self) -> str:
        """Return the text that `parse_lose` reads."""
        usual = self.higher_is_better == (self.metric not in LOWER_IS_BETTER)
        sign = "" if usual else "-" if self.higher_is_better else "+"
        return f"{self.metric} {sign}{_written(abs(self.margin), relative=self.relative)}"

    @property
    def comparison(self) -> str:
        """The text that `parse_budget` reads, by which older versions know a search."""
        number = _written(self.margin, relative=self.relative)
        number = f"+{number}" if self.margin > 0 else number if self.margin else number.lstrip("-")
        return f"{self.metric} {'>=' if self.higher_is_better else '<='} {number}"


def parse_lose(text: str, *, lower_is_better: Collection[str] = LOWER_IS_BETTER) -> Budget:
    """Read `METRIC NUMBER`: how much of it may be lost; a `%` makes it a share of the score before.

    A sign before the number says in which direction the metric gets worse: `-` where more of it is
    better, `+` where less is. Without one more is better, except of the metrics that are named.

    Args:
        text: E.g. `chrf 0.5`, `loss 0.05`, `loss 0.5%` or `error +2`.
        lower_is_better: Metrics of which less is better.

    Raises:
        ConfigError: The text does not have this form, or the number is not finite.
    """
    found = _LOSE.fullmatch(text.strip())
    if found is None:
        older = " >= and <= are of the older --keep." if re.search("[<>]=", text) else ""
        raise ConfigError(f"lose must read METRIC NUMBER, {_LOSSES}, got {text!r}.{older}")
    number = found["number"].strip()
    relative = number.endswith("%")
    margin = _value(number.removesuffix("%").rstrip(), 100 if relative else 1)
    if margin is None:
        raise ConfigError(f"lose must end in a finite number, {_LOSSES}, got {text!r}")
    higher = found["sign"] == "-" if found["sign"] else found["metric"] not in lower_is_better
    margin = math.copysign(margin, -1 if higher else 1)
    return Budget(metric=found["metric"], margin=margin, relative=relative)


def as_budget(
    lose: float | str | Budget, *, lower_is_better: Collection[str] = LOWER_IS_BETTER
) -> Budget:
    """Return a budget from the forms in which it may be given.

    Args:
        lose: A budget, the text of one, or how much less the quality may be.
        lower_is_better: Metrics of which less is better.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(lose, Budget):
        return lose
    if isinstance(lose, str):
        return parse_lose(lose, lower_is_better=lower_is_better)
    if not lose >= 0:
        raise ConfigError(
            f"lose must be at least 0, got {lose}; of what should be low say 'quality +0.01'"
        )
    return Budget(metric="quality", margin=-float(lose))


def budget_of_keep(keep: float | str | Budget) -> Budget:
    """Return a budget from what `keep` was in older versions: the difference that is still fine.

    Args:
        keep: A budget, a text such as `chrf >= -0.5`, or a number with a sign.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(keep, Budget):
        return keep
    if isinstance(keep, str):
        return parse_budget(keep)
    if keep == 0:
        raise ConfigError(
            "keep must be a margin with a sign, below 0 where more is better, got 0; "
            "to allow no loss at all say 'quality >= 0'"
        )
    return Budget(metric="quality", margin=float(keep))


def parse_budget(text: str) -> Budget:
    """Read the older form, `METRIC >= -NUMBER` or `METRIC <= +NUMBER`.

    `>=` says that higher is better, `<=` that lower is. The number is the difference, after less
    before, that is still fine.

    Args:
        text: E.g. `chrf >= -0.5`, `loss <= +0.05` or `loss <= 0.5%`.

    Raises:
        ConfigError: The text does not have this form, the number is not finite, or its sign asks
            for a gain.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"a budget must read METRIC >= NUMBER, {_EXAMPLES}, got {text!r}")
    metric, comparison = found["metric"], found["comparison"]
    if not metric:
        raise ConfigError(f"a budget must begin with its metric, {_EXAMPLES}, got {text!r}")
    if comparison not in (">=", "<="):
        raise ConfigError(
            f"a budget must compare by >= (higher is better) or <= (lower is better), "
            f"got {comparison} in {text!r}"
        )
    number = found["number"].strip()
    relative = number.endswith("%")
    number = number.removesuffix("%").rstrip()
    margin = _value(number, 100 if relative else 1)
    if margin is None:
        raise ConfigError(
            f"a budget must end in a finite number, {_EXAMPLES}, got {number!r} in {text!r}"
        )
    higher = comparison == ">="
    if margin and higher != (margin < 0):
        raise ConfigError(
            f"the number behind {comparison} must not be {'above' if higher else 'below'} 0, "
            f"for it is how far {metric} may {'fall' if higher else 'rise'}, got {text!r}"
        )
    return Budget(
        metric=metric, margin=math.copysign(margin, -1 if higher else 1), relative=relative
    )


def _written(margin: float, *, relative: bool) -> str:
    """A number in full, for `normalize` would write 100 as 1E+2."""
    number = f"{Decimal(repr(margin)) * (100 if relative else 1):f}"
    number = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{number}%" if relative else number


def _value(number: str, divisor: int) -> float | None:
    """A share or a number, rounded once; `None` where it is no finite number."""
    if not _NUMBER.fullmatch(number):
        return None
    try:
        value = float(Decimal(number) / divisor)
    except ArithmeticError:  # an exponent that decimals cannot hold
        return None
    return value if math.isfinite(value) else None
