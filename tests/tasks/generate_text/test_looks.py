"""Pictures of written text: rows are shares, and belong to the pieces that were written."""

import pytest
import torch

from heedful.data.tokens import train_tokenizer
from heedful.models.language_model import CausalLstm, CausalTransformer
from heedful.nn.constant import Constant
from heedful.tasks.generate_text.looks import looked

VOCABULARY = train_tokenizer("characters", ["abcdefgh "], vocabulary=50)
SIZES = {"size": VOCABULARY.size, "width": 8, "layers": 2, "dropout": 0.0}


def tokens(text):
    return VOCABULARY.encode([text])[0][1:-1]


@pytest.fixture
def model():
    torch.manual_seed(0)
    sizes = {"heads": 2, "kv_heads": None, "feedforward": 8, "context": 16}
    return CausalTransformer(**SIZES, **sizes).eval()


def test_each_row_looks_back_from_the_piece_before(model):
    picture = looked(model, VOCABULARY, "abc", tokens("de"))
    assert (picture.source, picture.target) == (tuple("abcd"), tuple("de"))
    assert [sum(row) for row in picture.weights] == pytest.approx([1, 1])
    assert picture.weights[0][3] == 0  # "d" was not there when it was written
    assert all(weight > 0 for weight in picture.weights[1])


def test_far_pieces_are_not_shown_but_read(model):
    picture = looked(model, VOCABULARY, "abcdefgh", tokens("gfed"), shown=3)
    assert (picture.source, picture.target) == (tuple("fghgf"), tuple("gfe"))
    whole = looked(model, VOCABULARY, "abcdefgh", tokens("gfe"))
    row = torch.tensor(whole.weights[0][5:])
    assert picture.weights[0] == pytest.approx((row / row.sum()).tolist(), rel=1e-4)


def test_a_network_without_attention_has_no_picture(model):
    assert looked(CausalLstm(**SIZES), VOCABULARY, "abc", tokens("de")) is None
    for layer in model.layers:
        layer.self_attention = Constant(8)
    assert looked(model, VOCABULARY, "abc", tokens("de")) is None
