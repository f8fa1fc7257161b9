"""Reasons that the package gives have their words in Chinese; those of others stay."""

import ast
import importlib
import inspect
import re

import pytest
from torch import nn

from heedful.allocation.adapters._transformers_sites import Dropped
from heedful.errors import ConfigError
from heedful.explaining.question import Question
from heedful.nn.attention_gate import AttentionGate
from heedful.nn.co.alternating import AlternatingCoAttention
from heedful.nn.co.bidaf import BidafAttention
from heedful.nn.co.parallel import ParallelCoAttention
from heedful.nn.vision import Cbam, Eca, SqueezeExcitation
from heedful.probing.unsupported import why_unsupported
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


FILES = ("looks", "removal", "_hops", "_backwards")  # of what a page can ask
# said to who writes a question, or only where a model was made in a way that no run is
NOT_OF_A_RUN = ("scores must be (copies", "made or loaded")


@pytest.mark.parametrize("file", FILES)
def test_why_an_explanation_failed(file):
    module = importlib.import_module(f"heedful.explaining.{file}")
    found = 0
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.Raise):
            continue
        (told,) = node.exc.args
        parts = told.values if isinstance(told, ast.JoinedStr) else [told]
        said = "".join(part.value if isinstance(part, ast.Constant) else "x" for part in parts)
        if not any(part in said for part in NOT_OF_A_RUN):
            assert in_chinese(said) is not None, said
            found += 1
    assert found


@pytest.mark.parametrize("missing", ["pieces", "targets"])
def test_an_input_of_nothing_and_an_answer_of_nothing(missing):
    names = {"pieces": ("a",), "targets": ("b",)} | {missing: ()}
    with pytest.raises(ConfigError) as raised:
        Question(**names, inputs=bool, scores=bool, removal="")
    assert in_chinese(str(raised.value)) is not None


@pytest.mark.parametrize("parts", [{"q": 4, "k": 4}, {"qkv": 12}, {"mix": 12}])
def test_what_looks_like_attention(parts):
    class Mixer(nn.Module):
        pass

    module = Mixer()
    module.num_heads = 2
    for name, size in parts.items():
        module.add_module(name, nn.Linear(4, size))
    said = in_chinese(why_unsupported(module))
    assert all(name in said for name in parts)
    assert "适配器" in said


def test_a_reason_within_a_reason():
    reason = "decoder.0 must be observable, got: it was not called while the probe was open"
    assert in_chinese(reason) == "无法观察 decoder.0：作答时没有被调用"
    mine = "decoder.0 must be observable, got: mine"
    assert in_chinese(mine) == "无法观察 decoder.0：mine"


def test_a_name_in_a_reason_stays():
    assert in_chinese("Foo is attention that no adapter knows") == "Foo 是没有适配器认识的注意力"
    assert "Foo" in in_chinese("Foo does not go through the attention interface of transformers")


def test_what_the_package_does_not_say_stays_as_it_is():
    assert in_chinese("the reason of somebody else") is None
    assert Words("zh").reason("of somebody else") == {"said": "of somebody else", "lang": "en"}
    reason = "it was not called while the probe was open"
    assert Words("en").reason(reason) == {"said": reason, "lang": "en"}
    assert Words("zh").reason(reason) == {"said": "作答时没有被调用", "lang": "zh-Hans"}
