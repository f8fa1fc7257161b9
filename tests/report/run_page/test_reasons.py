"""Reasons that the package gives have their words in Chinese; those of others stay."""

import ast
import importlib
import inspect
import re

import pytest

from heedful.allocation.adapters._transformers_sites import Dropped
from heedful.nn.attention_gate import AttentionGate
from heedful.nn.co.alternating import AlternatingCoAttention
from heedful.nn.co.bidaf import BidafAttention
from heedful.nn.co.parallel import ParallelCoAttention
from heedful.nn.vision import Cbam, Eca, SqueezeExcitation
from heedful.report.run_page.reasons import in_chinese
from heedful.report.run_page.words import Words
from heedful.tasks.catalog import BUILT_IN

SAY_WHY = (
    *(AlternatingCoAttention, AttentionGate, BidafAttention, Cbam),
    *(Dropped, Eca, ParallelCoAttention, SqueezeExcitation),
)


@pytest.mark.parametrize("kind", SAY_WHY)
def test_layers_that_say_why_they_have_no_map(kind):
    said = in_chinese(kind.heedful_reason)
    assert re.search("[\u4e00-\u9fff]", said)
    assert (kind.__name__ in said) is kind.heedful_reason.startswith(kind.__name__)


@pytest.mark.parametrize("name", BUILT_IN)
def test_tasks_that_say_why_they_cannot_be_asked(name):
    module = importlib.import_module(f"heedful.tasks.{name.replace('-', '_')}.question")
    for call in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "UnsupportedError":
            (told,) = call.args
            parts = told.values if isinstance(told, ast.JoinedStr) else [told]
            words = [part.value if isinstance(part, ast.Constant) else "''" for part in parts]
            assert in_chinese("".join(words)) is not None, words


def test_a_name_in_a_reason_stays():
    assert in_chinese("Foo is attention that no adapter knows") == "Foo 是没有适配器认识的注意力"
    assert "Foo" in in_chinese("Foo does not go through the attention interface of transformers")


def test_what_the_package_does_not_say_stays_as_it_is():
    assert in_chinese("the reason of somebody else") is None
    assert Words("zh").reason("of somebody else") == {"said": "of somebody else", "lang": "en"}
    reason = "it was not called while the probe was open"
    assert Words("en").reason(reason) == {"said": reason, "lang": "en"}
    assert Words("zh").reason(reason) == {"said": "作答时没有被调用", "lang": "zh-Hans"}
