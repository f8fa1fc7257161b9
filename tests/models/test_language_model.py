"""Causal language models: nobody sees what comes, and steps are one pass."""

import pytest
import torch

from heedful.models.language_model import CausalLstm, CausalTransformer
from heedful.nn import Attention
from heedful.nn.constant import Constant

SETTINGS = {"size": 11, "width": 16, "layers": 2, "dropout": 0.1}


def transformer(**others):
    sizes = {"heads": 4, "kv_heads": 2, "feedforward": 24, "context": 13}
    return CausalTransformer(**SETTINGS, **{**sizes, **others})


@pytest.fixture(params=["transformer", "lstm"])
def model(request):
    torch.manual_seed(3)
    return (transformer() if request.param == "transformer" else CausalLstm(**SETTINGS)).eval()


@pytest.fixture
def tokens():
    return torch.randint(11, (3, 9), generator=torch.Generator().manual_seed(1))


def test_what_comes_cannot_matter(model, tokens):
    other = tokens.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 11
    torch.testing.assert_close(model(tokens)[:, :5], model(other)[:, :5])
    assert not torch.allclose(model(tokens)[:, 5:], model(other)[:, 5:])


@pytest.mark.parametrize("chunks", [(9,), (4, 5), (1,) * 9, (3, 1, 5)])
def test_pieces_are_the_whole(model, tokens, chunks):
    state, logits = model.start(), model(tokens)
    done = 0
    for chunk in tokens.split(chunks, dim=1):
        done += chunk.shape[1]
        torch.testing.assert_close(
            model.advance(chunk, state), logits[:, done - 1], rtol=1e-4, atol=1e-4
        )


def test_a_dropped_attention_still_steps(tokens):
    model = transformer().eval()
    model.layers[1].self_attention = Constant(16)
    state, logits = model.start(), model(tokens)
    model.advance(tokens[:, :4], state)
    torch.testing.assert_close(
        model.advance(tokens[:, 4:], state), logits[:, -1], rtol=1e-4, atol=1e-4
    )


def test_what_it_sees_at_once():
    assert transformer().longest == 13
    assert CausalLstm(**SETTINGS).longest is None
    assert sum(isinstance(module, Attention) for module in transformer().modules()) == 2
