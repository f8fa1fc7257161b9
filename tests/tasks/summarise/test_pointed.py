"""Pictures of summaries: rows are shares of the words that were read."""

import pytest
import torch

from heedful.data.examples import Example
from heedful.tasks.catalog import parse_config
from heedful.tasks.summarise.pointed import pointed
from heedful.tasks.summarise.task import Summarise, Summary
from heedful.training.start import build

EXAMPLE = "One or two words"


@pytest.mark.parametrize(
    "model", [{"copying": True}, {"copying": False}, {"name": "rnn", "hidden": 8}]
)
def test_words_point_at_words(model):
    config = parse_config({"task": "summarise", "model": {"width": 16, **model}})
    task = Summarise.fit(config, [Example("one or two words", "one or two words")] * 2)
    torch.manual_seed(0)
    network = build(task).eval()
    data = task.encode([Example(EXAMPLE, "two new words")])
    summary = Summary("two new words", (), tuple(data.target.flat[1:-1]))
    picture = pointed(task, network, EXAMPLE, summary)
    assert (picture.source, picture.target) == (
        (" one", " or", " two", " words"),
        (" two", "<unk>", " words"),
    )
    assert [sum(row) for row in picture.weights] == pytest.approx([1] * 3, rel=1e-4)
    assert len(picture.weights[0]) == 4
    assert pointed(task, network, EXAMPLE, Summary("", (), ())) is None
