"""Text classifiers: padding cannot matter, known n-grams do, and training may drop both."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.text_classifier import ENCODERS, NgramEmbedding, build_classifier
from heedful.testing.tolerance import assert_close

SIZE, NGRAMS, LABELS = 11, 17, 5
LENGTHS = torch.tensor([3, 7, 5])
SETTINGS = {
    "pooling": {},
    "lstm": {"layers": 2},
    "transformer": {"layers": 1, "feedforward": 10},
    "cnn": {"layers": 2, "kernel": 3},
}
every_encoder = pytest.mark.parametrize("name", SETTINGS)


def settings(name, **changed):
    shared = {"size": SIZE, "ngrams": NGRAMS, "labels": LABELS, "unknown": 3}
    shared |= {"width": 12, "heads": 2, "score": "scaled_dot", "dropout": 0.0}
    return shared | {"token_dropout": 0.0, "ngram_dropout": 0.0} | SETTINGS[name] | changed


def build(name, **changed):
    model = build_classifier(name, **settings(name, **changed)).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter += 0.3 * noise
        for embedding in (model.embedding.tokens, model.embedding.ngrams):
            embedding.weight[0] = 0
    return model


def texts():
    generator = torch.Generator().manual_seed(2)
    inside = torch.arange(7) < LENGTHS[:, None]
    tokens = torch.randint(3, SIZE, (3, 7), generator=generator) * inside
    ngrams = torch.randint(0, NGRAMS, (3, 7, 2), generator=generator) * inside[..., None]
    return tokens, ngrams, LENGTHS


@every_encoder
@pytest.mark.parametrize("score", ["scaled_dot", "additive"])
@torch.no_grad()
def test_padding_cannot_matter(name, score):
    model, (tokens, ngrams, lengths) = build(name, score=score), texts()
    logits = model(tokens, ngrams, lengths)
    assert logits.shape == (3, LABELS)
    for row, length in enumerate(lengths.tolist()):
        here = slice(row, row + 1)
        alone = model(tokens[here, :length], ngrams[here, :length], lengths[here])
        # some ten layers, each a sum of some hundred products
        assert_close(logits[row], alone[0], roundings=1000, largest=logits.abs().max().item())


@torch.no_grad()
def test_pooling_alone_is_what_its_formula_says():
    model, (tokens, ngrams, lengths) = build("pooling"), texts()
    logits = model(tokens, ngrams, lengths)
    embedding = model.embedding
    for row, length in enumerate(lengths.tolist()):
        x = torch.stack(
            [
                embedding.tokens.weight[tokens[row, i]]
                + sum(embedding.ngrams.weight[n] for n in ngrams[row, i])
                for i in range(length)
            ]
        )
        pooled = model.norm(model.pooling(x[None])[0, 0])
        want = model.out(pooled) + model.direct(x.sum(0) / length**0.5)
        assert_close(logits[row], want, roundings=1000, largest=want.abs().max().item())


@every_encoder
def test_every_parameter_learns(name):
    model = build(name)
    model(*texts()).square().sum().backward()
    assert [key for key, each in model.named_parameters() if not each.grad.abs().sum() > 0] == []


@torch.no_grad()
def test_an_unknown_ngram_says_nothing():
    embedding = NgramEmbedding(SIZE, ngrams=NGRAMS, width=12, unknown=3).eval()
    tokens, ngrams, _ = texts()
    assert torch.equal(embedding(tokens, ngrams), embedding.tokens(tokens))


@torch.no_grad()
def test_training_drops_tokens_and_ngrams():
    tokens = torch.full((40, 50), 5)
    tokens[:, 30:] = 0
    ngrams = torch.full((40, 50, 2), 7)
    embedding = NgramEmbedding(
        SIZE, ngrams=NGRAMS, width=1, unknown=3, token_dropout=0.2, ngram_dropout=0.4
    )
    embedding.tokens.weight.zero_()[5] = 1
    embedding.tokens.weight[3] = 100
    torch.manual_seed(1)
    dropped = embedding(tokens, ngrams)[..., 0] == 100
    assert not dropped[:, 30:].any()  # padding is no token
    assert dropped[:, :30].double().mean().item() == pytest.approx(0.2, abs=0.05)
    embedding.tokens.weight.zero_()
    embedding.ngrams.weight[7] = 1
    kept = embedding(tokens, ngrams).mean().item() / 2
    assert kept == pytest.approx(0.6, abs=0.05)
    assert embedding.eval()(tokens, ngrams).mean().item() == 2


@pytest.mark.parametrize(
    "name, changed, message",
    [
        ("pooling", {"score": "dot"}, "score must be one of scaled_dot, additive, got 'dot'"),
        ("pooling", {"heads": 5}, "heads must divide width, got heads=5, width=12"),
        ("pooling", {"token_dropout": 1.0}, "token_dropout must be at least 0 and below 1, got 1"),
        ("pooling", {"ngram_dropout": -0.5}, "ngram_dropout must be at least 0 and below 1, got -"),
        ("lstm", {"width": 15, "heads": 3}, "width must be even for two directions, got 15"),
        ("cnn", {"kernel": 4}, "kernel must be odd, got 4"),
    ],
)
def test_refuses_settings(name, changed, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build_classifier(name, **settings(name, **changed))


def test_refuses_an_unknown_encoder():
    message = f"name must be one of pooling, {', '.join(ENCODERS)}, got 'gru'"
    with pytest.raises(ConfigError, match=re.escape(message)):
        build_classifier("gru", **settings("pooling"))
