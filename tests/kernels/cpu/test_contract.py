"""The native kernel keeps the contract of attention, with every instruction set of this CPU."""

from dataclasses import dataclass

import pytest
import torch

import heedful
from heedful.kernels.call import Call
from heedful.kernels.cpu import operator
from heedful.kernels.cpu.isa import ISAS
from heedful.testing import oracle
from heedful.testing.claim import Claim
from heedful.testing.contracts import AttentionContract
from heedful.testing.covering import chosen
from heedful.testing.rules import RULES, describe

pytestmark = pytest.mark.usefixtures("kernel")

# quotients of differences need doubles, which the kernel refuses; test_autograd.py and
# test_operator.py compare its gradients with those of doubles
IN_DOUBLE = ("gradients", "second_gradients")


@dataclass(frozen=True, kw_only=True)
class InSingle(Claim):
    """Where a rule draws doubles, the kernel gets singles."""

    def draw(self, sizes, dtype=torch.float64):
        return super().draw(sizes, torch.float32 if dtype == torch.float64 else dtype)


def cases(*rules, key=None):
    """The cases of some rules, of all by default, each in single precision instead of double.

    All of them, or the share that a key draws.
    """
    found = {}
    for name in rules or RULES.keys() - IN_DOUBLE:
        every = RULES[name].cases
        for case in every if key is None else chosen(name, every, key):
            if case.get("dtype") == torch.float64:
                case = {**case, "dtype": torch.float32}
            found[f"{name}: {describe(case)}"] = (name, case)
    return [pytest.param(*found[key], id=key) for key in sorted(found)]


def native(query, key, value, **settings):
    return heedful.attend(query, key, value, impl="cpu", **settings)


def training(query, key, value, **settings):
    query = query if query.requires_grad else query.clone().requires_grad_()
    return native(query, key, value, **settings)


def through_the_operator(query, key, value, *, mask=None, bias=None, scale=None):
    return operator.attend(Call.of(query, key, value, mask, bias, scale))[0]


class TestNative(AttentionContract):
    @pytest.fixture
    def claim(self):
        return InSingle(attention=native, oracle=oracle.scaled_dot, twice_differentiable=False)

    @pytest.mark.parametrize("rule, case", cases())
    def test_keeps(self, claim, rule, case):
        super().test_keeps(claim, rule, case)


class TestWithBiasAndScale(AttentionContract):
    @pytest.fixture
    def claim(self):
        return InSingle(
            attention=native,
            oracle=oracle.scaled_dot,
            extras={"bias": "batch heads queries keys"},
            settings={"scale": 0.3},
            twice_differentiable=False,
        )

    @pytest.mark.parametrize("rule, case", cases(key="bias"))
    def test_keeps(self, claim, rule, case):
        super().test_keeps(claim, rule, case)


@pytest.mark.parametrize("attention", [training, through_the_operator])
class TestWhileTraining(AttentionContract):
    """What autograd keeps must not change the answer, nor must torch's dispatcher."""

    @pytest.fixture
    def claim(self, attention):
        return InSingle(attention=attention, oracle=oracle.scaled_dot, twice_differentiable=False)

    @pytest.mark.parametrize("rule, case", cases(key="training"))
    def test_keeps(self, claim, rule, case):
        super().test_keeps(claim, rule, case)


@pytest.mark.parametrize("isa", list(ISAS)[1:])
class TestOtherInstructions(AttentionContract):
    """The best one is tested above; of the rest, what may depend on the width of vectors."""

    @pytest.fixture
    def claim(self, use, isa):
        use(isa)
        return InSingle(attention=training, oracle=oracle.scaled_dot, twice_differentiable=False)

    @pytest.mark.parametrize(
        "rule, case",
        cases(
            *("output", "half_precision", "hidden_keys", "empty_rows", "large_scores"), key="isa"
        ),
    )
    def test_keeps(self, claim, rule, case):
        super().test_keeps(claim, rule, case)
