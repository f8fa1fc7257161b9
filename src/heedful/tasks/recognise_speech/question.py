"""Why a text was heard: stretches of the sound, and the sound with some of them silent."""

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from heedful.data.sounds import SoundReference
from heedful.data.tokens import BOS
from heedful.errors import UnsupportedError
from heedful.explaining.question import Question, Route
from heedful.explaining.routes import encoder, encoder_decoder
from heedful.explaining.scores import written_odds
from heedful.explaining.sounds import REMOVAL, Stretches
from heedful.models.ctc import BLANK
from heedful.tasks.base import device_of
from heedful.tasks.spectrograms import HOP

if TYPE_CHECKING:
    from heedful.tasks.recognise_speech.task import RecogniseSpeech, Transcript


def why_recognised(
    task: "RecogniseSpeech", model: Any, example: SoundReference, heard: "Transcript"
) -> Question:
    """Ask why each token of a text was heard.

    What the decoder wrote has the log-odds of each token given those before it. What CTC heard has
    the logarithm of how many times likelier the whole text is than the text without the token.

    Args:
        task: With what it has learned.
        model: A `SpeechRecogniser`.
        example: The sound.
        heard: The text.

    Raises:
        UnsupportedError: Nothing was heard.
    """
    if not heard.tokens:
        raise UnsupportedError("a text must hold a token to be explained, got none")
    config, tokens = task.config, [*heard.tokens]
    sound = Stretches(task.encode([example]).features[0], stride=config.model.stride, hop=HOP)

    def scores(model: Any, features: Tensor) -> Tensor:
        lengths = torch.full((len(features),), features.shape[1], device=features.device)
        if config.decode.by == "ctc":
            return _likelier(model.heard(features, lengths)[0], tokens)
        return written_odds(
            lambda target: model(features, lengths, target), [BOS, *tokens], features
        )

    return Question(
        pieces=sound.names,
        targets=tuple(task.vocabulary.spelled(tokens)),
        inputs=sound.kept,
        scores=scores,
        removal=REMOVAL,
        route=_route(model, sound, tokens, by=config.decode.by),
        embedding="encoder.shorten.out",
        embedded=sound.states,
        shape=(1, len(sound.names)),
        canvas=sound.canvas(),
        score="log-odds" if config.decode.by == "attention" else "log-likelihood ratio",
        title=f"{os.path.basename(example.file)} → {heard.text}",
    )


def _likelier(heard: Tensor, tokens: list[int]) -> Tensor:
    """`log P(text) - log P(text without a token)` of each copy and token, by CTC."""
    copies, states, _ = heard.shape
    count = len(tokens)
    texts = [tokens, *([*tokens[:n], *tokens[n + 1 :], BLANK] for n in range(count))]
    lengths = torch.tensor([count, *[count - 1] * count], device=heard.device)
    losses = nn.functional.ctc_loss(
        heard.repeat_interleave(count + 1, 0).transpose(0, 1),
        torch.tensor(texts, device=heard.device).repeat(copies, 1),
        torch.full((copies * (count + 1),), states, device=heard.device),
        lengths.repeat(copies),
        blank=BLANK,
        reduction="none",
    ).view(copies, -1)
    return losses[:, 1:] - losses[:, :1]


def _route(model: Any, sound: Stretches, tokens: list[int], *, by: str) -> Route | None:
    """From what the decoder has written, or from the states that speak most for each token."""
    if by == "attention":
        return encoder_decoder(model, sound.states, rows=range(len(tokens)))
    features = torch.from_numpy(sound.features).to(device_of(model))[None]
    lengths = torch.tensor([features.shape[1]], device=features.device)
    with torch.inference_mode():
        heard, _ = model.heard(features, lengths)
    with torch.enable_grad():
        copies = heard.clone().expand(len(tokens), -1, -1).contiguous().requires_grad_()
        [slopes] = torch.autograd.grad(_likelier(copies, tokens).diagonal().sum(), copies)
    spoken = [slopes[row, :, token].argmax() for row, token in enumerate(tokens)]
    return encoder(model, sound.states, sites="encoder", rows=[int(each) for each in spoken])
