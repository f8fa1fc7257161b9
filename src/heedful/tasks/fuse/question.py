"""Why something has its label: cells of its image, stretches of its sound, letters of its text."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from heedful.data.tokens import PAD
from heedful.explaining import images, sounds
from heedful.explaining.images import Cells
from heedful.explaining.question import NOWHERE, Question
from heedful.explaining.routes import encoder
from heedful.explaining.scores import label_odds
from heedful.explaining.sounds import Stretches
from heedful.explaining.texts import Words, words_of
from heedful.models.modal_fusion import MODALITIES, STRIDE
from heedful.tasks.classification import Prediction
from heedful.tasks.fuse.observations import Observation
from heedful.tasks.spectrograms import HOP

if TYPE_CHECKING:
    from heedful.tasks.fuse.task import Fuse

REMOVAL = f"image: {images.REMOVAL}; sound: {sounds.REMOVAL}; text: left out"


def why_fused(task: "Fuse", model: nn.Module, example: Observation, answer: Prediction) -> Question:
    """Ask why something has its label; what is missing has no pieces.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        example: What is known of it.
        answer: Whose label is asked for.
    """
    whole = task.encode([example]).batch([0], "cpu")
    picture, sound, letters = _parts(task, example, whole)
    of_image, of_sound = ((f"image {name}" for name in picture.names), sound.names)
    names = ([*of_image], [f"sound {name}" for name in of_sound], [*letters.words])
    there = whole["present"][0].tolist()
    sizes = [len(each) if seen else 0 for each, seen in zip(names, there, strict=True)]

    def inputs(kept: Tensor) -> dict[str, Any]:
        parts = [
            part if seen else torch.ones(len(kept), len(each), dtype=torch.bool)
            for part, each, seen in zip(kept.split(sizes, dim=1), names, there, strict=True)
        ]
        text = letters.kept(parts[2]).padded(range(len(kept)), pad=PAD)
        made = {
            "images": picture.kept(parts[0]).permute(0, 2, 3, 1),
            "features": sound.kept(parts[1]),
            "features_lengths": whole["features_lengths"].expand(len(kept)),
            "text": torch.from_numpy(text[0]),
            "text_lengths": torch.from_numpy(text[1]),
            "present": whole["present"].expand(len(kept), -1),
        }
        return {name: each.to(kept.device) for name, each in made.items()}

    def scores(model: nn.Module, batch: dict[str, Any]) -> Tensor:
        logits = task.logits(model, batch)
        return label_odds(logits, task.labels[answer.label])

    places = _joined((range(len(picture.names)), sound.states, letters.places), sizes)
    return Question(
        pieces=tuple(n for each, seen in zip(names, there, strict=True) if seen for n in each),
        targets=(answer.label,),
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        route=encoder(model, places, sites="layers", pooling="pooling"),
        title=f"{task.kind(example)} → {answer.label}",
    )


def _parts(
    task: "Fuse", example: Observation, whole: dict[str, Any]
) -> tuple[Cells, Stretches, Words]:
    """The image, the sound and the text, each cut into pieces."""
    side = whole["images"].shape[1] // task.config.model.patch
    frames, count = int(whole["features_lengths"][0]), int(whole["text_lengths"][0])
    return (
        Cells(whole["images"][0].numpy(), (side, side)),
        Stretches(whole["features"][0, :frames].numpy(), stride=STRIDE, hop=HOP),
        words_of(
            whole["text"][0, :count].tolist(), task.vocabulary.pieces(example.text), whole=False
        ),
    )


def _joined(places: tuple[Any, ...], sizes: list[int]) -> list[int]:
    """The piece at each token: first one for each modality that says whether it is there."""
    found, first = [NOWHERE] * len(MODALITIES), 0
    for own, size in zip(places, sizes, strict=True):
        if size:
            found += [place if place == NOWHERE else first + place for place in own]
        first += size
    return found
