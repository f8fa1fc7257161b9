"""Texts of which it is known which words decide, and a model that reads them by attention."""

from functools import partial
from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from heedful.errors import ConfigError
from heedful.explaining.question import Question

BLANK = 0  # stands where a word was removed
WIDTH = 8
MEANING, SALIENCE = 0, 1  # what the first two numbers of a vector say
NOISE = 0.05  # spread of all other words and numbers
STRENGTHS = (1.0, 1.5)  # of evidence, from the weakest to the strongest


@final
class AttentiveReader(nn.Module):
    """The log-odds of a text: attention finds salient words, and their meanings are added up.

    Args:
        words: How many it knows, `BLANK` included.
    """

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, WIDTH)
        self.salience = nn.Linear(WIDTH, 1)
        self.odds = nn.Linear(WIDTH, 1)

    def forward(self, words: Tensor) -> Tensor:
        """Return `(texts, 1)` of `(texts, length)`."""
        vectors = self.embedding(words)
        weights = self.salience(vectors).softmax(1)
        return self.odds((weights * vectors).sum(1))


class PlantedEvidence(NamedTuple):
    """A question with a known answer.

    Args:
        model: What was asked.
        question: Why it says what it says.
        weights: The right map `(1, pieces)`: what each word means.
    """

    model: AttentiveReader
    question: Question
    weights: NDArray[np.float64]


@torch.no_grad()
def plant_evidence(*, seed: int = 0, pieces: int = 30, evidence: int = 3) -> PlantedEvidence:
    """Return a text in which a few words speak for the answer, as many against it, the rest hardly.

    Args:
        seed: Of the words and of where they stand.
        pieces: Words of the text.
        evidence: How many speak for the answer.

    Raises:
        ConfigError: No evidence, or more than the text has room for.
    """
    if not 1 <= evidence <= pieces // 2:
        raise ConfigError(f"evidence must be in 1 to {pieces // 2}, got {evidence}")
    generator = torch.Generator().manual_seed(seed)
    meanings = NOISE * torch.randn(pieces, generator=generator, dtype=torch.float64)
    strengths = torch.linspace(*STRENGTHS, evidence, dtype=torch.float64)
    places = torch.randperm(pieces, generator=generator)
    meanings[places[:evidence]] = strengths
    meanings[places[evidence : 2 * evidence]] = -strengths / 2
    model = AttentiveReader(pieces + 1).eval()
    for parameter in model.parameters():
        parameter.copy_(NOISE * torch.randn(parameter.shape, generator=generator))
    model.embedding.weight[BLANK] = 0
    model.embedding.weight[1:, MEANING] = meanings.float()
    model.embedding.weight[1:, SALIENCE] = meanings.float().abs()
    model.salience.weight[0, SALIENCE] = 2
    model.odds.weight[0, MEANING] = 10
    words = torch.arange(1, pieces + 1)
    question = Question(
        pieces=tuple(f"word {word}" for word in words.tolist()),
        targets=("yes",),
        inputs=partial(_keep, words),
        scores=_scores,
        removal="a blank",
        embedding="embedding",
        embedded=tuple(range(pieces)),
    )
    return PlantedEvidence(model, question, meanings[None].numpy())


def _keep(words: Tensor, kept: Tensor) -> Tensor:
    return torch.where(kept, words.to(kept.device), BLANK)


def _scores(model: nn.Module, words: Tensor) -> Tensor:
    return model(words)
