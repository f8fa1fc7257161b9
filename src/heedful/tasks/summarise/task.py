"""Summaries: a network reads a text and writes a short one, pointing at words that it copies."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from heedful.data.alignment import Alignment
from heedful.data.blank import is_blank
from heedful.data.examples import Example, Splits
from heedful.data.scripts import composed
from heedful.data.tokens import PAD, UNKNOWN, Vocabulary, train_tokenizer
from heedful.errors import DataError
from heedful.metrics.rouge import rouge, rouge_l
from heedful.metrics.rows import row_accuracy, row_loss
from heedful.tasks.base import Rows, Task
from heedful.tasks.remarks import on_text
from heedful.tasks.summarise.config import Config, RnnModel, TableData, problem
from heedful.tasks.summarise.pairs import Pairs, as_read, encode, read_splits, read_table, written

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question
    from heedful.tasks.translation.translator import Translator

TEXT = attrgetter("text")


@dataclass(frozen=True)
class Summary:
    """What was written of a text.

    Args:
        text: The summary.
        copied: Words of it that the vocabulary does not hold.
        written: Tokens of it; those from the size of the vocabulary on are words of the text.
    """

    text: str
    copied: tuple[str, ...]
    written: tuple[int, ...]


class Summarise(Task[Example, Summary]):
    """A short text of a long one.

    Args:
        config: Of the training.
        vocabulary: Of both sides.
    """

    config_class = Config
    example_class = Example
    metrics = (
        rouge_l(answer=TEXT),
        rouge(1, answer=TEXT),
        rouge(2, answer=TEXT),
        row_accuracy(name="token_accuracy"),
        row_loss(),
    )
    files = ("task/tokens.json",)
    unit = "tokens"
    inference = ("decode",)
    remarks: ClassVar[Mapping[str, str]] = {
        "cut": "texts are longer than is read of them (tokens.max_length)"
    }

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config)
        self.vocabulary = vocabulary
        self.copying = not isinstance(config.model, RnnModel) and config.model.copying

    @classmethod
    def read(cls, config: Config) -> Splits[Example]:
        """Read or make the texts and their summaries."""
        return read_splits(config.data, config.seed)

    @classmethod
    def read_training(cls, config: Config) -> list[Example]:
        """Read or make the training split alone."""
        data = config.data
        known = isinstance(data, TableData)
        return read_table(data, data.train) if known else cls.read(config).train

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Example]:
        """Read a table with the columns of the training; after built-in data, the first two."""
        data = config.data if isinstance(config.data, TableData) else TableData(train="", dev="")
        return read_table(data, str(path))

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with sizes or shares."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Example]) -> Self:
        """Learn the vocabulary, one for both sides."""
        tokens = config.tokens
        texts = [as_read(text, tokens.lowercase) for x in examples for text in (x.source, x.target)]
        limits = {"vocabulary": tokens.vocabulary, "min_count": tokens.min_count}
        return cls(config, train_tokenizer("words", texts, **limits))

    def save(self, folder: Path) -> None:
        """Write the vocabulary."""
        self.vocabulary.save(folder / self.files[0])

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read the vocabulary."""
        return cls(config, Vocabulary.load(folder / cls.files[0]))

    def encode(self, examples: Sequence[Example], *, training: bool = False) -> Pairs:
        """Turn texts and summaries into tokens."""
        tokens = self.config.tokens
        return encode(
            examples,
            self.vocabulary,
            lowercase=tokens.lowercase,
            longest=tokens.max_length,
            copying=self.copying,
        )

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models import RnnSeq2Seq
        from heedful.models.pointer import PointerTransformer

        size, settings = self.vocabulary.size, self.config.model.model_dump(exclude={"name"})
        if isinstance(self.config.model, RnnModel):
            return RnnSeq2Seq(source_size=size, target_size=size, **settings)
        settings["positions"] = "rotary+sinusoidal"
        return PointerTransformer(size=size, unknown=UNKNOWN, **settings)

    @property
    def batch_limit(self) -> int:
        """Tokens, padding included."""
        return self.config.train.tokens_per_batch

    def loss(self, model: "nn.Module", batch: Any) -> "tuple[Tensor, int]":
        """Return the loss summed over target tokens, and how many those are."""
        from torch.nn.functional import cross_entropy

        source, lengths, target = batch
        logits, truth = model(source, lengths, target[:, :-1]), target[:, 1:]
        summed = cross_entropy(
            logits.flatten(0, 1).float(), truth.flatten(), ignore_index=PAD, reduction="sum"
        )
        return summed, int((truth != PAD).sum())

    def answer(self, model: "nn.Module", data: Any) -> list[Summary]:
        """Summarise every text."""
        found: list[Summary] = []
        size = self.vocabulary.size
        for tokens, words in zip(self._writer(model).write(data.source), data.words, strict=True):
            copied = dict.fromkeys(words[token - size].strip() for token in tokens if token >= size)
            text = written(self.vocabulary, tokens, words)
            found.append(Summary(text, tuple(copied), tuple(tokens)))
        return found

    def parse(self, text: str) -> Example:
        """Take a text to summarise."""
        if is_blank(text):
            raise DataError(f"a text must hold a word to summarise, got {text!r}")
        return Example(text, "")

    def identity(self, example: Example) -> Hashable:
        """Return both texts as they are read."""
        return tuple(as_read(text, self.config.tokens.lowercase) for text in _both(example))

    def show(self, answer: Summary) -> str:
        """Return the summary on one line."""
        return " ".join(answer.text.split())

    def to_json(self, example: Example, answer: Summary) -> dict[str, Any]:
        """Return a summary, and which words it had to copy."""
        copied = list(answer.copied)
        return {"text": example.source, "summary": self.show(answer), "copied": copied}

    def blank(self, text: str) -> dict[str, Any]:
        """Return an empty summary."""
        return {"text": text, "summary": "", "copied": []}

    def warnings(self, example: Example, answer: Summary) -> list[str]:
        """Say what of a text is not read and, where none can be copied, which words are new."""
        tokens = self.config.tokens
        text = as_read(example.source, tokens.lowercase)
        limit = (tokens.max_length, "tokens.max_length")
        return on_text(example.source, text, self.vocabulary, *limit, copied=self.copying)

    def remark(self, data: Any, answers: Sequence[Summary]) -> dict[str, int]:
        """Count texts that were not read to their end."""
        return {"cut": data.cut}

    def amount(self, answers: Sequence[Summary]) -> int:
        """Return how many tokens were written."""
        return sum(len(answer.written) for answer in answers)

    def details(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return how was searched."""
        return {"beam": self.config.decode.beam}

    def picture(self, model: Any, example: Example, answer: Summary) -> Alignment | None:
        """Return where each word of the summary points, or looks where nothing points."""
        from heedful.tasks.summarise.pointed import pointed

        return pointed(self, model, example.source, answer)

    def question(self, model: "nn.Module", example: Example, answer: Summary) -> "Question":
        """Ask which words of the text speak for each word of the summary."""
        from heedful.tasks.summarise.question import why_summarised

        return why_summarised(self, model, example.source, answer)

    def rows(self, model: "nn.Module", batch: Any) -> Rows:
        """Return the logits of every target token, words of the source included."""
        source, lengths, target = batch
        truth = target[:, 1:]
        here = truth != PAD
        logits = model(source, lengths, target[:, :-1])
        return Rows(outputs=logits[here], truth=truth[here], example=here.nonzero()[:, 0])

    def truth(self, batch: Any) -> "Tensor":
        """Return all target tokens but the first ones."""
        target = batch[2][:, 1:]
        return target[target != PAD]

    def work(self, model: "nn.Module", data: Any) -> "Callable[[nn.Module], object]":
        """Return a function that lets any model write, step by step, what this one writes."""
        from heedful.tasks.translation.forced_decoding import ForcedDecoding

        return ForcedDecoding(self._writer(model), data.source)

    def _writer(self, model: "nn.Module") -> "Translator":
        from heedful.tasks.translation.pairs import Vocabularies
        from heedful.tasks.translation.translator import Translator

        both = Vocabularies(self.vocabulary, self.vocabulary)
        longest = self.config.tokens.max_length
        return Translator(cast(Any, model), both, self.config.decode, longest=longest)


def _both(example: Example) -> tuple[str, str]:
    return composed(example.source), composed(example.target)
