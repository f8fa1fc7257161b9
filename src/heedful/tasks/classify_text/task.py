"""Text classification: topic, sentiment, language, or any other label of a text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from heedful.data.alignment import Alignment
from heedful.data.blank import is_blank
from heedful.data.examples import Splits
from heedful.data.ngrams import Ngrams
from heedful.data.ragged import Ragged
from heedful.data.scripts import composed
from heedful.data.tokens import UNKNOWN, Vocabulary, train_tokenizer
from heedful.errors import DataError
from heedful.tasks.classification import (
    LABELS,
    Classification,
    Prediction,
    labels_of,
    read_labels,
)
from heedful.tasks.classify_text.config import Config, TableData, problem
from heedful.tasks.classify_text.texts import Batch, Labelled, Texts, read_splits, read_table
from heedful.tasks.remarks import on_text

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

TOKENS, NGRAMS = "task/tokens.json", "task/ngrams.safetensors"


class ClassifyText(Classification[Labelled]):
    """A label for a text: embedded n-grams, an encoder or none, attention pooling.

    Args:
        config: Of the training.
        vocabulary: Of tokens.
        ngrams: Those that are known.
        labels: All there are, in the order of the logits.
    """

    config_class = Config
    example_class = Labelled
    files = (TOKENS, NGRAMS, LABELS)
    remarks: ClassVar[Mapping[str, str]] = {
        "cut": "texts are longer than is read of them (tokens.max_length)"
    }

    def __init__(
        self, config: Config, vocabulary: Vocabulary, ngrams: Ngrams, labels: Sequence[str]
    ) -> None:
        super().__init__(config, labels)
        self.vocabulary, self.ngrams = vocabulary, ngrams

    @classmethod
    def read(cls, config: Config) -> Splits[Labelled]:
        """Read or make the texts; a label that no text of the training split has is refused."""
        return read_splits(config.data, config.seed)

    @classmethod
    def read_training(cls, config: Config) -> list[Labelled]:
        """Read or make the training split alone."""
        data = config.data
        return (
            read_table(data, data.train) if isinstance(data, TableData) else cls.read(config).train
        )

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Labelled]:
        """Read a table with the columns of the training; after built-in data, the first two."""
        data = config.data if isinstance(config.data, TableData) else TableData(train="", dev="")
        return read_table(data, path)

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with the sizes of the network."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Labelled]) -> Self:
        """Learn tokens, n-grams and labels."""
        settings = config.tokens
        texts = [_typed(config, example.text) for example in examples]
        vocabulary = train_tokenizer(
            settings.kind, texts, vocabulary=settings.vocabulary, min_count=settings.min_count
        )
        ngrams = Ngrams.fit(
            Ragged.pack(vocabulary.encode(texts)).cut(settings.max_length),
            size=vocabulary.size,
            longest=settings.ngrams,
            min_count=settings.ngram_min_count,
        )
        return cls(config, vocabulary, ngrams, labels_of(examples))

    def save(self, folder: Path) -> None:
        """Write tokens, n-grams and labels."""
        super().save(folder)
        self.vocabulary.save(folder / TOKENS)
        self.ngrams.save(folder / NGRAMS)

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read tokens, n-grams and labels."""
        return cls(
            config,
            Vocabulary.load(folder / TOKENS),
            Ngrams.load(folder / NGRAMS),
            read_labels(folder / LABELS),
        )

    def encode(self, examples: Sequence[Labelled], *, training: bool = False) -> Texts:
        """Turn texts into tokens and n-grams; of a long one the first tokens are read."""
        texts = [_typed(self.config, example.text) for example in examples]
        tokens = Ragged.pack(self.vocabulary.encode(texts))
        longest = self.config.tokens.max_length
        return Texts(tokens, self.ngrams, self.numbers(examples), longest=longest)

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.text_classifier import build_classifier

        return build_classifier(
            size=self.vocabulary.size,
            ngrams=self.ngrams.count,
            labels=len(self.labels),
            unknown=UNKNOWN,
            **self.config.model.model_dump(),
        )

    @property
    def batch_limit(self) -> int:
        """Tokens, padding included."""
        return self.config.train.tokens_per_batch

    def logits(self, model: "nn.Module", batch: Batch) -> "Tensor":
        """Return the logits of each text."""
        return model(batch.tokens, batch.ngrams, batch.lengths)

    def parse(self, text: str) -> Labelled:
        """Take a text to label."""
        if is_blank(text):
            raise DataError(f"a text must hold something to label, got {text!r}")
        return Labelled(text)

    def identity(self, example: Labelled) -> str:
        """Return the text, however its letters were typed: its label does not make it another."""
        return _typed(self.config, example.text)

    def to_json(self, example: Labelled, answer: Prediction) -> dict[str, Any]:
        """Return the text, its label and the shares of all labels."""
        return {"text": example.text, "label": answer.label, "shares": answer.shares}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no label."""
        return {"text": text, "label": None, "shares": {}}

    def warnings(self, example: Labelled, answer: Prediction) -> list[str]:
        """Say what of a text is not read, and which pieces of it are new to the model."""
        longest = self.config.tokens.max_length - 2  # the markers of beginning and end are counted
        text = _typed(self.config, example.text)
        return on_text(example.text, text, self.vocabulary, longest, "tokens.max_length")

    def remark(self, data: Any, answers: Sequence[Prediction]) -> dict[str, int]:
        """Count texts that were not read to their end."""
        return {"cut": data.cut}

    def picture(
        self, model: "nn.Module", example: Labelled, answer: Prediction
    ) -> Alignment | None:
        """Return how the pooling weighs each piece of the text: the mean over its heads."""
        data = self.encode([example])
        end = int(data.tokens.lengths[0]) - 1  # the markers of beginning and end are not shown
        weights = self.pooling_weights(model, data)[0, 1:end]
        weights = weights / weights.sum().clamp(min=1e-30)
        pieces = self.vocabulary.pieces(_typed(self.config, example.text))[1:end]
        return Alignment(
            source=tuple(pieces),
            target=(answer.label,),
            weights=(tuple(weights.tolist()),),
            title=f"{example.text} → {answer.label}",
        )

    def question(self, model: "nn.Module", example: Labelled, answer: Prediction) -> "Question":
        """Ask which words speak for the label."""
        from heedful.tasks.classify_text.question import why_label

        return why_label(self, model, _typed(self.config, example.text), answer)

    def truth(self, batch: Batch) -> "Tensor":
        """Return the labels."""
        return batch.labels


def _typed(config: Config, text: str) -> str:
    text = composed(text)
    return composed(text.lower()) if config.tokens.lowercase else text
