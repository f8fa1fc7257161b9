"""What must hold for every attention function, as a pytest class: subclass it, state the claim.

```python
class TestMine(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(attention=my_attention, oracle=oracle.scaled_dot)
```
"""

import pytest

from heedful.testing.claim import Claim, NotClaimed
from heedful.testing.rules import RULES, Case, describe

_CASES = [
    pytest.param(name, case, id=f"{name}: {describe(case)}")
    for name, rule in RULES.items()
    for case in rule.cases
]


class AttentionContract:
    """Subclass it with a fixture `claim` that returns a `Claim`."""

    @pytest.mark.parametrize("rule, case", _CASES)
    def test_keeps(self, claim: Claim, rule: str, case: Case) -> None:
        try:
            RULES[rule].check(claim, **case)
        except NotClaimed as reason:
            pytest.skip(str(reason))
