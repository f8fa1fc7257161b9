import itertools

import pytest

from heedful.errors import ConfigError
from heedful.models import Transformer
from heedful.tasks.translation.config import RnnModel, TransformerModel
from heedful.tasks.translation.validity import problem

POSITIONS = ("sinusoidal", "learned", "rotary", "relative", "rotary+sinusoidal")


def builds(model):
    settings = model.model_dump(exclude={"name"})
    try:
        Transformer(source_size=9, target_size=9, **settings, max_length=9)
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("positions", POSITIONS)
def test_says_what_the_constructor_says(positions):
    right = wrong = 0
    for width, heads, kv_heads in itertools.product((4, 6, 9), (1, 2, 3, 4), (1, 2, 3, None)):
        sizes = {"width": width, "heads": heads, "kv_heads": kv_heads, "positions": positions}
        model = TransformerModel(**sizes, encoder_layers=1, decoder_layers=1, feedforward=1)
        plain = model.model_dump(exclude_none=True)
        assert (problem(plain) is None) == builds(model), sizes
        right, wrong = right + builds(model), wrong + (not builds(model))
    assert right >= 5
    assert wrong >= 5


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"width": 6, "heads": 4}, "heads must divide width, got heads=4, width=6"),
        ({"width": 8, "heads": 4, "kv_heads": 3}, "kv_heads must divide heads, got kv_heads=3"),
        ({"width": 6, "heads": 2}, "width / heads must be even for rotary positions, got width=6"),
        (
            {"width": 9, "heads": 3, "positions": "sinusoidal"},
            "width must be even for sinusoidal positions, got width=9",
        ),
    ],
)
def test_says_what_is_wrong(sizes, message):
    plain = TransformerModel(**sizes).model_dump(exclude_none=True)
    assert problem(plain).startswith(message)


def test_sizes_of_a_recurrent_model_are_free():
    assert problem(RnnModel(width=7, hidden=3).model_dump()) is None
