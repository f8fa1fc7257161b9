"""Images from noise: a training stops and goes on, and makes what was asked for."""

import re

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError, DataError
from heedful.tasks.catalog import parse_config
from heedful.training.events import Evaluated
from heedful.training.start import train

TASK = "task=generate-image"
STEPS = {"steps": 6, "batch_size": 16, "classifier_steps": 60, "evaluate_every": 0.5, "flip": True}
REFUSED = {
    "8": 'class must be one of "0", "1", "2", "3", got "8"',
    "3:x": "seed must be a whole number, got 'x'",
    "model.reduction=3": "got model.reduction = 3, model.width = 16",
    "train.precision=bf16": 'train.precision must be "fp32" where two networks learn, got "bf16"',
}


@pytest.fixture(scope="module")
def config(square_files, tmp_path_factory):
    model, data = {"width": 4, "latent": 5, "reduction": 2}, square_files | {"dev": 12}
    tables = {"task": "generate-image", "data": data, "model": model, "train": STEPS}
    return lambda: parse_config(tables | {"output": str(tmp_path_factory.mktemp("runs") / "run")})


@pytest.fixture(scope="module")
def run(config):
    return train(config())


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(config, run):
    def stop(event):
        if isinstance(event, Evaluated) and event.step == 3:
            raise KeyboardInterrupt

    stopped = config()
    with pytest.raises(KeyboardInterrupt):
        train(stopped, on_event=stop)
    resumed = train(resume=stopped.output).model.state_dict()
    assert all(torch.equal(resumed[name], each) for name, each in run.model.state_dict().items())


def test_an_image_is_the_same_alone_and_among_others(run):
    task, dev = run.task, run.examples("dev")
    made = task.answer(run.model, task.encode([*dev, task.parse("3:7")]))
    (alone,) = run.answer([" 3:7 "])
    assert np.array_equal(alone.pixels, made[-1].pixels)
    assert (str(alone), alone.original) == (str(made[-1]), None)


@pytest.mark.parametrize("given", REFUSED)
def test_what_cannot_be_made_is_refused(run, given):
    ask = run.task.parse if "=" not in given else lambda text: train({}, overrides=[TASK, text])
    with pytest.raises((ConfigError, DataError), match=re.escape(REFUSED[given])):
        ask(given)
