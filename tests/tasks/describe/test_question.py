"""Why an image is described so: cells that are of one colour, and words one after the other."""

import pytest
import torch

from heedful.data.tokens import UNKNOWN
from heedful.errors import UnsupportedError
from heedful.explaining.gradient_attention import gradient_attention
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.tasks.catalog import parse_config
from heedful.tasks.describe.task import Describe
from heedful.tasks.describe.writing import Description
from heedful.training.start import build

SCENE = "scene: small red circle at 8,9; large blue ring at 40,24"
TEXT = "a blue ring"
SMALL = {"width": 16, "heads": 2, "patch": 16, "decoder_layers": 2, "feedforward": 16}


def asked(text=TEXT, unknown=False, **model):
    tables = {"task": "describe", "model": {**SMALL, **model}}
    tables["data"] = {"examples": 30, "dev": 2, "test": 2}
    config = parse_config(tables)
    task = Describe.fit(config, Describe.read(config).train)
    torch.manual_seed(5)
    network = build(task).eval()
    example = task.parse(SCENE)
    written = task.vocabulary.encode([text])[0][1:-1]
    written[1:1] = [UNKNOWN] * unknown
    said = Description(text=text, written=tuple(written), cut=False)
    if unknown:
        pieces = [each.word for each in task.picture(network, example, said).maps]
        assert pieces == ["a", "<unk>", "blue", "ring"]
    return task, network, task.question(network, example, said)


def test_the_whole_image_has_the_scores_of_the_plain_batch():
    task, network, question = asked()
    example = task.parse(SCENE)
    batch = task.encode([type(example)(example.image, TEXT)]).batch([0], "cpu")
    said = task.rows(network, batch)
    chosen = said.outputs.softmax(-1).double()[range(3), said.truth[:3]]
    found = question.scores(network, question.inputs(torch.ones(1, 9, dtype=torch.bool)))
    assert question.targets == ("a", " blue", " ring")
    expected = (chosen / (1 - chosen)).log()
    torch.testing.assert_close(found[0].double(), expected, atol=1e-4, rtol=0)


def test_an_unknown_token_that_was_written_is_one_also_in_the_picture():
    task, network, question = asked(unknown=True)
    (begin, *tokens, _) = task.vocabulary.encode([TEXT])[0]
    tokens.insert(1, UNKNOWN)
    images = torch.from_numpy(question.canvas)[None].permute(0, 3, 1, 2) / 127.5 - 1
    shares = network(images, torch.tensor([[begin, *tokens[:-1]]])).softmax(-1)[0].double()
    chosen = shares[range(4), tokens]
    found = question.scores(network, question.inputs(torch.ones(1, 9, dtype=torch.bool)))
    assert question.targets == ("a", "<unk>", " blue", " ring")
    torch.testing.assert_close(found[0].double(), (chosen / (1 - chosen)).log(), atol=1e-4, rtol=0)


def test_a_cell_that_is_removed_has_the_colour_of_the_whole():
    _, _, question = asked()
    kept = torch.ones(2, 9, dtype=torch.bool)
    kept[1, 5] = False  # the second row, the third column
    whole, without = question.inputs(kept)
    changed = (whole != without).any(0).nonzero()
    assert changed.min(0).values.tolist() == [16, 32]
    assert changed.max(0).values.tolist() == [31, 47]
    assert (question.shape, question.canvas.shape) == ((3, 3), (48, 48, 3))


@pytest.mark.parametrize("model", [{}, {"encoder": "patches", "encoder_layers": 1}])
def test_attention_and_slopes_lead_to_cells(model):
    _, network, question = asked(**model)
    found = gradient_attention(network, question)
    assert found.weights.shape == (3, 9)
    assert found.weights.min() >= 0 < found.weights.max()
    assert found.error < 1e-5
    assert integrated_gradients(network, question, steps=4).weights.any(1).all()


def test_without_attention_there_is_no_route():
    assert asked(attention=False)[2].route is None


def test_a_sentence_of_no_words_is_refused():
    with pytest.raises(UnsupportedError, match="must hold a word to be explained, got none"):
        asked(text="")
