"""Going on with texts: draws follow the probabilities, and company cannot matter."""

import numpy as np
import pytest
import torch

from heedful.errors import ConfigError, DataError
from heedful.models.continuation import Sampling, continue_texts
from heedful.models.language_model import CausalLstm, CausalTransformer

LOGITS = torch.tensor([[0.2, 2.0, -1.0, 1.0, 0.5]])
GRID = (torch.arange(4_000) + 0.5) / 4_000


def frequencies(**settings):
    drawn = Sampling(**settings).draw(LOGITS.expand(len(GRID), -1), GRID)
    return np.bincount(drawn, minlength=5) / len(GRID)


def allowed(kept, *, temperature=1.0):
    shares = torch.where(torch.tensor(kept), LOGITS[0] / temperature, -torch.inf).softmax(-1)
    return shares.numpy()


@pytest.mark.parametrize(
    "settings, kept",
    [
        ({}, [True] * 5),
        ({"temperature": 0.7}, [True] * 5),
        ({"top_k": 2}, [False, True, False, True, False]),
        ({"top_p": 0.6}, [False, True, False, True, False]),
        ({"top_p": 1e-6}, [False, True, False, False, False]),
        ({"top_p": 0.9, "top_k": 3}, [False, True, False, True, True]),
        ({"never": (1, 3)}, [True, False, True, False, True]),
    ],
)
def test_draws_follow_the_probabilities(settings, kept):
    wanted = allowed(kept, temperature=settings.get("temperature", 1.0))
    assert frequencies(**settings) == pytest.approx(wanted, abs=2e-3)


@pytest.mark.parametrize("temperature", [0.0, 1e-6])
def test_without_temperature_the_likeliest_is_written(temperature):
    assert frequencies(temperature=temperature).tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize("number", [0.0, 1 - 1e-12])
def test_the_ends_of_the_numbers_draw_what_may_be_drawn(number):
    settings = Sampling(top_k=3)
    drawn = settings.draw(LOGITS, torch.tensor([number], dtype=torch.float64))
    assert drawn.item() in {1, 3, 4}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"temperature": -0.5}, "temperature must be at least 0, got -0.5"),
        ({"temperature": float("nan")}, "temperature must be at least 0, got nan"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, got 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Sampling(**settings)


@pytest.fixture(params=["transformer", "lstm"])
def model(request):
    torch.manual_seed(3)
    sizes = {"size": 11, "width": 16, "layers": 2, "dropout": 0.0}
    if request.param == "lstm":
        return CausalLstm(**sizes).eval()
    return CausalTransformer(**sizes, heads=2, kv_heads=None, feedforward=16, context=8).eval()


PROMPTS = ([4, 5, 6], [7], [8, 9, 10, 4, 5, 6, 7], [5, 5], [6] * 12)
SEEDS = [(1, 2), (3,), (4, 0), (5,), (6,)]


def test_company_cannot_matter(model):
    settings = {"length": 15, "sampling": Sampling(never=(0, 1, 2, 3))}
    together = continue_texts(model, PROMPTS, seeds=SEEDS, **settings)
    alone = [
        continue_texts(model, [prompt], seeds=[seed], **settings)[0]
        for prompt, seed in zip(PROMPTS, SEEDS, strict=True)
    ]
    assert together == alone
    assert {len(text) for text in together} == {15}
    assert min(map(min, together)) > 3


def test_greedy_writing_is_what_a_loop_writes(model):
    sampling = Sampling(temperature=0.0)
    written = continue_texts(model, PROMPTS[:1], length=20, sampling=sampling, seeds=[(0,)])[0]
    text, first = list(PROMPTS[0]), 0
    for _ in range(20):
        if model.longest and len(text) - first > model.longest:
            first = len(text) - model.longest // 2
        text.append(int(model(torch.tensor([text[first:]]))[0, -1].argmax()))
    assert written == text[3:]


def test_a_seed_decides(model):
    one, other, again = (
        continue_texts(model, PROMPTS, length=15, sampling=Sampling(), seeds=[(seed,)] * 5)
        for seed in (1, 2, 1)
    )
    assert one == again != other


def test_a_prompt_must_hold_a_token(model):
    with pytest.raises(DataError, match="prompts must hold a token each, got one without"):
        continue_texts(model, [[1], []], length=2, sampling=Sampling(), seeds=[(0,)] * 2)
