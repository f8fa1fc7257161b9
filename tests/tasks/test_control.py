"""Control: episodes as seeds, one run from config to picture, and what is refused."""

import json
import re

import numpy as np
import pytest

import heedful
from heedful.errors import ConfigError, DataError
from heedful.metrics.interval import estimate
from heedful.metrics.metric import per_example

TABLES = {
    "task": "control",
    "data": {"train": 40, "dev": 6, "test": 5},
    "model": {"width": 8, "heads": 2, "memory": 4},
    "train": {"steps": 3, "batch_size": 4},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return heedful.train(TABLES | {"output": str(tmp_path_factory.mktemp("runs") / "control")})


def test_a_run_is_evaluated_by_what_it_answers(run):
    assert [example.seed for example in run.examples("dev")] == [5, 6, 7, 8, 9, 10]
    assert [example.seed for example in type(run.task).read_training(run.config)][::39] == [11, 50]
    answers = run.task.answer(run.model, run.task.encode(run.examples("test")))
    assert [answer.seed for answer in answers] == [0, 1, 2, 3, 4]  # the same for every training
    assert all(answer.total == len(answer.actions) for answer in answers)  # so CartPole rewards
    (found,) = heedful.evaluate(run).scores.values()
    assert found.score == pytest.approx(np.mean([answer.total for answer in answers]))


def test_an_answer_says_what_was_done(run):
    example = run.task.parse(" 3\n")
    (answer,) = run.task.answer(run.model, run.task.encode([example]))
    said = run.task.to_json(example, answer)
    assert json.loads(json.dumps(said)) == said
    assert said["steps"] == len(said["actions"]) == said["return"]
    assert run.task.show(answer) == f"return {said['steps']} in {said['steps']} steps"
    picture = run.task.picture(run.model, example, answer)
    assert picture.source == ("now", "-1", "-2", "-3")
    assert np.sum(picture.weights, axis=1) == pytest.approx(np.ones(2))


def test_perfect_episodes_have_an_interval(run):
    assert 475 < estimate(run.task.metrics[0], per_example([500.0] * 100)).low < 500


def test_rejects_what_it_cannot_use(run):
    for text in ("seven", "-1", "", str(2**63)):
        with pytest.raises(DataError, match=re.escape(f"a whole number below 2^63, got {text!r}")):
            run.task.parse(text)
    with pytest.raises(ConfigError, match=r"model\.heads must divide model\.width, got 3 and 8"):
        heedful.train(TABLES | {"model": {"width": 8, "heads": 3}})
