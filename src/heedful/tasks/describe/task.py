"""Description of images: a sentence that tells what one shows, word by word."""

from collections.abc import Hashable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from heedful.data.batches import size_batches
from heedful.data.examples import Splits
from heedful.data.image_attention import ImageAttention
from heedful.data.ragged import Ragged
from heedful.data.tokens import PAD, Vocabulary, train_tokenizer
from heedful.metrics.rows import row_accuracy, row_loss
from heedful.metrics.texts import bleu, bleu_signature, chrf, exact_match
from heedful.tasks.base import Dataset, Rows, Task, device_of
from heedful.tasks.columns import Columns
from heedful.tasks.describe.captions import (
    Captioned,
    load_pixels,
    parse,
    places_of_words,
    read_splits,
    read_table,
)
from heedful.tasks.describe.config import Config, SceneData, TableData, image_shape, problem

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question
    from heedful.tasks.describe.writing import Description

TEXT, CAPTION = attrgetter("text"), attrgetter("caption")


class Describe(Task[Captioned, "Description"]):
    """An image in, a sentence out, by a decoder whose words look at places of the image.

    Args:
        config: Of the training.
        vocabulary: Of the sentences.
    """

    config_class = Config
    example_class = Captioned
    takes = ("image",)
    metrics = (
        exact_match(answer=TEXT, truth=CAPTION),
        chrf(answer=TEXT, truth=CAPTION),
        bleu(answer=TEXT, truth=CAPTION),
        row_accuracy(name="token_accuracy"),
        row_loss(),
    )
    files = ("task/tokens.json",)
    unit = "images"
    inference = ("decode",)
    remarks: ClassVar[Mapping[str, str]] = {
        "cut": "sentences had not ended where decode.max_length cuts them off",
        "named": "words name something of an object whose place is known",
        "elsewhere": "of them looked most at a place where that object is not",
    }

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config)
        self.vocabulary = vocabulary

    @classmethod
    def read(cls, config: Config) -> Splits[Captioned]:
        """Read or draw the examples."""
        return read_splits(config.data, config.seed)

    @classmethod
    def read_training(cls, config: Config) -> list[Captioned]:
        """Read or draw the training split alone."""
        data = config.data
        return (
            read_table(data, data.train) if isinstance(data, TableData) else cls.read(config).train
        )

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Captioned]:
        """Read a table with the columns of the training; after scenes, `path` and `caption`."""
        data, (size, channels) = config.data, image_shape(config.data)
        if not isinstance(data, TableData):
            data = TableData(train="", dev="", size=size, colour=channels == 3)
        return read_table(data, path)

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with the sizes of the network."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Captioned]) -> Self:
        """Learn the words of the sentences."""
        tokens = config.tokens
        return cls(
            config,
            train_tokenizer(
                tokens.kind,
                [example.caption for example in examples],
                vocabulary=tokens.vocabulary,
                min_count=tokens.min_count,
            ),
        )

    def save(self, folder: Path) -> None:
        """Write the words."""
        self.vocabulary.save(folder / self.files[0])

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read the words."""
        return cls(config, Vocabulary.load(folder / cls.files[0]))

    def encode(self, examples: Sequence[Captioned], *, training: bool = False) -> Columns:
        """Read the images and turn the sentences into tokens."""
        captions = self.vocabulary.encode([example.caption for example in examples])
        columns: dict[str, Any] = {
            "images": load_pixels(examples, self.config.data),
            "caption": Ragged.pack(captions),
        }
        if isinstance(self.config.data, SceneData) and not training:
            columns["named"] = self._named(examples)
        return Columns(pad=PAD, **columns)

    def _named(self, examples: Sequence[Captioned]) -> Any:
        patch = self.config.model.patch
        pieces = [self.vocabulary.pieces(example.caption)[1:-1] for example in examples]
        return places_of_words(examples, pieces, self.config.data, patch=patch)

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.image_captioner import ImageCaptioner

        size, channels = image_shape(self.config.data)
        return ImageCaptioner(
            target_size=self.vocabulary.size,
            size=size,
            channels=channels,
            **self.config.model.model_dump(),
        )

    def loss(self, model: "nn.Module", batch: Any) -> "tuple[Tensor, int]":
        """Return the cross-entropy summed over tokens, and how many those are."""
        from heedful.tasks.describe.writing import cross_entropy

        settings = self.config.train
        total, _, tokens = cross_entropy(model, batch, smoothing=settings.label_smoothing)
        return total, tokens

    def scores(self, model: "nn.Module", dev: Dataset) -> dict[str, float]:
        """Return the cross-entropy a token, and the share guessed right from those before."""
        from heedful.tasks.describe.writing import cross_entropy

        total, right, tokens = 0.0, 0, 0
        for rows in size_batches(dev.sizes, most=self.batch_limit, seed=0, epoch=0):
            loss, hits, count = cross_entropy(model, dev.batch(rows, device_of(model)))
            total, right, tokens = total + loss.item(), right + hits, tokens + count
        return {"dev_loss": total / tokens, "token_accuracy": right / tokens}

    def answer(self, model: "nn.Module", data: Any) -> "list[Description]":
        """Describe every image."""
        from heedful.tasks.describe.writing import describe

        return describe(model, data, self.vocabulary, self.config.decode)

    def parse(self, text: str) -> Captioned:
        """Take the path of an image, or the text of a scene."""
        return parse(text, self.config.data)

    def identity(self, example: Captioned) -> Hashable:
        """Return the pixels of a file, wherever it is, or the scene."""
        return example.hash or example.image

    def show(self, answer: "Description") -> str:
        """Return the sentence on one line."""
        return " ".join(answer.text.split())

    def to_json(self, example: Captioned, answer: "Description") -> dict[str, Any]:
        """Return the image and its sentence."""
        return {"image": example.image, "caption": self.show(answer), "cut": answer.cut}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no sentence."""
        return {"image": text, "caption": None, "cut": False}

    def warnings(self, example: Captioned, answer: "Description") -> list[str]:
        """Say that a sentence has no end."""
        limit = self.config.decode.max_length
        said = f"the sentence of {example.image} is cut at {limit} tokens (decode.max_length)"
        return [said] if answer.cut else []

    def remark(self, data: Any, answers: "Sequence[Description]") -> dict[str, int]:
        """Count sentences that were cut off, and words that looked where they should."""
        return {name: sum(int(getattr(each, name)) for each in answers) for name in self.remarks}

    def details(self, examples: Sequence[Captioned]) -> dict[str, Any]:
        """Return how BLEU was computed, and how was searched."""
        signature = bleu_signature([example.caption for example in examples])
        return {"bleu_signature": signature, "beam": self.config.decode.beam}

    def picture(
        self, model: "nn.Module", example: Captioned, answer: "Description"
    ) -> ImageAttention | None:
        """Return the image, and where each word looked."""
        from heedful.tasks.describe.writing import look

        [image] = load_pixels([example], self.config.data)
        return look(model, image, answer, self.vocabulary, title=self.show(answer))

    def question(self, model: "nn.Module", example: Captioned, answer: "Description") -> "Question":
        """Ask which cells of the image speak for each word."""
        from heedful.tasks.describe.question import why_described

        return why_described(self, model, example, answer)

    def rows(self, model: "nn.Module", batch: Any) -> Rows:
        """Return the logits of every token."""
        from heedful.tasks.describe.writing import logits_of

        logits, truth = logits_of(model, batch)
        here = truth != PAD
        logits, truth = logits[here], truth[here]
        return Rows(outputs=logits, truth=truth, example=here.nonzero()[:, 0])

    def truth(self, batch: Any) -> "Tensor":
        """Return all tokens but the first ones."""
        target = batch["caption"][:, 1:]
        return target[target != PAD]
