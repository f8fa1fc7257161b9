"""Speech classification: word, speaker, emotion, or any other label of a sound."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from heedful.data.alignment import Alignment
from heedful.data.examples import Splits
from heedful.data.load_sounds import (
    FolderData,
    TableData,
    TonesData,
    load_sounds,
    read_split,
)
from heedful.data.sounds import SoundReference, seconds_of
from heedful.data.tones import TONES
from heedful.tasks.base import Batch
from heedful.tasks.classification import Classification, Prediction
from heedful.tasks.classify_speech.config import Config, problem
from heedful.tasks.columns import Columns
from heedful.tasks.remarks import not_read
from heedful.tasks.spectrograms import HOP, HearsSounds, Spectrograms, spans

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question


class ClassifySpeech(HearsSounds, Classification[SoundReference]):
    """A label for a sound: log-mel features, convolutions, self-attention, attention pooling."""

    config_class = Config
    remarks: ClassVar[Mapping[str, str]] = {
        "cut": "sounds are longer than is read of them (data.longest)"
    }

    @classmethod
    def read(cls, config: Config) -> Splits[SoundReference]:
        """Refer to all sounds; a label that no sound of the training split has is refused."""
        return load_sounds(config.data, config.seed)

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[SoundReference]:
        """Read a table with the columns of the training, or a folder with a folder a label."""
        data, folder = config.data, os.path.isdir(path)
        settings = {"train": "", "rate": data.rate, "resample": isinstance(data, TonesData)}
        if not isinstance(data, TonesData):
            settings |= {"resample": data.resample, "longest": data.longest}
        if isinstance(data, FolderData if folder else TableData):
            return read_split(data, path)
        return read_split((FolderData if folder else TableData)(**settings), path)

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what does not fit together."""
        return problem(config)

    def encode(self, examples: Sequence[SoundReference], *, training: bool = False) -> Spectrograms:
        """Read the sounds and make features of them."""
        columns = Columns(label=self.numbers(examples))
        return Spectrograms(
            self.features(examples), columns, sound=self.config.sound if training else None
        )

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.speech_classifier import SpeechClassifier

        return SpeechClassifier(
            bands=self.config.sound.bands,
            labels=len(self.labels),
            **self.config.model.model_dump(),
        )

    def logits(self, model: "nn.Module", batch: Batch) -> "Tensor":
        """Return the logits of each sound."""
        return model(batch["features"], batch["features_lengths"])

    def kind(self, example: SoundReference) -> str:
        """Return who speaks, for scores by speaker; where nobody knows that, the label."""
        return example.speaker or example.label

    def to_json(self, example: SoundReference, answer: Prediction) -> dict[str, Any]:
        """Return the file, the label and the shares of all labels."""
        return {"file": example.file, "label": answer.label, "shares": answer.shares}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no label."""
        return {"file": text, "label": None, "shares": {}}

    def warnings(self, example: SoundReference, answer: Prediction) -> list[str]:
        """Say what of a sound is not read."""
        longest = getattr(self.config.data, "longest", np.inf)
        given = 0.0 if example.file.startswith(TONES) else seconds_of(example.file)
        return not_read(repr(example.file), "first seconds", given, longest, "data.longest")

    def remark(self, data: Any, answers: Sequence[Prediction]) -> dict[str, int]:
        """Count sounds that were not read to their end."""
        longest = getattr(self.config.data, "longest", np.inf)
        return {"cut": int((data.lengths > longest / HOP).sum())}

    def question(
        self, model: "nn.Module", example: SoundReference, answer: Prediction
    ) -> "Question":
        """Ask which stretches of the sound speak for the label."""
        from heedful.tasks.classify_speech.question import why_heard

        return why_heard(self, model, example, answer)

    def picture(
        self, model: "nn.Module", example: SoundReference, answer: Prediction
    ) -> Alignment | None:
        """Return how the pooling weighs each span of the sound: the mean over its heads."""
        if self.config.model.pooling != "attention":
            return None
        data = self.encode([example])
        states = -(-int(data.lengths[0]) // self.config.model.stride)
        weights = self.pooling_weights(model, data)[0, :states].double().cpu().numpy()
        names, merged = spans(weights, seconds=HOP * self.config.model.stride)
        return Alignment(
            source=names,
            target=(answer.label,),
            weights=(tuple((merged / merged.sum()).tolist()),),
            title=f"{os.path.basename(example.file)} → {answer.label}",
        )
