"""Fusion: a label for an image, a sound and a text of one thing, any of which may be missing."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from heedful.data.alignment import Alignment
from heedful.data.examples import Splits
from heedful.data.ragged import Ragged
from heedful.data.tokens import Vocabulary, train_tokenizer
from heedful.tasks.base import Batch, device_of
from heedful.tasks.classification import LABELS, Classification, Prediction, labels_of, read_labels
from heedful.tasks.columns import Columns
from heedful.tasks.fuse.config import (
    MODALITIES,
    Config,
    DigitsData,
    TableData,
    image_shape,
    problem,
)
from heedful.tasks.fuse.observations import (
    Observation,
    Observations,
    load_images,
    load_sounds,
    make_digits,
    parse,
    read_table,
)
from heedful.tasks.remarks import never_seen, shortened, unknown_pieces
from heedful.tasks.spectrograms import Spectrograms

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

TOKENS = "task/tokens.json"


class Fuse(Classification[Observation]):
    """A label for an image, a sound and a text together, by attention among all their tokens.

    Args:
        config: Of the training.
        labels: All there are, in the order of the logits.
        vocabulary: Of the characters of texts.
    """

    config_class = Config
    example_class = Observation
    takes = ("image", "sound", "text")
    files = (LABELS, TOKENS)
    remarks: ClassVar[Mapping[str, str]] = {
        "without_image": "examples have no image that the model reads",
        "without_sound": "examples have no sound that the model reads",
        "without_text": "examples have no text that the model reads",
    }

    def __init__(self, config: Config, labels: Sequence[str], vocabulary: Vocabulary) -> None:
        super().__init__(config, labels)
        self.vocabulary = vocabulary

    @classmethod
    def read(cls, config: Config) -> Splits[Observation]:
        """Read or make the examples; a label that the training split does not have is refused."""
        data = config.data
        if isinstance(data, DigitsData):
            return make_digits(data, config.seed)
        train = read_table(data, data.train)
        known = {example.label for example in train}
        dev, test = (
            read_table(data, path, known=known) if path else [] for path in (data.dev, data.test)
        )
        return Splits(train, dev, test)

    @classmethod
    def read_training(cls, config: Config) -> list[Observation]:
        """Read or make the training split alone."""
        data = config.data
        return (
            read_table(data, data.train) if isinstance(data, TableData) else cls.read(config).train
        )

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Observation]:
        """Read a table with the columns of the training, or after the built-in digits the usual."""
        data = config.data
        if isinstance(data, DigitsData):
            data = TableData(train="", dev="", size=8, colour=False, rate=data.rate, resample=True)
        return read_table(data, path)

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what does not fit together."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Observation]) -> Self:
        """Learn the labels, and the characters of texts."""
        labels = labels_of(examples)
        texts = [example.text for example in examples if example.text] or labels
        return cls(config, labels, train_tokenizer("characters", texts, vocabulary=8_000))

    def save(self, folder: Path) -> None:
        """Write labels and characters."""
        super().save(folder)
        self.vocabulary.save(folder / TOKENS)

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read labels and characters."""
        return cls(config, read_labels(folder / LABELS), Vocabulary.load(folder / TOKENS))

    def encode(self, examples: Sequence[Observation], *, training: bool = False) -> Observations:
        """Read images and sounds again, and cut texts into characters."""
        data, sound = self.config.data, self.config.sound
        there = [[bool(getattr(each, name)) for name in MODALITIES] for each in examples]
        read = np.array([name in self.config.model.modalities for name in MODALITIES])
        features = load_sounds(examples, data, sound)
        columns = Columns(
            images=load_images(examples, data),
            text=Ragged.pack(self.vocabulary.encode([each.text for each in examples])),
            present=np.array(there, bool).reshape(-1, len(MODALITIES)) & read,
            label=self.numbers(examples),
        )
        return Observations(Spectrograms(features, columns, sound=sound if training else None))

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.modal_fusion import ModalFusion

        size, channels = image_shape(self.config.data)
        return ModalFusion(
            labels=len(self.labels),
            vocabulary=self.vocabulary.size,
            size=size,
            channels=channels,
            bands=self.config.sound.bands,
            **self.config.model.model_dump(exclude={"modalities"}),
        )

    def logits(self, model: "nn.Module", batch: Batch) -> "Tensor":
        """Return the logits of each example."""
        return model(_inputs(batch))

    def parse(self, text: str) -> Observation:
        """Take `image=a.png; sound=b.wav; text=seven` or a JSON object, with one or more."""
        return parse(text, self.config.data)

    def identity(self, example: Observation) -> Hashable:
        """Return what is seen, heard and read, wherever the files are."""
        image, sound = example.image_hash, example.sound_hash
        return image or example.image, sound or example.sound, example.text

    def kind(self, example: Observation) -> str:
        """Return which modalities there are, for scores by these."""
        return " + ".join(name for name in MODALITIES if getattr(example, name))

    def to_json(self, example: Observation, answer: Prediction) -> dict[str, Any]:
        """Return what was given, the label and the shares of all labels."""
        given = {name: getattr(example, name) or None for name in MODALITIES}
        return {**given, "label": answer.label, "shares": answer.shares}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no label."""
        return {**dict.fromkeys(MODALITIES), "label": None, "shares": {}}

    def warnings(self, example: Observation, answer: Prediction) -> list[str]:
        """Say which characters of a text are new to the model."""
        text = example.text
        return never_seen(repr(shortened(text)), unknown_pieces(self.vocabulary, text))

    def remark(self, data: Any, answers: Sequence[Prediction]) -> dict[str, int]:
        """Count what is missing."""
        missing = (~data.sounds.columns.columns["present"]).sum(0).tolist()
        return {f"without_{name}": count for name, count in zip(MODALITIES, missing, strict=True)}

    def question(self, model: "nn.Module", example: Observation, answer: Prediction) -> "Question":
        """Ask which parts of the image, the sound and the text speak for the label."""
        from heedful.tasks.fuse.question import why_fused

        return why_fused(self, model, example, answer)

    def picture(self, model: Any, example: Observation, answer: Prediction) -> Alignment | None:
        """Return how much the pooling takes of each modality, as the mean over its heads."""
        if not self.config.model.attention:
            return None
        data = self.encode([example])
        weights = self.pooling_weights(model, data)[0]
        kinds = model.tokens(_inputs(data.batch([0], device_of(model)))).kinds[0]
        sums = Counter[int]()
        for kind, share in zip(kinds.tolist(), weights.tolist(), strict=True):
            sums[kind] += share
        return Alignment(
            source=MODALITIES,
            target=(answer.label,),
            weights=(tuple(sums[kind] / sum(sums.values()) for kind in range(len(MODALITIES))),),
            title=f"{self.kind(example)} → {answer.label}",
        )


def _inputs(batch: Batch) -> Any:
    from heedful.models.modal_fusion import Inputs

    return Inputs(
        images=batch["images"].permute(0, 3, 1, 2) / 127.5 - 1,
        features=batch["features"],
        frames=batch["features_lengths"],
        text=batch["text"],
        characters=batch["text_lengths"],
        present=batch["present"],
    )
