"""Text classification: tables in, labels and where the pooling looked out."""

import re

import pytest
import torch

from heedful.errors import DataError
from heedful.tasks.catalog import find_task, parse_config

TEXTS = [("good film", "yes"), ("bad film", "no"), ("Very good", "yes"), ("so very bad", "no")] * 4
TASK = find_task("classify-text")


def made(folder, *, train=TEXTS, dev=TEXTS[:2], **tables):
    data = {"name": "table", "text": "text", "label": "label"}
    for split, pairs in (("train", train), ("dev", dev)):
        data[split] = str(folder / f"{split}.csv")
        (folder / f"{split}.csv").write_text("\n".join(map(",".join, [("text", "label"), *pairs])))
    return parse_config({"task": "classify-text", "data": data} | tables)


@pytest.mark.parametrize("model", ["pooling", "lstm", "transformer", "cnn"])
@pytest.mark.parametrize("score", ["scaled_dot", "additive"])
def test_learns_keeps_and_shows(tmp_path, model, score):
    model = {"name": model, "width": 8, "score": score, "dropout": 0.0}
    config = made(tmp_path, model=model, tokens={"lowercase": True, "kind": "words"})
    examples = TASK.read(config).train
    torch.manual_seed(1)
    task = TASK.fit(config, examples)
    data, network = task.encode(examples), task.build()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(40):
        optimizer.zero_grad()
        loss, count = task.loss(network, data.batch(range(16), "cpu"))
        (loss / count).backward()
        optimizer.step()
    network.eval()
    (tmp_path / "task").mkdir()
    task.save(tmp_path)
    task = TASK.load(config, tmp_path)
    data = task.encode(examples)
    answers = task.answer(network, data)
    assert [answer.label for answer in answers] == [label for _, label in TEXTS]
    assert all(sum(answer.shares.values()) == pytest.approx(1) for answer in answers)
    assert task.scores(network, data)["accuracy"] == 100
    rows = task.rows(network, data.batch([2, 1], "cpu"))
    assert rows.outputs.argmax(1).tolist() == rows.truth.tolist() == [1, 0]
    picture = task.picture(network, task.parse("Very bad!"), answers[1])
    assert (picture.source, picture.target) == (("very", " bad", "!"), ("no",))
    assert len(picture.weights[0]) == 3
    assert sum(picture.weights[0]) == pytest.approx(1)


def test_refuses_labels_that_training_lacks_and_less_than_two(tmp_path):
    message = "dev.csv:3 must have a label of the training split, got 'maybe'"
    with pytest.raises(DataError, match=re.escape(message)):
        TASK.read(made(tmp_path, dev=[*TEXTS[:1], ("hm", "maybe")]))
    config = made(tmp_path, train=TEXTS[:1])
    with pytest.raises(DataError, match=r"must have two labels or more, got \['yes'\]"):
        TASK.fit(config, TASK.read_training(config))
