"""What may be lost: a metric and the difference that is still fine, e.g. `chrf >= -0.5`."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from heedful.errors import ConfigError

_FORM = re.compile(r"(?P<metric>[^\s<>=!~]*)\s*(?P<comparison>[<>=!~]+)\s*(?P<number>\S.*|)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
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
        """Return the text that `parse_budget` reads."""
        margin = Decimal(repr(self.margin)) * (100 if self.relative else 1)
        # `normalize` would write 100 as 1E+2
        number = f"{margin:+f}"
        number = number.rstrip("0").rstrip(".") if "." in number else number
        number = number if self.margin else "0"  # the comparison says its sign
        comparison = ">=" if self.higher_is_better else "<="
        return f"{self.metric} {comparison} {number}{'%' if self.relative else ''}"


def parse_budget(text: str) -> Budget:
    """Read `METRIC >= -NUMBER` or `METRIC <= +NUMBER`; a `%` makes it a share of the score before.

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


def _value(number: str, divisor: int) -> float | None:
    """A share or a number, rounded once; `None` where it is no finite number."""
    if not _NUMBER.fullmatch(number):
        return None
    try:
        value = float(Decimal(number) / divisor)
    except ArithmeticError:  # an exponent that decimals cannot hold
        return None
    return value if math.isfinite(value) else None
