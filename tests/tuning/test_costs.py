import pytest
import torch

from heedful.errors import ConfigError, DataError
from heedful.tasks.translation.task import Translation
from heedful.training.start import train
from heedful.tuning import costs as module
from heedful.tuning.costs import Costs, count_parameters
from heedful.tuning.goal import Goal, parse_keep
from heedful.tuning.space import applied


def goal(cost):
    return Goal(keep=parse_keep("chrf >= 5"), cost=cost)


@pytest.fixture
def config(digit_config):
    return digit_config(steps=1)


@pytest.fixture
def fits(monkeypatch):
    """How often a task was fitted."""
    made = []
    honest = Translation.fit.__func__

    def fit(cls, config, examples):
        made.append(config)
        return honest(cls, config, examples)

    monkeypatch.setattr(Translation, "fit", classmethod(fit))
    return made


def test_parameters_are_those_of_the_trained_model(config, fits):
    with Costs(config, goal("parameters"), Translation) as costs:
        found = {width: costs({"model.width": width}) for width in (16, 32)}
        assert costs({"model.width": 16, "train.learning_rate": 0.5}) == found[16]
    assert len(fits) == 1
    for width, count in found.items():
        changed = applied(config, {"model.width": width})
        run = train(changed.model_copy(update={"output": f"{config.output}-{width}"}))
        assert run.about["parameters"] == count


def test_macs_grow_with_the_width_and_are_counted_once(config, monkeypatch):
    counted = []
    honest = module.attention_macs

    def count(task, model, examples, *, sites):
        counted.append((task.config.model.width, len(examples), sites))
        return honest(task, model, examples, sites=sites)

    monkeypatch.setattr(module, "attention_macs", count)
    with Costs(config, goal("macs"), Translation) as costs:
        found = [costs({"model.width": width}) for width in (16, 32, 16)]
        left_behind = costs._folder.name
    assert found[0] < found[1]
    assert found[2] == found[0]
    assert [(width, number) for width, number, _ in counted] == [(16, 4), (32, 4)]
    assert len(counted[0][2]) == 3
    with pytest.raises(FileNotFoundError):
        open(left_behind)


def test_other_tokens_are_another_task_to_fit(config, fits):
    with Costs(config, goal("parameters"), Translation) as costs:
        few, many = (costs({"tokens.vocabulary": size}) for size in (8, 100))
    assert few < many
    assert [each.tokens.vocabulary for each in fits] == [8, 100]


def test_latency_needs_no_data(config, fits):
    with Costs(config, goal("latency"), Translation) as costs:
        assert costs({"model.width": 16}) is None
    assert fits == []


def test_a_model_that_refuses_its_sizes_is_an_error(config):
    with (
        Costs(config, goal("parameters"), Translation) as costs,
        pytest.raises(ConfigError, match="heads must divide width, got heads=3, width=32"),
    ):
        costs({"model.heads": 3})


def test_without_dev_examples_nothing_can_be_counted(config, tmp_path):
    (tmp_path / "dev.tsv").write_text("", encoding="utf-8")
    empty = config.data.model_copy(update={"dev": str(tmp_path / "dev.tsv")})
    with (
        Costs(config.model_copy(update={"data": empty}), goal("macs"), Translation) as costs,
        pytest.raises(DataError, match="dev"),
    ):
        costs({})


def test_a_model_that_reads_its_numbers_is_filled(config):
    class Reads:
        def __init__(self):
            self.built = []

        def build(self):
            layer = torch.nn.Linear(3, 2)
            self.built.append(layer.weight.device.type)
            layer.bias.data.fill_(layer.weight.sum().item())
            return layer

    task = Reads()
    assert count_parameters(task) == 8
    assert task.built == ["meta", "cpu"]
