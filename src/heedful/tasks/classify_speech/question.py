"""Why a sound has its label: its stretches, and the sound with some of them silent."""

import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from heedful.data.sounds import SoundReference
from heedful.explaining.question import Question
from heedful.explaining.routes import encoder
from heedful.explaining.scores import label_odds
from heedful.explaining.sounds import REMOVAL, Stretches
from heedful.tasks.classification import Prediction
from heedful.tasks.spectrograms import HOP

if TYPE_CHECKING:
    from heedful.tasks.classify_speech.task import ClassifySpeech


def why_heard(
    task: "ClassifySpeech", model: nn.Module, example: SoundReference, answer: Prediction
) -> Question:
    """Ask why a sound has its label.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: The sound.
        answer: Whose label is asked for.
    """
    settings = task.config.model
    sound = Stretches(task.encode([example]).features[0], stride=settings.stride, hop=HOP)
    label = task.labels[answer.label]

    def scores(model: nn.Module, features: Tensor) -> Tensor:
        lengths = torch.full((len(features),), features.shape[1], device=features.device)
        logits = task.logits(model, {"features": features, "features_lengths": lengths})
        return label_odds(logits, label)

    pooling = "pooling" if settings.pooling == "attention" else ""
    return Question(
        pieces=sound.names,
        targets=(answer.label,),
        inputs=sound.kept,
        scores=scores,
        removal=REMOVAL,
        route=encoder(model, sound.states, sites="encoder", pooling=pooling),
        embedding="encoder.shorten.out",
        embedded=sound.states,
        shape=(1, len(sound.names)),
        canvas=sound.canvas(),
        method="occlusion",  # see the table of docs/explaining.md
        title=f"{os.path.basename(example.file)} → {answer.label}",
    )
