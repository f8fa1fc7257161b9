"""Speech recognition: the text that is said in a sound, by CTC or by an attention decoder."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from heedful.data.alignment import Alignment
from heedful.data.batches import alike
from heedful.data.examples import Splits
from heedful.data.load_sounds import TextsData, load_sounds, read_split
from heedful.data.log_mel import Features
from heedful.data.ragged import Ragged
from heedful.data.scripts import composed
from heedful.data.sounds import SoundReference
from heedful.data.tokens import Vocabulary, train_tokenizer
from heedful.errors import DataError
from heedful.metrics.metric import PER_CENT
from heedful.metrics.rows import row_loss
from heedful.metrics.texts import character_error_rate, edit_distance, exact_match, word_error_rate
from heedful.tasks.base import Batch, Dataset, Rows, Task, device_of
from heedful.tasks.columns import Columns
from heedful.tasks.recognise_speech.config import Config, problem
from heedful.tasks.spectrograms import HOP, HearsSounds, Spectrograms, spans

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

TEXT, LABEL = attrgetter("text"), attrgetter("label")
VOCABULARY = "task/tokens.json"
ANSWERED = 64  # sounds at a time
ANSWERED_ROOM = 64 * 1_000  # frames of these, padding included


@dataclass(frozen=True)
class Transcript:
    """What was heard.

    Args:
        text: As it is written.
        tokens: Of it.
    """

    text: str
    tokens: tuple[int, ...]

    def __str__(self) -> str:
        return self.text


class RecogniseSpeech(HearsSounds, Task[SoundReference, Transcript]):
    """The text that is said in a sound: an encoder with self-attention, read in two ways.

    Args:
        config: Of the training.
        vocabulary: Of words or characters.
    """

    config_class = Config
    metrics = (
        word_error_rate(answer=TEXT, truth=LABEL),
        character_error_rate(answer=TEXT, truth=LABEL),
        exact_match(answer=TEXT, truth=LABEL),
        row_loss(),
    )
    files = (VOCABULARY,)
    inference = ("decode",)

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        super().__init__(config)
        self.vocabulary = vocabulary

    @classmethod
    def read(cls, config: Config) -> Splits[SoundReference]:
        """Refer to all sounds."""
        found = load_sounds(config.data, config.seed)
        parts = (typed(config, part) for part in (found.train, found.dev, found.test))
        return Splits(*parts)

    @classmethod
    def read_training(cls, config: Config) -> list[SoundReference]:
        """Refer to the sounds of the training split alone."""
        return typed(config, super().read_training(config))

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[SoundReference]:
        """Read a table with the columns of the training; after tones, `path` and `text`."""
        data = config.data
        if not isinstance(data, TextsData):
            data = TextsData(train="", rate=data.rate, resample=True)
        return typed(config, read_split(data, path))

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what does not fit together."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[SoundReference]) -> Self:
        """Learn words or characters."""
        settings = config.tokens.model_dump(exclude={"lowercase"})
        texts = [spaced(config, example.label) for example in examples]
        return cls(config, train_tokenizer(texts=texts, **settings))

    def save(self, folder: Path) -> None:
        """Write the vocabulary."""
        self.vocabulary.save(folder / VOCABULARY)

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read the vocabulary."""
        return cls(config, Vocabulary.load(folder / VOCABULARY))

    def encode(self, examples: Sequence[SoundReference], *, training: bool = False) -> Spectrograms:
        """Read the sounds and make features of them, and tokens of their texts.

        Raises:
            DataError: A sound of the training is too short for its text.
        """
        config = self.config
        features = self.features(examples)
        texts = self.vocabulary.encode([spaced(config, example.label) for example in examples])
        if training:
            _check_room(examples, features, texts, stride=config.model.stride)
        columns = Columns(text=Ragged.pack(texts))
        return Spectrograms(features, columns, sound=config.sound if training else None)

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.speech_recogniser import SpeechRecogniser

        return SpeechRecogniser(
            bands=self.config.sound.bands,
            size=self.vocabulary.size,
            **self.config.model.model_dump(),
        )

    def loss(self, model: "nn.Module", batch: Batch) -> "tuple[Tensor, int]":
        """Return both losses, joined and summed over tokens, and how many those are."""
        from heedful.tasks.recognise_speech.losses import joint_loss

        train = self.config.train
        return joint_loss(model, batch, share=train.ctc_weight, smoothing=train.label_smoothing)

    def scores(self, model: "nn.Module", dev: Any) -> dict[str, float]:
        """Return the loss a token, and the edits a token of what is heard greedily."""
        dev_loss = super().scores(model, dev)["dev_loss"]
        truths = [text[1:-1].tolist() for text in texts_of(dev)]
        pairs = zip(self._tokens(model, dev, beam=1), truths, strict=True)
        edits = sum(edit_distance(heard, said) for heard, said in pairs)
        written = max(1, sum(map(len, truths)))
        return {"dev_loss": dev_loss, "token_error_rate": PER_CENT * edits / written}

    def answer(self, model: "nn.Module", data: Any) -> list[Transcript]:
        """Write down what is said in every sound."""
        tokens = self._tokens(model, data, beam=self.config.decode.beam)
        texts = self.vocabulary.decode(tokens)
        return [Transcript(text.strip(), (*row,)) for text, row in zip(texts, tokens, strict=True)]

    def to_json(self, example: SoundReference, answer: Transcript) -> dict[str, Any]:
        """Return the file and the text."""
        return {"file": example.file, "text": answer.text}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no text."""
        return {"file": text, "text": None}

    def details(self, examples: Sequence[SoundReference]) -> dict[str, Any]:
        """Return how was searched."""
        return {"decoder": self.config.decode.by, "beam": self.config.decode.beam}

    def rows(self, model: "nn.Module", batch: Batch) -> Rows:
        """Return the decoder's logits of each token, and CTC's of each state."""
        from heedful.tasks.recognise_speech.losses import both_rows

        return both_rows(model, batch)

    def truth(self, batch: Batch) -> "Tensor":
        """Return the tokens of `rows`; which are heard in states nobody knows."""
        from heedful.tasks.recognise_speech.losses import truths

        stride = self.config.model.stride
        return truths(batch, states=(batch["features_lengths"] + stride - 1) // stride)

    def picture(
        self, model: "nn.Module", example: SoundReference, answer: Transcript
    ) -> Alignment | None:
        """Return when each token was heard: where the decoder looked, or CTC's best path."""
        from heedful.tasks.recognise_speech.search import times_of

        batch = self.encode([example]).batch([0], device_of(model))
        found = times_of(model, batch, answer.tokens, by=self.config.decode.by)
        title = f"{os.path.basename(example.file)} → {answer.text}"
        seconds = HOP * self.config.model.stride
        return _picture(self.vocabulary, found, seconds=seconds, title=title) if found else None

    def question(
        self, model: "nn.Module", example: SoundReference, answer: Transcript
    ) -> "Question":
        """Ask which stretches of the sound speak for each token."""
        from heedful.tasks.recognise_speech.question import why_recognised

        return why_recognised(self, model, example, answer)

    def _tokens(self, model: "nn.Module", data: Dataset, *, beam: int) -> list[list[int]]:
        """The tokens that are heard in each sound."""
        from heedful.tasks.recognise_speech.search import search

        decode = self.config.decode.model_copy(update={"beam": beam})
        found: dict[int, list[int]] = {}
        for rows in alike(data.sizes[:, 0], most=ANSWERED, tokens=ANSWERED_ROOM):
            heard = search(model, data.batch(rows, device_of(model)), decode)
            found |= dict(zip(rows, heard, strict=True))
        return [found[row] for row in range(len(data))]


