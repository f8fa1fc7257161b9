"""Text classification: topic, sentiment, language, or any other label of a text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from heedful.data.alignment import Alignment
from heedful.data.batches import alike, size_batches
from heedful.data.examples import Splits
from heedful.data.ngrams import Ngrams
from heedful.data.ragged import Ragged
from heedful.data.scripts import composed
from heedful.data.tokens import UNKNOWN, Vocabulary, train_tokenizer
from heedful.errors import DataError, RunError
from heedful.files import read_whole, write_json
from heedful.metrics.classification import accuracy, macro_f1
from heedful.metrics.rows import UNKNOWN as NO_LABEL
from heedful.metrics.rows import row_loss
from heedful.tasks.base import Dataset, Rows, Task, device_of
from heedful.tasks.classify_text.config import Config, TableData, problem
from heedful.tasks.classify_text.texts import Batch, Labelled, Texts, read_splits, read_table
from heedful.texts import parse_json_as

if TYPE_CHECKING:
    from torch import Tensor, nn

LABEL = attrgetter("label")
LARGEST = 1 << 26  # bytes of labels
ANSWERED = 256  # texts at a time


@dataclass(frozen=True)
class Answer:
    """The most likely label, and the share of each one."""

    label: str
    shares: dict[str, float]


class ClassifyText(Task[Labelled, Answer]):
    """A label for a text: embedded n-grams, an encoder or none, attention pooling.

    Args:
        config: Of the training.
        vocabulary: Of tokens.
        ngrams: Those that are known.
        labels: All there are, in the order of the logits.
    """

    config_class = Config
    example_class = Labelled
    metrics = (accuracy(answer=LABEL), macro_f1(answer=LABEL), row_loss())
    files = ("task/tokens.json", "task/ngrams.safetensors", "task/labels.json")
    monitor = "accuracy"
    remarks: ClassVar[Mapping[str, str]] = {
        "cut": "texts are longer than is read of them (tokens.max_length)"
    }

    def __init__(
        self, config: Config, vocabulary: Vocabulary, ngrams: Ngrams, labels: Sequence[str]
    ) -> None:
        super().__init__(config)
        self.vocabulary, self.ngrams = vocabulary, ngrams
        self.labels = {label: number for number, label in enumerate(labels)}

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
        labels = sorted({example.label for example in examples})
        if len(labels) < 2:
            raise DataError(f"the training split must have two labels or more, got {labels}")
        return cls(config, vocabulary, ngrams, labels)

    def save(self, folder: Path) -> None:
        """Write tokens, n-grams and labels."""
        tokens, ngrams, labels = (folder / file for file in self.files)
        self.vocabulary.save(tokens)
        self.ngrams.save(ngrams)
        write_json(labels, list(self.labels))

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read tokens, n-grams and labels."""
        tokens, ngrams, labels = (folder / file for file in cls.files)
        return cls(config, Vocabulary.load(tokens), Ngrams.load(ngrams), _read_labels(labels))

    def encode(self, examples: Sequence[Labelled], *, training: bool = False) -> Texts:
        """Turn texts into tokens and n-grams; of a long one the first tokens are read."""
        for label in {example.label for example in examples} - self.labels.keys() - {""}:
            known = ", ".join(self.labels)
            raise DataError(f"a label must be one of {known:.200}, got {label!r:.80}")
        texts = [_typed(self.config, example.text) for example in examples]
        tokens = Ragged.pack(self.vocabulary.encode(texts))
        labels = [self.labels.get(example.label, NO_LABEL) for example in examples]
        longest = self.config.tokens.max_length
        return Texts(tokens, self.ngrams, np.array(labels, np.int64), longest=longest)

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

    def loss(self, model: "nn.Module", batch: Batch) -> "tuple[Tensor, int]":
        """Return the cross-entropy summed over texts, and how many those are."""
        from torch.nn.functional import cross_entropy

        logits = model(batch.tokens, batch.ngrams, batch.lengths)
        smoothing = self.config.train.label_smoothing
        loss = cross_entropy(logits, batch.labels, reduction="sum", label_smoothing=smoothing)
        return loss, len(batch.labels)

    def scores(self, model: "nn.Module", dev: Dataset) -> dict[str, float]:
        """Return the cross-entropy a text, and the share of right labels in per cent."""
        from torch.nn.functional import cross_entropy

        loss, right, device = 0.0, 0, device_of(model)
        for rows in size_batches(dev.sizes, most=self.batch_limit, seed=0, epoch=0):
            batch: Batch = dev.batch(rows, device)
            logits = model(batch.tokens, batch.ngrams, batch.lengths)
            loss += cross_entropy(logits, batch.labels, reduction="sum").item()
            right += int((logits.argmax(-1) == batch.labels).sum())
        return {"dev_loss": loss / len(dev), "accuracy": 100 * right / len(dev)}

    def answer(self, model: "nn.Module", data: Any) -> list[Answer]:
        """Label every text."""
        import torch

        names, device = list(self.labels), device_of(model)
        found: dict[int, Answer] = {}
        with torch.inference_mode():
            for rows in alike(data.tokens.lengths, most=ANSWERED, tokens=ANSWERED * 128):
                batch = data.batch(rows, device)
                shares = model(batch.tokens, batch.ngrams, batch.lengths).float().softmax(-1)
                for row, each in zip(rows, shares.cpu().tolist(), strict=True):
                    best = max(range(len(names)), key=each.__getitem__)
                    found[row] = Answer(names[best], dict(zip(names, each, strict=True)))
        return [found[row] for row in range(len(data))]

    def parse(self, text: str) -> Labelled:
        """Take a text to label."""
        if not text.strip():
            raise DataError(f"a text must hold something to label, got {text!r}")
        return Labelled(text)

    def identity(self, example: Labelled) -> str:
        """Return the text, however its letters were typed: its label does not make it another."""
        return _typed(self.config, example.text)

    def kind(self, example: Labelled) -> str:
        """Return the label, for scores by label."""
        return example.label

    def show(self, answer: Answer) -> str:
        """Return the label and its share."""
        return f"{answer.label}\t{answer.shares[answer.label]:.0%}"

    def to_json(self, example: Labelled, answer: Answer) -> dict[str, Any]:
        """Return the text, its label and the shares of all labels."""
        return {"text": example.text, "label": answer.label, "shares": answer.shares}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no label."""
        return {"text": text, "label": None, "shares": {}}

    def remark(self, data: Any, answers: Sequence[Answer]) -> dict[str, int]:
        """Count texts that were not read to their end."""
        return {"cut": data.cut}

    def picture(self, model: "nn.Module", example: Labelled, answer: Answer) -> Alignment | None:
        """Return how the pooling weighs each piece of the text: the mean over its heads."""
        from heedful.probing.probe import probe

        data = self.encode([example])
        with probe(model, sites="pooling") as heard:
            self.answer(model, data)
        end = int(data.tokens.lengths[0]) - 1  # the markers of beginning and end are not shown
        weights = heard.maps("pooling")[0, :, 0, 1:end].mean(0)
        weights = weights / weights.sum().clamp(min=1e-30)
        pieces = self.vocabulary.pieces(_typed(self.config, example.text))[1:end]
        return Alignment(
            source=tuple(pieces),
            target=(answer.label,),
            weights=(tuple(weights.tolist()),),
            title=f"{example.text} → {answer.label}",
        )

    def rows(self, model: "nn.Module", batch: Batch) -> Rows:
        """Return the logits, a row for each text."""
        import torch

        logits = model(batch.tokens, batch.ngrams, batch.lengths)
        here = torch.arange(len(logits), device=logits.device)
        return Rows(outputs=logits, truth=batch.labels, example=here)

    def truth(self, batch: Batch) -> "Tensor":
        """Return the labels."""
        return batch.labels


def _typed(config: Config, text: str) -> str:
    text = composed(text)
    return composed(text.lower()) if config.tokens.lowercase else text


def _read_labels(path: Path) -> list[str]:
    labels = parse_json_as(list[str], read_whole(path, most=LARGEST), path)
    if len(set(labels)) < max(2, len(labels)):
        raise RunError(f"{path} must have two labels or more, each once, got {labels!r:.80}")
    return labels
