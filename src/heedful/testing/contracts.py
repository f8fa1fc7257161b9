"""What must hold for every attention function, as a pytest class: subclass it, state the claim.

```python
class TestMine(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(attention=my_attention, oracle=oracle.scaled_dot)
```
"""

from typing import ClassVar

import pytest

from heedful.testing.claim import Claim, NotClaimed
from heedful.testing.covering import covering
from heedful.testing.rules import RULES, Case, describe


class AttentionContract:
    """Subclass it with a fixture `claim` that returns a `Claim`.

    Where many functions are held to it, set `every_case` to `False`: each of them then meets every
    rule in a share of its cases, and other ones than the next; see `heedful.testing.covering`.
    """

    every_case: ClassVar[bool] = True

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        given = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
        if metafunc.function.__name__ == "test_keeps" and "rule, case" not in given:
            metafunc.parametrize("rule, case", cases_of(type(self)))

    def test_keeps(self, claim: Claim, rule: str, case: Case) -> None:
        reasons: list[str] = []
        # what was drawn may be what is not claimed: another case then, so that no rule is left out
        for one in (case, *(() if self.every_case else RULES[rule].cases)):
            try:
                RULES[rule].check(claim, **one)
            except NotClaimed as reason:
                reasons.append(str(reason))
            else:
                return
        pytest.skip(reasons[0])


def cases_of(contract: type[AttentionContract]) -> list[object]:
    """The parameters of `test_keeps`: a rule and a case, named in words."""
    if contract.every_case:
        found = [(name, case) for name, rule in RULES.items() for case in rule.cases]
    else:
        found = covering(f"{contract.__module__.rpartition('.')[2]}.{contract.__qualname__}")
    return [pytest.param(name, case, id=f"{name}: {describe(case)}") for name, case in found]