def _picture(
    vocabulary: Vocabulary,
    found: Sequence[tuple[int, NDArray[np.float64]]],
    *,
    seconds: float,
    title: str,
) -> Alignment:
    tokens, weights = zip(*found, strict=True)
    names, merged = spans(np.stack(weights), seconds=seconds)
    shares = merged / np.maximum(merged.sum(-1, keepdims=True), 1e-30)
    return Alignment(
        source=names,
        target=tuple(vocabulary.spelled(tokens)),
        weights=tuple(map(tuple, shares.tolist())),
        title=title,
    )


def texts_of(data: Any) -> list[NDArray[np.int32]]:
    """Return the tokens of each text of a data set, with the markers of beginning and end."""
    texts: Ragged = data.columns.columns["text"]
    return np.split(texts.flat, texts.starts[1:-1])


def typed(config: Config, examples: Sequence[SoundReference]) -> list[SoundReference]:
    """Return examples whose texts are composed, with one space between words, and maybe in lower
    case: what is learned, and what errors are counted against."""
    return [replace(each, label=_plain(config, each.label)) for each in examples]


def _plain(config: Config, text: str) -> str:
    text = " ".join(composed(text).split())
    return composed(text.lower()) if config.tokens.lowercase else text


def spaced(config: Config, text: str) -> str:
    """A text of which each word begins with a space, so that the first is like the others."""
    return f" {text}" if text and config.tokens.kind == "words" else text


def _check_room(
    examples: Sequence[SoundReference],
    features: Sequence[Features],
    texts: Sequence[Sequence[int]],
    *,
    stride: int,
) -> None:
    """Refuse a sound that is too short for its text: CTC needs a state a token, and one between
    two that are alike."""
    for example, frames, text in zip(examples, features, texts, strict=True):
        inner = text[1:-1]
        needed = len(inner) + sum(a == b for a, b in itertools.pairwise(inner))
        if needed * stride > len(frames) + stride - 1:
            raise DataError(
                f"{example.file} must last {needed * stride * HOP:.2f} seconds or more "
                f"for the text {example.label!r:.80}, got {len(frames) * HOP:.2f}"
            )
