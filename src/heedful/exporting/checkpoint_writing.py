"""An encoder-decoder of transformers as a model that writes token by token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from heedful.checkpoints.heads.seq2seq import places_of
from heedful.errors import UnsupportedError
from heedful.exporting.state_layout import Writer

MASKS = ("attention_mask", "input_features_mask")  # what says which places were read


@dataclass
class Layer:
    """What one layer of a decoder remembers.

    Args:
        self_key: Of the tokens so far.
        self_value: As many.
        cross_key: Of what was read.
        cross_value: As many.
    """

    self_key: Tensor
    self_value: Tensor
    cross_key: Tensor
    cross_value: Tensor


@dataclass
class Reading:
    """What was read, and what a decoder remembers of it and of what it wrote.

    Args:
        memory: What the encoder said.
        mask: Which places of what was read count; `None` where nothing says so.
        caches: Of each layer.
    """

    memory: Tensor
    mask: Tensor | None
    caches: list[Layer]


def writer_of(model: nn.Module, inputs: Sequence[str], longest: int | None) -> Writer:
    """Return an encoder-decoder of transformers as a model that writes.

    Args:
        model: In evaluation mode.
        inputs: Names of what it reads.
        longest: Tokens that it reads at most; `None` means any number.

    Raises:
        UnsupportedError: Its config does not say which token a text begins with, or it keeps no
            cache.
    """
    written: Any = model
    kind = type(model).__name__
    first = _first_token(written)
    mask = next((place for place, name in enumerate(inputs) if name in MASKS), None)

    def begin(given: tuple[Tensor, ...]) -> tuple[Tensor, Reading]:
        from transformers import DynamicCache, EncoderDecoderCache

        encoder = written.get_encoder()
        memory = encoder(**dict(zip(inputs, given, strict=True))).last_hidden_state
        reading = Reading(memory=memory, mask=None if mask is None else given[mask], caches=[])
        tokens = torch.full((memory.shape[0],), first, device=memory.device)
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        logits = _said(written, tokens, reading, cache)
        if not reading.caches:
            raise UnsupportedError(
                f"a decoder must keep keys and values in a cache, got none of {kind}"
            )
        return logits, reading

    def advance(tokens: Tensor, reading: Reading) -> Tensor:
        from transformers import EncoderDecoderCache

        pairs = [
            (layer.self_key, layer.self_value, layer.cross_key, layer.cross_value)
            for layer in reading.caches
        ]
        return _said(written, tokens, reading, EncoderDecoderCache(pairs))

    return Writer(
        model=model,
        begin=begin,
        advance=advance,
        inputs=tuple(inputs),
        longest=places_of(written.config),
        longest_read=longest,
    )


def _said(model: Any, tokens: Tensor, reading: Reading, cache: Any) -> Tensor:
    """Let a decoder go on by one token of each text, and take over what it then remembers."""
    from transformers.modeling_outputs import BaseModelOutput

    named = {} if reading.mask is None else {"attention_mask": reading.mask}
    output = model(
        encoder_outputs=BaseModelOutput(last_hidden_state=reading.memory),
        decoder_input_ids=tokens[:, None],
        past_key_values=cache,
        use_cache=True,
        **named,
    )
    selves, crosses = cache.self_attention_cache.layers, cache.cross_attention_cache.layers
    known = reading.caches or [
        Layer(own.keys, own.values, cross.keys, cross.values)
        for own, cross in zip(selves, crosses, strict=True)
    ]
    reading.caches = [
        Layer(own.keys, own.values, layer.cross_key, layer.cross_value)
        for own, layer in zip(selves, known, strict=True)
    ]
    return output.logits[:, -1]


def _first_token(model: Any) -> int:
    for config in (getattr(model, "generation_config", None), model.config):
        found = getattr(config, "decoder_start_token_id", None)
        found = getattr(config, "bos_token_id", None) if found is None else found
        if isinstance(found, int):
            return found
    raise UnsupportedError(
        "a config must say which token a text begins with, got no decoder_start_token_id in "
        f"{type(model.config).__name__}"
    )
