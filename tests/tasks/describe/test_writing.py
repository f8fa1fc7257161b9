"""Sentences are written alike in every batch, and what words look at is counted by hand."""

import pytest
import torch

from heedful.data.ragged import Ragged
from heedful.data.tokens import PAD
from heedful.models.image_captioner import ImageCaptioner
from heedful.nn.constant import Constant
from heedful.tasks.catalog import parse_config
from heedful.tasks.describe.captions import drawn, load_pixels
from heedful.tasks.describe.task import Describe
from heedful.tasks.describe.writing import (
    Description,
    cross_entropy,
    describe,
    logits_of,
    look,
    looks_at_cells,
    pixels_of,
)

TABLES = {
    "task": "describe",
    "data": {"examples": 30, "dev": 5, "test": 9},
    "model": {"width": 8, "heads": 2, "patch": 16, "feedforward": 8},
    "decode": {"max_length": 4, "batch": 4},
}


@pytest.fixture(scope="module")
def task():
    config = parse_config(TABLES)
    return Describe.fit(config, Describe.read(config).train)


def network(task, **settings):
    torch.manual_seed(1)
    model = ImageCaptioner(
        target_size=task.vocabulary.size, size=48, **{**task.config.model.model_dump(), **settings}
    )
    return model.eval()


def test_loss_and_hits_are_those_of_each_token(task):
    model = network(task)
    data = task.encode(drawn(task.config.data, "test", 5, 1))
    batch = data.batch(range(5), "cpu")
    total, right, tokens = cross_entropy(model, batch)
    logits, truth = logits_of(model, batch)
    wanted, hits, count = 0.0, 0, 0
    for row, place in (truth != PAD).nonzero().tolist():
        share = logits[row, place].softmax(-1)
        wanted -= share[truth[row, place]].log().item()
        hits += int(share.argmax() == truth[row, place])
        count += 1
    assert (right, tokens) == (hits, count)
    assert total.item() == pytest.approx(wanted, rel=1e-5)
    assert cross_entropy(model, batch, smoothing=0.5)[0].item() != pytest.approx(wanted, rel=1e-3)


def test_pixels_become_numbers_from_minus_one_to_one():
    batch = {"images": torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)}
    assert pixels_of(batch).flatten().tolist() == pytest.approx([-1, 1, -0.6])


@pytest.mark.parametrize("beam", [1, 3])
def test_where_words_looked_is_counted(task, beam):
    model = network(task)
    data = task.encode(drawn(task.config.data, "test", 6, 1))
    decode = task.config.decode.model_copy(update={"beam": beam})
    answers = describe(model, data, task.vocabulary, decode)
    assert len(answers) == 6
    assert all(each.cut for each in answers)
    named = data.columns["named"]
    for row, answer in enumerate(answers):
        batch = data.batch([row], "cpu")
        weights = model.alignment(pixels_of(batch), batch["caption"][:, :-1])[0]
        places = [cells for cells in named[row] if cells.any()]
        naming = [number for number, cells in enumerate(named[row]) if cells.any()]
        wrong = sum(
            not cells[int(weights[number].argmax())]
            for number, cells in zip(naming, places, strict=True)
        )
        assert (answer.named, answer.elsewhere) == (len(naming), wrong)


def test_without_attention_all_look_elsewhere(task):
    data = task.encode(drawn(task.config.data, "test", 2, 1))
    model = network(task, attention=False)
    assert not looks_at_cells(model)
    answers = describe(model, data, task.vocabulary, task.config.decode)
    assert all(each.named == each.elsewhere > 0 for each in answers)
    image = load_pixels(drawn(task.config.data, "test", 1, 1), task.config.data)[0]
    assert look(model, image, answers[0], task.vocabulary, title="x") is None
    model = network(task)
    for layer in model.decoder:
        layer.cross_attention = Constant(8)
    assert not looks_at_cells(model)


def test_unknown_places_are_not_counted(task):
    data = task.encode(drawn(task.config.data, "test", 2, 1), training=True)
    assert "named" not in data.columns
    answers = describe(network(task), data, task.vocabulary, task.config.decode)
    assert [(each.named, each.elsewhere) for each in answers] == [(0, 0)] * 2
    empty = Ragged.pack([[1, 2]])
    assert len(empty) == 1


def test_a_picture_has_a_map_for_each_word(task):
    (example,) = drawn(task.config.data, "test", 1, 1)
    written = tuple(task.vocabulary.encode([example.caption])[0][1:-1])
    said = Description(text=example.caption, written=written, cut=False)
    [image] = load_pixels([example], task.config.data)
    picture = look(network(task), image, said, task.vocabulary, title="seen")
    assert [each.word for each in picture.maps] == example.caption.split()
    assert picture.title == "seen"
    for each in picture.maps:
        assert each.weights[each.row][each.column] == max(map(max, each.weights))
