"""Translation: text in one language in, text in another out."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from heedful.data.alignment import Alignment
from heedful.data.blank import is_blank
from heedful.data.examples import Example, Splits
from heedful.data.files import read_tsv
from heedful.data.load import load_data, load_training, located
from heedful.data.scripts import composed
from heedful.data.tokens import PAD, Vocabulary
from heedful.errors import DataError
from heedful.metrics.rows import row_accuracy, row_loss
from heedful.metrics.texts import bleu, chrf, exact_match
from heedful.tasks.base import Dataset, Rows, Task, device_of
from heedful.tasks.translation.config import Config, RnnModel
from heedful.tasks.translation.validity import problem

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question
    from heedful.tasks.translation.pairs import Pairs, Vocabularies
    from heedful.tasks.translation.translator import Network, Translated, Translator

SIDES = ("source", "target")
DEV_TOKENS = 8_192  # a batch
TEXT = attrgetter("text")


class Translation(Task[Example, "Translated"]):
    """Text in one language in, text in another out, by an encoder and a decoder.

    Args:
        config: Of the training.
        vocabularies: Of both sides.
    """

    config_class = Config
    example_class = Example
    metrics = (
        exact_match(answer=TEXT),
        chrf(answer=TEXT),
        bleu(answer=TEXT),
        row_accuracy(name="token_accuracy"),
        row_loss(),
    )
    files = ("tokens/source.json", "tokens/target.json")
    unit = "tokens"
    inference = ("decode",)
    remarks: ClassVar[Mapping[str, str]] = {
        "too_long": "sources are longer than any in training (data.max_length)",
        "cut": "translations had not ended where decode.max_length cuts them off",
    }

    def __init__(self, config: Config, vocabularies: "Vocabularies") -> None:
        super().__init__(config)
        self.vocabularies = vocabularies

    @classmethod
    def read(cls, config: Config) -> Splits[Example]:
        """Read or make the pairs."""
        return load_data(config.data, config.seed)

    @classmethod
    def read_training(cls, config: Config) -> list[Example]:
        """Read or make the training split alone."""
        return load_training(config.data, config.seed)

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Example]:
        """Read pairs separated by tabs."""
        return read_tsv(path)

    @classmethod
    def located(cls, config: Config) -> Config:
        """Return the config with absolute paths."""
        return config.model_copy(update={"data": located(config.data)})

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with the sizes of the model."""
        return problem(config.model.model_dump(exclude_none=True))

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Example]) -> Self:
        """Learn both vocabularies."""
        from heedful.tasks.translation.pairs import train_vocabularies

        return cls(config, train_vocabularies(config.tokens, examples))

    def save(self, folder: Path) -> None:
        """Write both vocabularies."""
        for side, file in zip(SIDES, self.files, strict=True):
            getattr(self.vocabularies, side).save(folder / file)

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read both vocabularies."""
        from heedful.tasks.translation.pairs import Vocabularies

        return cls(config, Vocabularies(*(Vocabulary.load(folder / file) for file in cls.files)))

    def encode(self, examples: Sequence[Example], *, training: bool = False) -> "Pairs":
        """Turn pairs into tokens; those beyond `data.max_length` are no part of a training."""
        from heedful.tasks.translation.pairs import encode

        limit = self.config.data.max_length if training else None
        return encode(examples, self.vocabularies, max_length=limit)[0]

    def build(self) -> "Network":
        """Make the network that the config describes."""
        from heedful.models import RnnSeq2Seq, Transformer

        vocabularies = self.vocabularies
        sizes = {
            "source_size": vocabularies.source.size,
            "target_size": vocabularies.target.size,
        }
        settings = self.config.model.model_dump(exclude={"name"})
        if isinstance(self.config.model, RnnModel):
            return RnnSeq2Seq(**sizes, **settings)
        longest = max(self.config.data.max_length, self.config.decode.max_length) + 2
        return Transformer(**sizes, **settings, max_length=longest)

    @property
    def batch_limit(self) -> int:
        """Tokens, padding included."""
        return self.config.train.tokens_per_batch

    @cached_property
    def _loss(self) -> "Callable[..., Tensor]":
        from heedful.tasks.translation.losses import LOSSES

        return LOSSES[self.config.train.loss]

    def loss(self, model: "nn.Module", batch: Any) -> "tuple[Tensor, int]":
        """Return the loss summed over target tokens, and how many those are."""
        source, lengths, target = batch
        logits = model(source, lengths, target[:, :-1])
        smoothing = self.config.train.label_smoothing
        return self._loss(logits, target[:, 1:], pad=PAD, smoothing=smoothing), _predicted(target)

    def scores(self, model: "nn.Module", dev: Dataset) -> dict[str, float]:
        """Return the cross-entropy a token, and the share guessed right from those before."""
        from heedful.data.batches import size_batches
        from heedful.tasks.translation.losses import cross_entropy

        total, right, tokens, device = 0.0, 0, 0, device_of(model)
        for rows in size_batches(dev.sizes, most=DEV_TOKENS, seed=0, epoch=0):
            source, lengths, target = dev.batch(rows, device)
            logits, truth = model(source, lengths, target[:, :-1]), target[:, 1:]
            total += cross_entropy(logits, truth, pad=PAD).item()
            right += int(((logits.argmax(-1) == truth) & (truth != PAD)).sum())
            tokens += _predicted(target)
        return {"dev_loss": total / tokens, "token_accuracy": right / tokens}

    def translator(self, model: "nn.Module") -> "Translator":
        """Return a model with the tokenisers and the search of this training."""
        from heedful.tasks.translation.translator import Translator

        longest = self.config.data.max_length
        return Translator(model, self.vocabularies, self.config.decode, longest=longest)  # type: ignore[arg-type]

    def answer(self, model: "nn.Module", data: Any) -> "list[Translated]":
        """Translate every source."""
        return self.translator(model).answer(data.source)

    def parse(self, text: str) -> Example:
        """Take a text to translate."""
        if is_blank(text):
            raise DataError(f"a text must hold a word to translate, got {text!r}")
        return Example(text, "")

    def identity(self, example: Example) -> Hashable:
        """Return both texts, however their letters were typed."""
        return composed(example.source), composed(example.target)

    def kind(self, example: Example) -> str:
        """Return what sort of phrase it is."""
        return example.kind

    def show(self, answer: "Translated") -> str:
        """Return the translation on one line."""
        return " ".join(answer.text.splitlines())

    def to_json(self, example: Example, answer: "Translated") -> dict[str, Any]:
        """Return a translation and what is wrong with it."""
        from heedful.tasks.remarks import unknown_pieces

        vocabulary = self.vocabularies.source
        return {
            "text": example.source,
            "translation": self.show(answer),
            "tokens": answer.tokens,
            "too_long": answer.too_long,
            "cut": answer.cut,
            "unknown": unknown_pieces(vocabulary, example.source) if answer.unknown else [],
            "known": answer.tokens - answer.unknown,
        }

    def blank(self, text: str) -> dict[str, Any]:
        """Return an empty translation."""
        wrong: dict[str, Any] = {"too_long": False, "cut": False, "unknown": [], "known": 0}
        return {"text": text, "translation": "", "tokens": 0, **wrong}

    def warnings(self, example: Example, answer: "Translated") -> list[str]:
        """Say what is wrong with a translation."""
        from heedful.tasks.translation.translator import remarks_on

        return remarks_on(
            answer,
            example.source,
            vocabulary=self.vocabularies.source,
            decode=self.config.decode,
            longest=self.config.data.max_length,
        )

    def remark(self, data: Any, answers: "Sequence[Translated]") -> dict[str, int]:
        """Count texts beyond the length of the training, and translations that were cut off."""
        too_long = (data.lengths > self.config.data.max_length + 2).any(1).sum()
        return {"too_long": int(too_long), "cut": sum(answer.cut for answer in answers)}

    def amount(self, answers: "Sequence[Translated]") -> int:
        """Return how many tokens were written."""
        return sum(len(answer.written) for answer in answers)

    def details(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return how BLEU was computed, and how was searched."""
        from heedful.metrics.texts import bleu_metric

        targets = [example.target for example in examples]
        scorer = bleu_metric(targets)
        scorer.corpus_score(targets[:1], [targets[:1]])  # which it must have done to say how
        return {
            "bleu_signature": str(scorer.get_signature()),
            "beam": self.config.decode.beam,
        }

    def picture(
        self, model: "nn.Module", example: Example, answer: "Translated"
    ) -> Alignment | None:
        """Return where each piece of the translation looked."""
        return self.translator(model).align(example.source, answer.written)

    def question(self, model: "nn.Module", example: Example, answer: "Translated") -> "Question":
        """Ask which words of the source speak for each token of the translation."""
        from heedful.tasks.translation.question import why_written

        return why_written(model, self.vocabularies, example.source, answer.written)

    def rows(self, model: "nn.Module", batch: Any) -> Rows:
        """Return the logits of every target token; those beyond a model's positions are all 0."""
        from torch import nn

        source, lengths, target = batch
        truth, known = target[:, 1:], target[:, :-1]
        longest = getattr(model, "longest", None)
        if longest is not None:
            source, lengths = source[:, :longest], lengths.clamp(max=longest)
            known = known[:, :longest]
        logits = model(source, lengths, known)
        missing = truth.shape[1] - logits.shape[1]
        if missing:
            logits = nn.functional.pad(logits, (0, 0, 0, missing))
        here = truth != PAD
        return Rows(outputs=logits[here], truth=truth[here], example=here.nonzero()[:, 0])

    def truth(self, batch: Any) -> "Tensor":
        """Return all target tokens but the first ones."""
        target = batch[2][:, 1:]
        return target[target != PAD]

    def work(self, model: "nn.Module", data: Any) -> "Callable[[nn.Module], object]":
        """Return a function that lets any model write, step by step, what this one writes."""
        from heedful.tasks.translation.forced_decoding import ForcedDecoding

        return ForcedDecoding(self.translator(model), data.source)


def _predicted(target: "Tensor") -> int:
    """Tokens of a padded target batch that are predicted."""
    return int((target[:, 1:] != PAD).sum())
