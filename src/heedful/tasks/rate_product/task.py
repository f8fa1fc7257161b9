"""Rating of products: a class and a score from reviews, by attention over words and reviews."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from heedful.data.alignment import Alignment
from heedful.data.batches import alike, size_batches
from heedful.data.blank import is_blank
from heedful.data.examples import Splits
from heedful.data.ngrams import Ngrams
from heedful.data.ragged import Ragged
from heedful.data.scripts import composed
from heedful.data.sentences import sentences
from heedful.data.tokens import UNKNOWN, Vocabulary, train_tokenizer
from heedful.errors import DataError
from heedful.metrics.classification import accuracy, macro_f1
from heedful.metrics.regression import mean_squared_error
from heedful.metrics.rows import row_loss
from heedful.tasks.base import Dataset, Rows, Task, device_of
from heedful.tasks.rate_product.config import Config, TableData, problem
from heedful.tasks.rate_product.products import Batch, Product, Products, read_splits, read_table
from heedful.tasks.rate_product.scale import Scale
from heedful.tasks.remarks import not_read, on_text

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

LABEL, SCORE = attrgetter("label"), attrgetter("score")
ANSWERED, ROOM = 256, 32_768  # products at a time, and their tokens
BETWEEN = " | "  # reviews in what a user types


@dataclass(frozen=True)
class Rating:
    """The most likely class, the score that is expected of all of them, and their shares."""

    label: str
    score: float
    shares: dict[str, float]


class RateProduct(Task[Product, Rating]):
    """A class and a score for a product: words of each review are pooled, then its reviews.

    Args:
        config: Of the training.
        vocabulary: Of tokens.
        ngrams: Those that are known.
        scale: Classes and what they are worth.
    """

    config_class = Config
    example_class = Product
    metrics = (
        accuracy(answer=LABEL),
        mean_squared_error(answer=SCORE, truth=SCORE),
        macro_f1(answer=LABEL),
        row_loss(),
    )
    files = ("task/tokens.json", "task/ngrams.safetensors", "task/scale.json")
    monitor = "mse"
    unit = "products"
    remarks: ClassVar[Mapping[str, str]] = {
        "cut": "reviews are longer than is read of them (tokens.max_length)"
    }

    def __init__(
        self, config: Config, vocabulary: Vocabulary, ngrams: Ngrams, scale: Scale
    ) -> None:
        super().__init__(config)
        self.vocabulary, self.ngrams, self.scale = vocabulary, ngrams, scale

    @classmethod
    def read(cls, config: Config) -> Splits[Product]:
        """Read or make the products; a class that the training split has not is refused."""
        return read_splits(config.data, config.seed)

    @classmethod
    def read_training(cls, config: Config) -> list[Product]:
        """Read or make the training split alone."""
        data = config.data
        return (
            read_table(data, data.train) if isinstance(data, TableData) else cls.read(config).train
        )

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Product]:
        """Read a table with the columns of the training; after built-in data, those of products."""
        data = config.data
        if not isinstance(data, TableData):
            data = TableData(train="", dev="", rating="score", product="product")
        return read_table(data, path)

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with the settings."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Product]) -> Self:
        """Learn tokens, n-grams, and what classes are worth."""
        settings = config.tokens
        texts = [_typed(config, text) for each in examples for text in each.reviews]
        vocabulary = train_tokenizer(
            settings.kind, texts, vocabulary=settings.vocabulary, min_count=settings.min_count
        )
        ngrams = Ngrams.fit(
            Ragged.pack(vocabulary.encode(texts)).cut(settings.max_length),
            size=vocabulary.size,
            longest=settings.ngrams,
            min_count=settings.ngram_min_count,
        )
        return cls(config, vocabulary, ngrams, Scale.fit(examples))

    def save(self, folder: Path) -> None:
        """Write tokens, n-grams and classes."""
        tokens, ngrams, scale = (folder / file for file in self.files)
        self.vocabulary.save(tokens)
        self.ngrams.save(ngrams)
        self.scale.save(scale)

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read tokens, n-grams and classes."""
        tokens, ngrams, scale = (folder / file for file in cls.files)
        return cls(config, Vocabulary.load(tokens), Ngrams.load(ngrams), Scale.load(scale))

    def encode(self, examples: Sequence[Product], *, training: bool = False) -> Products:
        """Turn reviews into tokens and n-grams; of many the first ones are read."""
        reviews = [example.reviews[: self.config.tokens.max_reviews] for example in examples]
        texts = [_typed(self.config, text) for each in reviews for text in each]
        scores = [np.nan if example.score is None else example.score for example in examples]
        return Products(
            Ragged.pack(self.vocabulary.encode(texts)),
            np.array([len(each) for each in reviews], np.int64),
            self.ngrams,
            self.scale.numbers(examples),
            np.array(scores, np.float32),
            longest=self.config.tokens.max_length,
        )

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.hierarchical_attention import build_hierarchical

        return build_hierarchical(
            size=self.vocabulary.size,
            ngrams=self.ngrams.count,
            labels=len(self.scale.values),
            unknown=UNKNOWN,
            **self.config.model.model_dump(),
        )

    @property
    def batch_limit(self) -> int:
        """Tokens, padding included."""
        return self.config.train.tokens_per_batch

    def loss(self, model: "nn.Module", batch: Batch) -> "tuple[Tensor, int]":
        """Return cross-entropy and squared error, summed over products, and how many those are.

        The error is that of the expected score, in units of the variance of the ratings.
        """
        from torch.nn.functional import cross_entropy

        settings, logits = self.config.train, _logits(model, batch).float()
        smoothing = settings.label_smoothing
        loss = cross_entropy(logits, batch.labels, reduction="sum", label_smoothing=smoothing)
        error = (self.scale.expected(logits) - batch.scores).square().sum() / self.scale.variance
        return loss + settings.score_weight * error, len(batch.labels)

    def scores(self, model: "nn.Module", dev: Dataset) -> dict[str, float]:
        """Return the mean squared error, the share of right classes, and the cross-entropy."""
        from torch.nn.functional import cross_entropy

        sums, device = np.zeros(3), device_of(model)
        for rows in size_batches(dev.sizes, most=self.batch_limit, seed=0, epoch=0):
            batch: Batch = dev.batch(rows, device)
            logits = _logits(model, batch).float()
            error = (self.scale.expected(logits) - batch.scores).square().sum()
            right = (logits.argmax(-1) == batch.labels).sum()
            loss = cross_entropy(logits, batch.labels, reduction="sum")
            sums += [error.item(), 100 * right.item(), loss.item()]
        return dict(zip(("mse", "accuracy", "dev_loss"), (sums / len(dev)).tolist(), strict=True))

    def answer(self, model: "nn.Module", data: Any) -> list[Rating]:
        """Rate every product."""
        import torch

        names, device = list(self.scale.values), device_of(model)
        found: dict[int, Rating] = {}
        with torch.inference_mode():
            for rows in alike(data.sizes[:, 0], most=ANSWERED, tokens=ROOM):
                shares = _logits(model, data.batch(rows, device)).float().softmax(-1)
                for row, each in zip(rows, shares.cpu().tolist(), strict=True):
                    of = dict(zip(names, each, strict=True))
                    found[row] = Rating(max(names, key=of.__getitem__), self.scale.score(of), of)
        return [found[row] for row in range(len(data))]

    def parse(self, text: str) -> Product:
        """Take reviews that ` | ` parts, or, after a training on single reviews, one review."""
        data = self.config.data
        single = isinstance(data, TableData) and not data.product
        parts = sentences(text) if single else text.split(BETWEEN)
        reviews = tuple(part for part in parts if not is_blank(part))
        if not reviews:
            raise DataError(f"a product must have a review to be rated by, got {text!r}")
        return Product(reviews)

    def identity(self, example: Product) -> tuple[str, ...]:
        """Return the reviews: their rating does not make it another product."""
        return tuple(_typed(self.config, text) for text in example.reviews)

    def kind(self, example: Product) -> str:
        """Return the class, for scores by class."""
        return example.label

    def show(self, answer: Rating) -> str:
        """Return class, score, and the share of the class."""
        return f"{answer.label}\t{answer.score:.2f}\t{answer.shares[answer.label]:.0%}"

    def to_json(self, example: Product, answer: Rating) -> dict[str, Any]:
        """Return the reviews, the class, the score and the shares of all classes."""
        return {"reviews": list(example.reviews), **vars(answer)}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no rating."""
        return {"reviews": [], "label": None, "score": None, "shares": {}}

    def warnings(self, example: Product, answer: Rating) -> list[str]:
        """Say what of the reviews is not read, and which pieces of them are new to the model."""
        tokens, given = self.config.tokens, len(example.reviews)
        most, longest = tokens.max_reviews, tokens.max_length - 2  # without markers
        said = not_read("a product", "first reviews", given, most, "tokens.max_reviews")
        for review in example.reviews[:most]:
            text = _typed(self.config, review)
            said += on_text(review, text, self.vocabulary, longest, "tokens.max_length")
        return said

    def remark(self, data: Any, answers: Sequence[Rating]) -> dict[str, int]:
        """Count reviews that were not read to their end."""
        return {"cut": data.cut}

    def picture(self, model: "nn.Module", example: Product, answer: Rating) -> Alignment | None:
        """Return how much each piece of each review counts: its share of its review's share."""
        from heedful.tasks.rate_product.evidence import weighted_pieces

        pieces = weighted_pieces(self, model, [example])
        if pieces is None:
            return None
        total = sum(piece.weight for piece in pieces[0]) or 1.0
        return Alignment(
            source=tuple(piece.text for piece in pieces[0]),
            target=(answer.label,),
            weights=(tuple(piece.weight / total for piece in pieces[0]),),
            title=f"{BETWEEN.join(example.reviews):.200} → {answer.label} ({answer.score:.2f})",
        )

    def question(self, model: "nn.Module", example: Product, answer: Rating) -> "Question":
        """Ask which words of the reviews speak for the class."""
        from heedful.tasks.rate_product.question import why_rated

        return why_rated(self, model, example, answer)

    def rows(self, model: "nn.Module", batch: Batch) -> Rows:
        """Return the logits, a row for each product."""
        import torch

        logits = _logits(model, batch)
        here = torch.arange(len(logits), device=logits.device)
        return Rows(outputs=logits, truth=batch.labels, example=here)

    def truth(self, batch: Batch) -> "Tensor":
        """Return the numbers of the classes."""
        return batch.labels

    def typed(self, text: str) -> str:
        """Return a text in the form in which it is read."""
        return _typed(self.config, text)


def _logits(model: "nn.Module", batch: Batch) -> "Tensor":
    return model(batch.tokens, batch.ngrams, batch.lengths, batch.counts)


def _typed(config: Config, text: str) -> str:
    text = composed(text)
    return composed(text.lower()) if config.tokens.lowercase else text
