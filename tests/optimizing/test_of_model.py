"""Any module as a subject: how it is called, what it says, and what is refused beforehand."""

import copy
import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import heedful
from heedful.errors import ConfigError, DataError, UnsupportedError
from heedful.optimizing.of_model import ModelSpec, check_rows, identity, problem_of_model
from heedful.optimizing.problem import Reference

SAID = ModelSpec(outputs="logits")


class Output(SimpleNamespace):
    """As modules of transformers return it."""


class Echo(nn.Module):
    """Says what it is told to say, and remembers what it was called with."""

    def __init__(self, answer):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.answer, self.calls = answer, []

    def __deepcopy__(self, memo):
        return self

    def forward(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        return self.answer


def rows(start, count=4, length=3):
    return torch.arange(start * 1000, start * 1000 + count * length).view(count, length)


def made(answer, batch=None, *, spec=None, data=None, quality=None, kind=Echo):
    model = kind(answer)
    data = data or heedful.OptimizeData(
        calibration=[rows(1) if batch is None else batch], dev=[rows(2)], test=[rows(3)]
    )
    problem = problem_of_model(
        model,
        data,
        quality or (lambda model, split: torch.ones(7)),
        metric="m",
        higher_is_better=True,
        spec=spec or SAID,
    )
    return problem, model


# ---- how it is called ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "batch, args, names",
    [
        (rows(1), 1, set()),
        ((rows(1), torch.zeros(4)), 1, set()),
        ([rows(1), torch.zeros(4)], 1, set()),
        (((rows(1), rows(4)), torch.zeros(4)), 2, set()),
        ({"ids": rows(1), "labels": torch.zeros(4)}, 0, {"ids"}),
        (OrderedDict(ids=rows(1), mask=rows(4)), 0, {"ids", "mask"}),
    ],
)
def test_batches_are_taken_apart(batch, args, names):
    _, model = made(torch.ones(4, 2), batch)
    assert len(model.calls[0][0]) == args
    assert set(model.calls[0][1]) == names
    first = model.calls[0][0][0] if args else model.calls[0][1]["ids"]
    assert torch.equal(first, rows(1))


def test_the_caller_may_know_better_how_to_call():
    batch = (rows(1), rows(4))
    answers = []

    def forward(model, batch):
        answers.append(batch)
        return {"strange": 1, "right": torch.ones(4, 3)}["right"]

    problem, model = made("unused", batch, spec=ModelSpec(forward=forward, outputs="logits"))
    problem.work(model)
    assert problem.outputs(model, batch).shape == (4, 3)
    assert all(answer is batch for answer in answers)
    assert len(answers) == 3
    assert not model.calls


FLOATS, WHOLE = torch.zeros(4, 3), torch.tensor([0, 2, 1, 1])


@pytest.mark.parametrize(
    "answer, labels, problem, kind",
    [
        (torch.ones(4, 1), None, None, "values"),
        (torch.ones(4), None, None, "values"),
        ((torch.ones(4, 1), "state"), None, None, "values"),
        (Output(logits=torch.ones(4, 5, 3)), None, None, "logits"),
        (Output(logits=torch.ones(4, 3)), WHOLE, "single_label_classification", "logits"),
        (Output(logits=torch.ones(4, 3)), None, "regression", "values"),
        (Output(logits=torch.ones(4, 3)), None, "multi_label_classification", "values"),
        (Output(logits=torch.ones(4, 3)), FLOATS, None, "values"),
        (Output(logits=torch.ones(4, 1)), None, None, "values"),
        (Output(last_hidden_state=torch.ones(4, 5, 3)), None, None, "values"),
        (Output(last_hidden_state=torch.ones(4, 3)), WHOLE, None, "values"),
    ],
)
def test_outputs_are_found_and_known(answer, labels, problem, kind):
    of = type("Configured", (Echo,), {"config": SimpleNamespace(problem_type=problem)})
    batch = {"ids": rows(1)} | ({} if labels is None else {"labels": labels})
    problem, model = made(answer, batch, spec=ModelSpec(), kind=of)
    assert problem.kind == kind
    assert problem.outputs(model, batch).ndim == 2
    assert (problem.truth is None) or kind == "logits"


