"""How a text is found for a sound, and when each of its tokens was heard."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from heedful.data.tokens import BOS, EOS
from heedful.models.ctc import ctc_beam, ctc_greedy, ctc_spans
from heedful.models.decoding import Limits, beam, greedy
from heedful.nn.attention import Attention
from heedful.probing.probe import probe
from heedful.tasks.parts import Batch
from heedful.tasks.recognise_speech.config import Decode

Times = list[tuple[int, NDArray[np.float64]]]


@torch.inference_mode()
def search(model: Any, batch: Batch, decode: Decode) -> list[list[int]]:
    """Return the tokens that are heard in each sound.

    Args:
        model: A `SpeechRecogniser`.
        batch: Features.
        decode: By which of the two, and how.
    """
    features, lengths = batch["features"], batch["features_lengths"]
    if decode.by == "ctc":
        scores, states = model.heard(features, lengths)
        if decode.beam == 1:
            return ctc_greedy(scores, states)
        return ctc_beam(scores, states, width=decode.beam)
    limits = Limits(bos=BOS, eos=EOS, max_length=decode.max_length)
    if decode.beam == 1:
        return greedy(model, features, lengths, limits=limits)
    settings: dict[str, Any] = {"width": decode.beam, "length_penalty": decode.length_penalty}
    return beam(model, features, lengths, limits=limits, **settings)


@torch.inference_mode()
def times_of(model: Any, batch: Batch, tokens: Sequence[int], *, by: str) -> Times:
    """Return tokens of one sound, each with its weights over the states of the sound.

    Args:
        model: A `SpeechRecogniser`.
        batch: The features of one sound.
        tokens: What was written, for the decoder.
        by: `attention`: the mean over its layers and heads of where the decoder looked, nothing
            where it looks nowhere any more. `ctc`: the states in which a token of the best path is
            the likeliest.
    """
    features, lengths = batch["features"], batch["features_lengths"]
    if by == "ctc":
        scores, states = model.heard(features, lengths)
        count = int(states[0])
        spans = ctc_spans(scores[0, :count])
        return [(token, np.isin(np.arange(count), run.numpy()) / len(run)) for token, run in spans]
    names = [f"decoder.{layer}.cross_attention" for layer in range(len(model.decoder))]
    sites = [name for name in names if isinstance(model.get_submodule(name), Attention)]
    if not sites or not tokens:
        return []
    target = torch.tensor([[BOS, *tokens]], device=features.device)
    with probe(model, sites=sites) as heard:
        _, states, _ = model.both(features, lengths, target)
    maps = torch.stack([heard.maps(site)[0].double().mean(0) for site in sites]).mean(0)
    weights = maps[: len(tokens), : int(states[0])].cpu().numpy()
    return list(zip(tokens, weights, strict=True))
