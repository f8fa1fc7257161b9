"""Control: the contract of every task, the same episodes for all, and what an answer tells."""

import json
import re

import numpy as np
import pytest

import heedful
from heedful.errors import ConfigError, DataError, RunError
from heedful.metrics.interval import estimate
from heedful.metrics.metric import per_example
from heedful.tasks.control.task import Config, Control
from heedful.testing.tasks import TaskContract

TABLES = {
    "data": {"train": 40, "dev": 6, "test": 5},
    "model": {"width": 8, "heads": 2, "memory": 4},
    "train": {"steps": 3, "batch_size": 4},
}


class TestControl(TaskContract):
    task = Control
    tables = TABLES
    inputs = ("7", " 3\n")
    budget = "return 50"
    learns = ("data.limit=25", "train.steps=24", "train.batch_size=16", "train.learning_rate=0.01")
    remembered = 18.0  # of 25 steps; without learning it is about 10

    def expected(self, answers, examples):
        return {"return": sum(len(answer.actions) for answer in answers) / len(answers)}

    def test_an_answer_says_what_was_done(self, run):
        example = run.task.parse("3")
        (answer,) = run.task.answer(run.model, run.task.encode([example]))
        said = run.task.to_json(example, answer)
        assert said["steps"] == len(said["actions"]) == said["return"]  # so CartPole rewards
        assert run.task.show(answer) == f"return {said['steps']} in {said['steps']} steps"
        picture = run.task.picture(run.model, example, answer)
        assert picture.source == ("now", "-1", "-2", "-3")
        assert np.sum(picture.weights, axis=1) == pytest.approx(np.ones(2))

    def test_perfect_episodes_have_an_interval(self, run):
        assert 475 < estimate(run.task.metrics[0], per_example([500.0] * 100)).low < 500

    @pytest.mark.parametrize("text", ["seven", "-1", "", str(2**63), "9" * 5_000])
    def test_rejects_what_is_no_seed(self, run, text):
        with pytest.raises(
            DataError, match=re.escape(f"a whole number below 2^63, got {text!r:.80}")
        ):
            run.task.parse(text)


def test_every_training_is_judged_by_the_same_episodes():
    splits = Control.read(Config(**TABLES, seed=5))
    found = [[each.seed for each in part] for part in (splits.test, splits.dev, splits.train)]
    assert found == [[*range(5)], [*range(5, 11)], [*range(11, 51)]]


def test_rejects_heads_that_do_not_divide():
    with pytest.raises(ConfigError, match=r"model\.heads must divide model\.width, got 3 and 8"):
        heedful.train({"task": "control", "model": {"width": 8, "heads": 3}})


@pytest.mark.parametrize(
    "damage, message",
    [
        ({"name": "Acrobot-v1"}, "must be of CartPole-v1, (1, 3), None as config.toml says"),
        ({"hide": [0]}, "got CartPole-v1, (0,), None"),
        ({"limit": 3}, "got CartPole-v1, (1, 3), 3"),
        ({"hide": "13"}, "must be whole, got: hide Input should be a valid array"),
        ({"code": "x"}, "must be whole, got 'code', which is not known"),
        ({"actions": 0}, "must have actions, and a mean and a positive std"),
        ({"std": [1.0, 0.0]}, "must have actions, and a mean and a positive std"),
        ({"std": [1.0]}, "must have actions, and a mean and a positive std"),
        ({"mean": [float("nan"), 0.0]}, "must have actions, and a mean and a positive std"),
    ],
)
def test_what_is_known_of_another_environment_is_refused(tmp_path, damage, message):
    config = Config()
    (tmp_path / "task").mkdir()
    Control.fit(config, Control.read(config).train[:2]).save(tmp_path)
    path = tmp_path / Control.files[0]
    kept = json.loads(path.read_text())
    assert Control.load(config, tmp_path).environment.mean == tuple(kept["mean"])
    path.write_text(json.dumps(kept | damage))
    with pytest.raises(RunError, match=re.escape(message)):
        Control.load(config, tmp_path)
