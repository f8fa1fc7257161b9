"""A share of the cases of each rule: for a suite that holds many functions to one contract."""

import random
from collections.abc import Sequence
from typing import Any

from heedful.testing.rules import RULES, Case

# By these rules a function meets a third of the kinds of masks that they name, and by all others
# every one: "output" has shown what each kind means, and the last four take most of the time.
THINNED = (
    *("half_precision", "weights_make_the_output", "weights_sum_to_one", "batch_rows"),
    *("order_of_keys", "grouped_heads", "gradients", "second_gradients", "compiles", "exports"),
)
SHARE = 3


def covering(key: str) -> list[tuple[str, Case]]:
    """Choose cases so that pairs of a function and a setting, and of two settings, are met.

    By every rule, a function meets each size, each dtype, and so on of what the rule names; which
    of them go together, and which kinds of masks are left out, is drawn for each function anew.
    With some forty functions, every two settings of a rule go together for one of them.

    Args:
        key: Names the function; the same key gives the same cases.

    Returns:
        Names of rules, each with a case, in their order.
    """
    return [(name, case) for name, rule in RULES.items() for case in chosen(name, rule.cases, key)]


def chosen(name: str, cases: Sequence[Case], key: str) -> list[Case]:
    """Choose some cases of the rule of that name; see `covering`."""
    drawn = random.Random(f"{key} {name}").sample(list(cases), len(cases))
    kinds = list(dict.fromkeys(case["kind"] for case in drawn if "kind" in case))
    if name in THINNED:
        kept = kinds[: -(-len(kinds) // SHARE)]
        drawn = [case for case in drawn if case["kind"] in kept]
    missing: set[tuple[str, Any]] = {setting for case in drawn for setting in case.items()}
    found = [drawn[0]]
    missing -= set(found[0].items())
    while missing:
        found.append(max(drawn, key=lambda case: len(missing & set(case.items()))))
        missing -= set(found[-1].items())
    return [case for case in cases if case in found]
