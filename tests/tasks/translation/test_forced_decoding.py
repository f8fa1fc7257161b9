"""Forced decoding feeds every model what the original wrote, and texts leave when they end."""

import pytest
import torch

from heedful.data.examples import Example
from heedful.data.ragged import Ragged
from heedful.data.tokens import BOS
from heedful.tasks.translation.config import Config, Decode, RnnModel, Tokens, TransformerModel
from heedful.tasks.translation.forced_decoding import ForcedDecoding
from heedful.tasks.translation.pairs import train_vocabularies
from heedful.tasks.translation.task import Translation

TEXTS = ("one two", "three", "four five six seven", "two", "one one one")
EXAMPLES = [Example(text, "一二三四五六七") for text in TEXTS]


class Heard:
    """A network whose steps are written down; it says what it wants."""

    def __init__(self, network, *, silent=False):
        self.network, self.silent, self.steps, self.starts = network, silent, [], []

    def start(self, tokens, lengths):
        self.starts.append(len(tokens))
        return self.network.start(tokens, lengths)

    def step(self, tokens, state):
        self.steps.append(tokens.tolist())
        said = self.network.step(tokens, state)
        return torch.zeros_like(said) if self.silent else said


@pytest.fixture(params=[TransformerModel(width=16, heads=2), RnnModel(width=8, hidden=8)])
def translator(request):
    vocabularies = train_vocabularies(Tokens(), EXAMPLES)
    config = Config(model=request.param, decode=Decode(max_length=6, batch=2))
    torch.manual_seed(4)
    task = Translation(config, vocabularies)
    return task.translator(task.build())


def test_every_token_that_was_written_goes_in_once(translator):
    source = Ragged.pack(translator.vocabularies.source.encode(TEXTS))
    lengths = {row: row + 1 for row in range(5)}
    written = [[5 + row] * lengths[row] for row in range(5)]
    translator.write = lambda source, beam: written
    heard = Heard(translator.model)
    ForcedDecoding(translator, source)(heard)
    assert sorted(heard.starts) == [1, 2, 2]
    fed = sorted(token for step in heard.steps for token in step)
    # the last token of a text ends it: a step is taken for it, and its own is fed as any other
    assert fed == sorted([BOS] * 5 + [token for text in written for token in text])
    for step, after in zip(heard.steps, heard.steps[1:], strict=False):
        assert len(after) <= len(step) or set(after) == {BOS}, "a text that ended has left"


def test_what_a_model_says_does_not_matter(translator):
    source = Ragged.pack(translator.vocabularies.source.encode(TEXTS))
    work = ForcedDecoding(translator, source)
    honest, silent = Heard(translator.model), Heard(translator.model, silent=True)
    assert work(honest) is work(silent) is None
    assert honest.steps == silent.steps
    assert len(honest.steps) > 3
