"""Text generation: a causal language model goes on with a text."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from heedful.data.alignment import Alignment
from heedful.data.batches import alike
from heedful.data.blank import is_blank
from heedful.data.examples import Splits
from heedful.data.plain_text import read_text
from heedful.data.ragged import Ragged
from heedful.data.scripts import composed
from heedful.data.tokens import SPECIAL, Vocabulary, train_tokenizer
from heedful.errors import DataError
from heedful.metrics.metric import Floats, SumMetric
from heedful.metrics.rows import row_accuracy, row_loss
from heedful.tasks.base import Rows, Task, device_of
from heedful.tasks.generate_text.config import Config, TransformerModel, problem
from heedful.tasks.generate_text.passages import Batch, Passage, Windows, cut, read_splits
from heedful.tasks.remarks import SHOWN, never_seen, unknown_pieces

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

NEWLINE = "↵"


@dataclass(frozen=True, kw_only=True)
class TextRows(Rows):
    """What a model says to each token, and how many characters a row's example has.

    Args:
        characters: Of each example of the batch.
    """

    characters: "Tensor"


@dataclass(frozen=True)
class Continuation:
    """How a text goes on.

    Args:
        text: Behind the prompt.
        written: Tokens of it.
    """

    text: str
    written: tuple[int, ...]


def bits_per_character() -> SumMetric:
    """Return the loss over characters, in bits: it compares models with other tokens.

    Its statistics are made of `TextRows`, or of answers with `bits` and `characters`. Where rare
    characters have become `<unk>`, a model need not say which one it was, and the number is too
    good.
    """
    return SumMetric(
        name="bits_per_character", of=_bits, higher_is_better=False, unit=" bits", reads="rows"
    )


def _bits(said: Any, examples: Sequence[Any]) -> Floats:
    if not isinstance(said, TextRows):
        return np.array([[each.bits, each.characters] for each in said], float)
    loss = row_loss().statistics(cast(Any, said), examples)[:, 0] / math.log(2)
    return np.stack([loss, said.characters.cpu().double().numpy()], axis=1)


class GenerateText(Task[Passage, Continuation]):
    """A text goes on, token by token, by a model that reads what is before.

    Args:
        config: Of the training.
        vocabulary: Of its tokens.
    """

    config_class = Config
    example_class = Passage
    metrics = (row_loss(), bits_per_character(), row_accuracy())
    files = ("task/tokens.json",)
    unit = "tokens"
    inference = ("decode",)

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config)
        self.vocabulary = vocabulary

    @classmethod
    def read(cls, config: Config) -> Splits[Passage]:
        """Read or make the text, and cut it."""
        return read_splits(config.data)

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Passage]:
        """Cut a text as the held-out ones were cut."""
        return cut(read_text(path), length=config.data.passage, before=config.data.before)

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with sizes or shares."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Passage]) -> Self:
        """Learn the vocabulary."""
        texts = [example.text for example in examples]
        return cls(config, train_tokenizer(texts=texts, **config.tokens.model_dump()))

    def save(self, folder: Path) -> None:
        """Write the vocabulary."""
        self.vocabulary.save(folder / self.files[0])

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read the vocabulary."""
        return cls(config, Vocabulary.load(folder / cls.files[0]))

    def encode(self, examples: Sequence[Passage], *, training: bool = False) -> Windows:
        """Turn passages into tokens."""
        before, text = (
            Ragged.pack([row[1:-1] for row in self.vocabulary.encode(texts)])
            for texts in ([x.before for x in examples], [x.text for x in examples])
        )
        characters = [len(composed(x.text)) - (not x.before) for x in examples]
        context = self.config.model.context if training else None
        return Windows(before, text, np.array(characters, np.int64), context=context)

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.language_model import CausalLstm, CausalTransformer

        settings = self.config.model.model_dump(exclude={"name"})
        if isinstance(self.config.model, TransformerModel):
            return CausalTransformer(size=self.vocabulary.size, **settings)
        del settings["context"]
        return CausalLstm(size=self.vocabulary.size, **settings)

    @property
    def batch_limit(self) -> int:
        """Tokens, padding included."""
        return self.config.train.tokens_per_batch

    def loss(self, model: "nn.Module", batch: Batch) -> "tuple[Tensor, int]":
        """Return the cross-entropy summed over predicted tokens, and how many those are."""
        from torch.nn.functional import cross_entropy

        logits = model(batch.tokens).flatten(0, 1).float()
        loss = cross_entropy(logits, batch.truth.flatten(), reduction="sum")
        return loss, int((batch.truth >= 0).sum())

    def scores(self, model: "nn.Module", dev: Any) -> dict[str, float]:
        """Return the loss a token of some passages: all of them would take half of the time."""
        few = min(self.config.train.watched, len(dev))
        chosen = np.linspace(0, len(dev) - 1, few).round().astype(int).tolist()
        size = max(self.batch_limit // int(dev.sizes.max()), 1)
        total, count = 0.0, 0
        for start in range(0, few, size):
            batch = dev.batch(chosen[start : start + size], device_of(model))
            loss, tokens = self.loss(model, batch)
            total, count = total + loss.item(), count + tokens
        return {"dev_loss": total / count}

    def answer(self, model: Any, data: Any) -> list[Continuation]:
        """Go on with every text, with random numbers that its own tokens and the seed decide."""
        from heedful.models.continuation import Sampling, continue_texts

        decode = self.config.decode
        sampling = Sampling(
            temperature=decode.temperature,
            top_k=decode.top_k,
            top_p=decode.top_p,
            never=tuple(range(len(SPECIAL))),
        )
        prompts = [data.tokens(row) for row in range(len(data))]
        found: dict[int, list[int]] = {}
        for rows in alike(np.array([len(prompt) for prompt in prompts]), most=decode.batch):
            written = continue_texts(
                model,
                [prompts[row] for row in rows],
                length=decode.length,
                sampling=sampling,
                seeds=[[decode.seed, *prompts[row]] for row in rows],
            )
            found |= dict(zip(rows, written, strict=True))
        rows = [found[row] for row in range(len(data))]
        texts = self.vocabulary.decode(rows)
        return [Continuation(text, (*row,)) for text, row in zip(texts, rows, strict=True)]

    def parse(self, text: str) -> Passage:
        """Take a text to go on with."""
        if is_blank(text):
            raise DataError(f"a text must hold something to go on with, got {text!r}")
        return Passage(text)

    def identity(self, example: Passage) -> Hashable:
        """Return the text and what stands before it, however their letters were typed."""
        return composed(example.before), composed(example.text)

    def show(self, answer: Continuation) -> str:
        """Return how the text goes on, on one line."""
        return answer.text.replace("\n", NEWLINE)

    def to_json(self, example: Passage, answer: Continuation) -> dict[str, Any]:
        """Return the prompt, how it goes on, and pieces of it that are not known."""
        return {
            "prompt": example.text,
            "continuation": answer.text,
            "tokens": len(answer.written),
            "seed": self.config.decode.seed,
            "unknown": unknown_pieces(self.vocabulary, example.text),
        }

    def blank(self, text: str) -> dict[str, Any]:
        """Return no continuation."""
        plain = {"prompt": text, "continuation": "", "tokens": 0}
        return {**plain, "seed": self.config.decode.seed, "unknown": []}

    def warnings(self, example: Passage, answer: Continuation) -> list[str]:
        """Say which pieces of a prompt the model has never seen."""
        shown = example.text if len(example.text) <= SHOWN else f"…{example.text[1 - SHOWN :]}"
        return never_seen(repr(shown), unknown_pieces(self.vocabulary, example.text))

    def amount(self, answers: Sequence[Continuation]) -> int:
        """Return how many tokens were written."""
        return sum(len(answer.written) for answer in answers)

    def details(self, examples: Sequence[Passage]) -> dict[str, Any]:
        """Return what a held-out passage is."""
        data = self.config.data
        return {"passage_characters": data.passage, "characters_before": data.before}

    def picture(self, model: Any, example: Passage, answer: Continuation) -> Alignment | None:
        """Return where each new piece looked: the mean over layers and heads, near pieces only."""
        from heedful.tasks.generate_text.looks import looked

        return looked(model, self.vocabulary, example.text, answer.written)

    def question(self, model: Any, example: Passage, answer: Continuation) -> "Question":
        """Ask which words of the prompt speak for each token that was written."""
        from heedful.tasks.generate_text.question import why_continued

        return why_continued(self, model, example, answer)

    def rows(self, model: "nn.Module", batch: Batch) -> TextRows:
        """Return the logits of every predicted token."""
        here = batch.truth >= 0
        return TextRows(
            outputs=model(batch.tokens)[here],
            truth=batch.truth[here],
            example=here.nonzero()[:, 0],
            characters=batch.characters,
        )

    def truth(self, batch: Batch) -> "Tensor":
        """Return the predicted tokens."""
        return batch.truth[batch.truth >= 0]
