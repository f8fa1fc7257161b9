"""What is free is found where it is there, and only there."""

import pytest
import torch
from torch import nn

from heedful.bench.timing import Ratio
from heedful.optimizing.of_model import ModelSpec, problem_of_batches
from heedful.profiling import findings as all_findings
from heedful.profiling.findings import cheap_findings
from heedful.profiling.findings import finding as measuring
from heedful.profiling.findings.finding import worth_it
from heedful.profiling.findings.padding import padded_share

SLOW, FAST = Ratio(0.9, 0.8, 1.0), Ratio(2.0, 1.9, 2.1)


class Attends(nn.Module):
    """One attention, whose weights are read or not."""

    def __init__(self, *, reads=False, asks=True, positional=False):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.reads, self.asks, self.positional = reads, asks, positional

    def forward(self, x):
        more = (None, self.asks) if self.positional else ()
        named = {} if self.positional else {"need_weights": self.asks}
        out, weights = self.attention(x, x, x, *more, **named)
        return out * weights.mean() if self.reads else out


def problem(model, batches=None):
    torch.manual_seed(0)
    spec = ModelSpec(outputs="values")
    return problem_of_batches(model, batches or [torch.randn(3, 5, 8)], spec)


def names(found):
    return [each.name for each in found]


@pytest.fixture
def measured(monkeypatch):
    """Say how much faster every other model is; the models that were asked about."""
    asked = {"gain": FAST, "models": []}

    def faster_by(of, model):
        of.work(model)
        asked["models"].append(model)
        return asked["gain"]

    for file in ("weights", "implementation", "precision"):
        monkeypatch.setattr(f"heedful.profiling.findings.{file}.faster_by", faster_by)
    return asked


@pytest.mark.parametrize("positional", [False, True])
def test_weights_that_nobody_reads_are_found(measured, positional):
    of = problem(Attends(positional=positional).bfloat16(), [torch.randn(3, 5, 8).bfloat16()])
    (found,) = cheap_findings(of)
    assert found.name == "unread_weights"
    assert found.gain == 2
    assert found.text.startswith("1 modules of nn.MultiheadAttention compute attention weights")
    assert "2.00x (1.90 to 2.10) faster" in found.text
    assert "need_weights=False" in found.remedy
    assert isinstance(of.model.attention, nn.MultiheadAttention)  # the model stays as it is


@pytest.mark.parametrize("model", [Attends(reads=True), Attends(asks=False)])
def test_weights_that_are_read_or_never_asked_for_are_not(measured, model):
    assert "unread_weights" not in names(cheap_findings(problem(model)))


def test_what_is_no_faster_is_not_said(measured):
    measured["gain"] = SLOW
    assert cheap_findings(problem(Attends())) == ()
    assert len(measured["models"]) == 2
    assert not worth_it(Ratio(1.2, 0.99, 1.3))  # as often slower as not
    assert not worth_it(Ratio(1.04, 1.03, 1.06))
    assert worth_it(Ratio(1.05, 1.01, 1.2))


def test_bits_are_counted_in_float32_alone(measured):
    found = {each.name: each for each in cheap_findings(problem(Attends(asks=False)))}
    assert found.keys() == {"precision"}
    assert "of their variance" in found["precision"].text
    assert measured["models"][0].attention.out_proj.weight.dtype == torch.bfloat16
    assert (
        cheap_findings(problem(Attends(asks=False).double(), [torch.randn(3, 5, 8).double()])) == ()
    )


def test_attention_of_transformers_is_tried_otherwise(measured):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 8}
    config = transformers.BertConfig(vocab_size=30, num_hidden_layers=1, **sizes)
    model = transformers.BertModel(config).eval()
    model.set_attn_implementation("eager")
    batch = {"input_ids": torch.randint(30, (4, 7))}
    found = {each.name: each for each in cheap_findings(problem(model, [batch]))}
    assert found["implementation"].text.startswith(
        "attention is eager; with sdpa the work is 2.00x"
    )
    assert "heedful 2.00x" in found["implementation"].text
    assert found["implementation"].remedy == 'from_pretrained(..., attn_implementation="sdpa")'
    assert model.config._attn_implementation == "eager"
    model.config.output_attentions = True
    found = {each.name: each for each in cheap_findings(problem(model, [batch]))}
    assert found["unread_weights"].remedy == "model.config.output_attentions = False"
    assert model.config.output_attentions
    measured["gain"] = SLOW
    assert cheap_findings(problem(model, [batch])) == ()


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x, attention_mask):
        return self.layer(x)


def masked(*lengths, width):
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    return {"x": torch.randn(len(lengths), width, 4), "attention_mask": mask}


def test_padding_is_counted(measured):
    measured["gain"] = SLOW
    batches = [masked(2, 6, width=6), masked(3, 1, width=4)]
    assert padded_share(batches) == pytest.approx(1 - 12 / 20)
    (found,) = cheap_findings(problem(Masked(), batches))
    assert (found.name, found.gain) == ("padding", None)
    assert found.text == "40% of the places of the batches are padding"
    fixed = [masked(2, 4, width=6), masked(3, 1, width=6)]
    (found,) = cheap_findings(problem(Masked(), fixed))
    assert found.text.endswith(
        "58% of the places of the batches are padding; every batch has 6 places"
    )
    assert cheap_findings(problem(Masked(), [masked(4, 4, width=4)])) == ()
    assert padded_share([torch.ones(2)]) == 0


def test_the_largest_gain_comes_first(monkeypatch):
    def said(name, gain):
        return lambda _: all_findings.Finding(name=name, text="", remedy="", gain=gain)

    kinds = {"a": said("a", None), "b": said("b", 1.5), "c": said("c", 3.0), "d": lambda _: None}
    monkeypatch.setattr(all_findings, "FINDINGS", kinds)
    assert names(cheap_findings(problem(Attends()))) == ["c", "b", "a"]


def test_gains_are_measured_in_turns():
    found = measuring.faster_by(problem(Attends()), Attends())
    assert found.low <= found.median <= found.high