@pytest.mark.parametrize(
    "answer, batch",
    [
        (torch.ones(4, 3), None),
        ((torch.ones(4, 3), "state"), None),
        (torch.ones(4, 5, 3), None),  # hidden states, or the words of a text
        (torch.ones(4, 3), (rows(1), FLOATS)),
        (torch.ones(4, 3), (rows(1), WHOLE)),  # of a layer that follows elsewhere, or of this one
        (Output(logits=torch.ones(4, 3, 8, 8)), None),  # a class for each pixel: along which axis?
    ],
)
def test_what_no_model_says_is_asked_for(answer, batch):
    message = (
        r"spec must say whether the outputs are logits or values where the model does not, got "
        r"a tensor of shape \(4, .*\) from Echo\. Pass ModelSpec\(outputs='logits'\)"
    )
    with pytest.raises(ConfigError, match=message):
        made(answer, batch, spec=ModelSpec())


def test_the_kind_may_be_said():
    assert made(torch.ones(4, 3), spec=ModelSpec(outputs="values"))[0].kind == "values"
    assert made(torch.ones(4, 3), spec=ModelSpec(outputs="logits"))[0].kind == "logits"
    with pytest.raises(ConfigError, match="outputs must be one of logits, values, got 'classes'"):
        ModelSpec(outputs="classes")


@pytest.mark.parametrize("answer", [torch.ones(4, 1), torch.ones(4)])
def test_one_alternative_is_none(answer):
    message = r"logits must be of two alternatives at least, got outputs of shape \(4,"
    with pytest.raises(ConfigError, match=message):
        made(answer, spec=ModelSpec(outputs="logits"))


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_that_no_output_stands_for_are_refused(label):
    message = r"labels must be numbers of one of the 3 alternatives that the model has, got "
    with pytest.raises(DataError, match=message):
        made(torch.ones(4, 3), (rows(1), torch.tensor([0, label, 1, 2])))


