"""Hierarchical attention: texts of a document are pooled with each other and with no one else."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.hierarchical_attention import MeanPooling, build_hierarchical

ENCODERS = ("none", "lstm", "cnn", "transformer")


SIZES = {"size": 11, "ngrams": 7, "labels": 3, "unknown": 3, "width": 8, "layers": 1}
NONE_DROPPED = {"dropout": 0.0, "token_dropout": 0.0, "ngram_dropout": 0.0}


def network(encoder="cnn", *, attention=True, direct=True, heads=2):
    torch.manual_seed(0)
    settings = {**SIZES, **NONE_DROPPED, "attention": attention, "direct": direct, "heads": heads}
    model = build_hierarchical(encoder, **settings)
    torch.nn.init.normal_(model.embedding.ngrams.weight)
    return model.eval()


def inputs(counts):
    torch.manual_seed(1)
    texts = sum(counts)
    lengths = torch.randint(2, 6, (texts,))
    lengths[0] = 6
    inside = torch.arange(6) < lengths[:, None]
    tokens = torch.randint(4, 11, (texts, 6)) * inside
    ngrams = torch.randint(0, 7, (texts, 6, 2)) * inside[..., None]
    return tokens, ngrams, lengths, torch.tensor(counts)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("attention", [True, False])
def test_a_document_is_answered_alone_as_in_company(encoder, attention):
    model = network(encoder, attention=attention)
    tokens, ngrams, lengths, counts = inputs([3, 1, 2])
    together = model(tokens, ngrams, lengths, counts)
    for row, (start, end) in enumerate([(0, 3), (3, 4), (4, 6)]):
        alone = model(tokens[start:end], ngrams[start:end], lengths[start:end], counts[row, None])
        torch.testing.assert_close(alone[0], together[row])


@pytest.mark.parametrize("attention", [True, False])
def test_the_order_of_texts_does_not_matter_but_their_words_do(attention):
    model = network(attention=attention)
    tokens, ngrams, lengths, counts = inputs([4])
    order = [2, 0, 3, 1]
    whole = model(tokens, ngrams, lengths, counts)
    torch.testing.assert_close(whole, model(tokens[order], ngrams[order], lengths[order], counts))
    tokens[2, 0] = 4 + (tokens[2, 0] - 3) % 7
    assert not torch.allclose(whole, model(tokens, ngrams, lengths, counts))


def test_a_linear_model_of_the_embeddings_is_added():
    tokens, ngrams, lengths, counts = inputs([2, 1])
    model = network(attention=False)
    plain = network(attention=False, direct=False)
    plain.load_state_dict(model.state_dict(), strict=False)
    x = model.embedding(tokens, ngrams).sum(1)
    sums = (
        torch.stack([x[:2].sum(0), x[2]])
        / torch.stack([lengths[:2].sum(), lengths[2]])[:, None].float().sqrt()
    )
    wanted = plain(tokens, ngrams, lengths, counts) + sums @ model.direct.weight.T
    torch.testing.assert_close(model(tokens, ngrams, lengths, counts), wanted)


def test_a_mean_is_of_what_is_there():
    pooling = MeanPooling(3)
    x = torch.randn(2, 5, 3)
    found = pooling(x, lengths=torch.tensor([2, 5]))
    torch.testing.assert_close(found, pooling.out(torch.stack([x[0, :2].mean(0), x[1].mean(0)])))


def test_unknown_encoders_and_sizes_are_refused():
    message = "encoder must be one of none, lstm, transformer, cnn, got 'gru'"
    with pytest.raises(ConfigError, match=re.escape(message)):
        network("gru")
    with pytest.raises(ConfigError, match="heads must divide width, got heads=3, width=8"):
        network("none", heads=3)
