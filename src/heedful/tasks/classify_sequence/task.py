"""Sequence classification: a label for DNA, RNA or a protein."""

from collections.abc import Container
from collections.abc import Sequence as Many
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heedful.data.alignment import Alignment
from heedful.data.examples import Splits, check_label
from heedful.data.ragged import Ragged
from heedful.data.sequences import CODES, Kind, Sequence, checked, is_fasta, read_sequences
from heedful.errors import DataError
from heedful.metrics.metric import Floats
from heedful.tasks.classification import Classification, Prediction
from heedful.tasks.classify_sequence.config import Config, FileData, problem
from heedful.tasks.classify_sequence.motifs import planted_motifs, reverse_complement
from heedful.tasks.columns import Columns

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

LONGEST = 100_000  # letters of a sequence that is typed, where data is built in
SHOWN = 60  # letters of a picture


class ClassifySequence(Classification[Sequence]):
    """A label for a sequence of letters: convolutions, self-attention, attention pooling.

    Args:
        config: Of the training.
        labels: All there are, in the order of the logits.
    """

    config_class = Config
    example_class = Sequence
    takes = ("sequence",)
    unit = "sequences"

    @classmethod
    def read(cls, config: Config) -> Splits[Sequence]:
        """Read or make the sequences."""
        data = config.data
        if not isinstance(data, FileData):
            return planted_motifs(data, config.seed)
        train = _read(data, data.train)
        known = {each.label for each in train}
        held_out = (data.dev, data.test)
        dev, test = (_read(data, path, known=known) if path else [] for path in held_out)
        return Splits(train, dev, test)

    @classmethod
    def read_training(cls, config: Config) -> list[Sequence]:
        """Read or make the training split alone."""
        data = config.data
        return _read(data, data.train) if isinstance(data, FileData) else cls.read(config).train

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Sequence]:
        """Read FASTA, or a table with the columns of the training."""
        data = config.data if isinstance(config.data, FileData) else FileData(train="", dev="")
        return _read(data, str(path))

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with the settings."""
        return problem(config)

    @property
    def alphabet(self) -> Kind:
        """Of all sequences."""
        data = self.config.data
        return data.alphabet if isinstance(data, FileData) else "dna"

    @property
    def batch_limit(self) -> int:
        """Letters, padding included."""
        return self.config.train.letters_per_batch

    def encode(self, examples: Many[Sequence], *, training: bool = False) -> Columns:
        """Turn letters into numbers."""
        numbers = {letter: number for number, letter in enumerate(CODES[self.alphabet], start=1)}
        letters = Ragged.pack([[numbers[each] for each in e.letters] for e in examples])
        columns = Columns(by_length=True, letters=letters, label=self.numbers(examples))
        columns.amounts = np.ones(len(examples), np.int64)
        return columns

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        import torch

        from heedful.models.sequence_classifier import SequenceClassifier

        codes = list(CODES[self.alphabet])
        settings = self.config.model.model_dump(exclude={"strands"})
        complement = None
        if self.config.model.strands == "both":
            opposite = [codes.index(reverse_complement(letter)) + 1 for letter in codes]
            complement = torch.tensor([0, *opposite])
        return SequenceClassifier(
            torch.from_numpy(code_shares(self.alphabet)),
            complement,
            labels=len(self.labels),
            **settings,
        )

    def logits(self, model: "nn.Module", batch: Any) -> "Tensor":
        """Return the logits of a batch."""
        return model(batch["letters"], batch["letters_lengths"])

    def parse(self, text: str) -> Sequence:
        """Take letters, or the path of a FASTA file with one sequence."""
        data, text = self.config.data, text.strip()
        longest = data.max_length if isinstance(data, FileData) else LONGEST
        if not is_fasta(text):
            return Sequence(
                checked(text, "an input", alphabet=self.alphabet, longest=longest),
            )
        settings: dict[str, Any] = {"alphabet": self.alphabet, "longest": longest}
        found = [each for _, each in read_sequences(text, labelled=False, **settings)]
        if len(found) != 1:
            raise DataError(
                f"{text} must hold one sequence to be an input, got {len(found)}. "
                "Give several as lines of stdin."
            )
        return found[0]

    def identity(self, example: Sequence) -> str:
        """Return the letters."""
        return example.letters

    def to_json(self, example: Sequence, answer: Prediction) -> dict[str, Any]:
        """Return the sequence, its label and the shares of all labels."""
        return {"sequence": example.letters, **super().to_json(example, answer)}

    def attention(self, model: "nn.Module", examples: Many[Sequence]) -> list[Floats] | None:
        """Return how the pooling weighs each letter; of two strands the mean of both.

        `None` where the pooling is none by attention.
        """
        from heedful.nn.pooling import AttentionPooling

        if not isinstance(getattr(model, "pooling", None), AttentionPooling):
            return None
        weights = self.pooling_weights(model, self.encode(examples)).cpu().double().numpy()
        lengths = [len(each.letters) for each in examples]
        own = [row[:length] for row, length in zip(weights, lengths, strict=False)]
        if self.config.model.strands == "one":
            return own
        other = [
            row[:length][::-1] for row, length in zip(weights[len(lengths) :], lengths, strict=True)
        ]
        return [(one + two) / 2 for one, two in zip(own, other, strict=True)]

    def question(self, model: "nn.Module", example: Sequence, answer: Prediction) -> "Question":
        """Ask which letters speak for the label."""
        from heedful.tasks.classify_sequence.question import why_labelled

        return why_labelled(self, model, example, answer)

    def picture(
        self, model: "nn.Module", example: Sequence, answer: Prediction
    ) -> Alignment | None:
        """Return how the pooling weighs each letter; of many letters those around the heaviest."""
        found = self.attention(model, [example])
        if found is None:
            return None
        weights = found[0]
        start = max(0, min(int(weights.argmax()) - SHOWN // 2, len(weights) - SHOWN))
        shown = weights[start : start + SHOWN]
        return Alignment(
            source=tuple(example.letters[start : start + SHOWN]),
            target=(answer.label,),
            weights=(tuple((shown / shown.sum()).tolist()),),
            title=f"{answer.label}: letters {start + 1} to {start + len(shown)}",
        )


def code_shares(alphabet: Kind) -> Any:
    """Return what each number of a letter stands for, `(numbers, letters)`; 0 is padding."""
    codes = CODES[alphabet]
    letters = [letter for letter, meant in codes.items() if letter == meant]
    table = [[(each in meant) / len(meant) for each in letters] for meant in codes.values()]
    return np.array([[0.0] * len(letters), *table], np.float32)


def _read(data: FileData, path: str, *, known: Container[str] | None = None) -> list[Sequence]:
    """Read one file.

    Raises:
        DataError: It cannot be used, or holds a label that is not known.
    """
    found: list[Sequence] = []
    for number, each in read_sequences(
        path,
        alphabet=data.alphabet,
        longest=data.max_length,
        sequence=data.sequence,
        label=data.label,
    ):
        check_label(f"{path}:{number}", each.label, known)
        found.append(each)
    return found