@pytest.mark.parametrize("name", ["stack", "regression", "bert"])
def test_a_shift_of_all_features_is_damage_to_what_is_no_distribution(name):
    """Softmax does not see it, so hidden states imitated as logits could drift for free."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)
    model = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
    batches = [torch.randn(4, 5, 16) for _ in range(3)]
    last = model.layers[-1].norm2
    if name == "regression":
        model = nn.Sequential(model, nn.Flatten(), nn.Linear(80, 2))
        last = model[-1]
    if name == "bert":
        transformers = pytest.importorskip("transformers")
        sizes = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 24}
        config = transformers.BertConfig(vocab_size=30, num_hidden_layers=1, **sizes)
        model = transformers.BertModel(config)
        batches = [{"input_ids": torch.randint(30, (4, 5))} for _ in range(3)]
        last = model.encoder.layer[-1].output.LayerNorm
    data = heedful.OptimizeData(calibration=batches[:1], dev=batches[1:2], test=batches[2:])
    says = ModelSpec() if name == "bert" else ModelSpec(outputs="values")
    problem = problem_of_model(
        model, data, lambda *_: [1.0], metric="m", higher_is_better=True, spec=says
    )
    assert problem.kind == "values"
    moved = copy.deepcopy(problem.model)
    reference = Reference(problem)
    with torch.no_grad():
        dict(moved.named_modules())[name_of(model, last)].bias += 3
    assert reference.divergence(moved) > 1
    assert Reference(replace(problem, kind="logits")).divergence(moved) < 1e-3


def name_of(model, module):
    return next(name for name, found in model.named_modules() if found is module)


@pytest.mark.parametrize("answer", ["text", {"logits": torch.ones(2)}, (), (None,)])
def test_an_output_without_a_tensor_is_refused(answer):
    message = f"output of the model must be a tensor, got {type(answer).__name__}; pass ModelSpec"
    with pytest.raises(ConfigError, match=message):
        made(answer)


def test_padding_does_not_count():
    answer = torch.arange(24.0).view(2, 3, 4)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    labels = torch.tensor([[5, -100, -100], [-100, 5, 5]])
    plain, model = made(answer, {"ids": rows(1, 2)})
    assert plain.outputs(model, {"ids": rows(1, 2)}).shape == (6, 4)
    masked = plain.outputs(model, {"ids": rows(1, 2), "attention_mask": mask})
    assert torch.equal(masked, answer[mask.bool()])
    labelled = plain.outputs(model, {"attention_mask": mask, "labels": labels})
    assert torch.equal(labelled, answer[labels != -100])


# ---- what it learns from -------------------------------------------------------------------------


def test_the_truth_is_there_where_batches_bring_it():
    logits, truth = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    for dtype in (torch.int64, torch.int32):
        batch = (rows(1), truth.to(dtype))
        problem, model = made(logits, batch)
        assert torch.equal(problem.truth(batch), truth)
        assert len(problem.outputs(model, batch)) == 4


@pytest.mark.parametrize("name, right", [("Tagger", [0, 1, 4, 3]), ("TestForCausalLM", [1, 4, 3])])
def test_the_truth_has_a_row_for_each_row_of_outputs(name, right):
    logits, labels = torch.randn(2, 3, 5), torch.tensor([[0, -100, 1], [-100, 4, 3]])
    kind = type(name, (Echo,), {"config": None})
    problem, model = made(logits, {"labels": labels}, kind=kind)
    assert problem.truth({"labels": labels}).tolist() == right
    assert len(problem.outputs(model, {"labels": labels})) == len(right)


def test_unknown_truth_is_said_to_be():
    truth = torch.tensor([[0, -100, 1], [-100, -100, 4]])
    problem, _ = made(torch.randn(2, 3, 5), (rows(1, 2), truth))
    assert problem.truth((rows(1, 2), truth)).tolist() == [0, -100, 1, -100, -100, 4]


@pytest.mark.parametrize(
    "answer, batch",
    [
        (torch.ones(4, 3), rows(1)),
        (torch.ones(4, 3), (rows(1), torch.zeros(4))),
        (torch.ones(4, 3), (rows(1), torch.zeros(4, 2, dtype=torch.long))),
        # nobody knows whether this one shifts labels itself
        (Output(logits=torch.ones(4, 3, 7)), {"ids": rows(1), "labels": rows(1)}),
    ],
)
def test_where_the_truth_is_not_known_there_is_no_loss(answer, batch):
    assert made(answer, batch)[0].truth is None


def test_healing_sees_every_batch_in_an_order_of_its_seed():
    batches = [rows(start) for start in (1, 4, 5, 6, 7)]
    data = heedful.OptimizeData(calibration=batches, dev=[rows(2)], test=[rows(3)])
    problem, _ = made(torch.ones(4, 2), data=data)

    def order(seed):
        return [int(batch[0, 0]) // 1000 for batch in islice(problem.training(seed), 10)]

    first = order(1)
    assert sorted(first[:5]) == sorted(first[5:]) == [1, 4, 5, 6, 7]
    assert order(1) == first != order(2)


def test_only_the_first_batches_calibrate():
    batches = [rows(start) for start in range(10, 40)]
    data = heedful.OptimizeData(calibration=batches, dev=[rows(2)], test=[rows(3)])
    problem, model = made(torch.ones(4, 2), data=data)
    assert len(problem.calibration) == 16
    model.calls.clear()
    problem.work(model)
    assert len(model.calls) == 16


def test_the_original_is_a_copy_in_evaluation_mode(kit):
    model = kit.planted().train()
    before = copy.deepcopy(model.state_dict())
    problem = kit.problem(model)
    assert problem.model is not model
    assert model.training
    assert not problem.model.training
    with torch.no_grad():
        problem.model.head.weight.zero_()
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())


def test_quality_sees_each_split_in_evaluation_mode(kit):
    model, data, seen = kit.planted(), kit.splits(), []

    def quality(model, split):
        seen.append((model.training, split, torch.is_inference_mode_enabled()))
        return np.arange(40.0)

    problem = kit.problem(model, quality=quality, data=data)
    assert problem.test_examples == problem.dev_examples == 40
    problem.statistics(model.train(), "dev")
    problem.statistics(problem.model, "dev")  # known already
    assert [split for _, split, _ in seen] == [data.dev, data.dev]
    for _ in range(2):
        problem.statistics(problem.model, "test")
    assert [split for _, split, _ in seen] == [data.dev, data.dev, data.test]
    assert all(inference and not training for training, _, inference in seen)


@pytest.mark.parametrize(
    "each, count",
    [(lambda split: 1, 35), (lambda split: len(split), 3), (lambda split: len(split) / 40, 7)],
)
def test_the_examples_of_the_test_split_are_counted_without_a_run(kit, each, count):
    """A number for each row, for each batch, or for several rows together."""
    rows = kit.rows(16 + 40 + 35)
    data = heedful.OptimizeData(
        calibration=[rows[:16]],
        dev=list(rows[16:56].split(8)),
        test=list(rows[56:].split(15)),
    )
    wanted = {1: 40, 5: 5, 0.125: 8}[each(data.dev)]

    def quality(model, split):
        assert split is data.dev
        return np.arange(float(wanted))

    assert kit.problem(quality=quality, data=data).test_examples == count


# ---- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer, message",
    [
        (0.5, "values must hold one number for each example, got the single number 0.5: one"),
        (torch.tensor(0.5), "got the single number 0.5: one number for all of them cannot be"),
        (torch.ones(2, 2), "got an array of shape (2, 2)"),
        ([], "values must hold one number for each example, got none"),
        ([1.0, float("nan")], "values must be finite, got nan for example 1"),
        (None, "got"),
        (["a"], "values must be numbers, one for each example, got list"),
    ],
)
def test_quality_must_be_one_number_an_example(answer, message):
    prefix = "quality must return one number for each example of a split, got: "
    with pytest.raises(ConfigError, match=re.escape(prefix) + ".*" + re.escape(message)):
        made(torch.ones(4, 2), quality=lambda model, split: answer)


def test_a_model_without_parameters_is_refused():
    data = heedful.OptimizeData(calibration=[rows(1)], dev=[rows(2)], test=[rows(3)])
    with pytest.raises(UnsupportedError, match="model must have parameters to be optimised"):
        problem_of_model(
            nn.Identity(),
            data,
            lambda model, split: [1.0],
            metric="m",
            higher_is_better=True,
            spec=ModelSpec(),
        )


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_learning_rate_must_be_above_0(rate):
    with pytest.raises(ConfigError, match=f"learning_rate must be above 0, got {rate}"):
        ModelSpec(learning_rate=rate)


# ---- the same model ------------------------------------------------------------------------------


def test_a_model_is_known_by_its_modules_and_its_numbers(kit):
    model = kit.planted()
    assert identity(model) == identity(copy.deepcopy(model))
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.head.bias[1] += 1e-6
    wider = copy.deepcopy(model)
    wider.activation = nn.GELU()
    buffered = copy.deepcopy(model)
    buffered.register_buffer("seen", torch.zeros(2), persistent=False)
    ids = [identity(x) for x in (model, other, wider, buffered, kit.planted(seed=1))]
    assert len(set(ids)) == 5
    assert identity(nn.Sequential(nn.Linear(2, 3))) != identity(nn.Linear(2, 3))


# ---- no example in two splits --------------------------------------------------------------------


def overlap(calibration, dev, test, **settings):
    data = heedful.OptimizeData(calibration=calibration, dev=dev, test=test, **settings)
    check_rows(data)


ROWS = rows(9, 12)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        lambda x: (x, torch.arange(len(x))),
        lambda x: {"ids": x, "labels": torch.arange(len(x))},
        lambda x: ((x, 2 * x), torch.arange(len(x))),
        lambda x: (x.float(), torch.zeros(len(x), 5)),
    ],
)
def test_one_row_in_batches_of_two_splits_is_found(wrap):
    first, second, third = ROWS[:4], ROWS[4:8], ROWS[8:]
    overlap([wrap(first)], [wrap(second)], [wrap(third)])
    again = torch.cat([third, first[2:3]])
    message = "got 1 example in both calibration and test, the first at calibration[2] and test[4]"
    with pytest.raises(DataError, match=re.escape(message)):
        overlap([wrap(first)], [wrap(second)], [wrap(again)])


def test_the_same_input_with_another_label_is_found():
    with pytest.raises(DataError, match="in both dev and test"):
        overlap([ROWS[:4]], [(ROWS[4:6], torch.zeros(2))], [(ROWS[5:8], torch.ones(3))])


@pytest.mark.parametrize("wrap", [list, lambda x: x, lambda x: [(row, 1) for row in x]])
def test_examples_that_are_no_batches_are_not_taken_apart(wrap):
    """They share words, as texts do."""
    tokens = torch.tensor([[1, 2, 3], [3, 2, 1], [2, 2, 2], [1, 1, 3]])
    overlap([tokens[:2]], wrap(tokens[2:3]), wrap(tokens[3:]))
    with pytest.raises(DataError, match=re.escape("dev[0] and test[1]")):
        overlap([tokens[:1]], wrap(tokens[2:3]), wrap(tokens[[3, 2]]))
    with pytest.raises(DataError, match=re.escape("calibration[1] and test[0]")):
        overlap([tokens[:2]], wrap(tokens[2:3]), wrap(tokens[[1]]))


def test_examples_of_text_are_compared_whole():
    overlap([ROWS[:4]], ["a", "b"], [("a", 1), "c"])
    with pytest.raises(DataError, match="in both dev and test"):
        overlap([ROWS[:4]], [("a", 1), "b"], [("a", 1)])


@dataclass(frozen=True)
class Opaque:
    name: str
    content: object


def test_the_key_alone_says_what_an_example_is_where_there_is_one():
    parts = [[Opaque(name, object())] for name in "abc"]
    overlap(*parts, key=lambda example: example.name)
    with pytest.raises(DataError, match="Say by `key`"):
        overlap(*parts)
