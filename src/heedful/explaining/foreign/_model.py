"""What is the same for all models of others."""

from typing import Any

import torch
from torch import nn

from heedful.devices import device_of
from heedful.explaining.foreign.tokens import Copies, Tokens


def whole(model: nn.Module, text: Tokens) -> Copies:
    """Return the text from which nothing is removed, where the model is."""
    return text.kept(torch.ones(1, len(text.pieces), dtype=torch.bool, device=device_of(model)))


def embedding_of(model: nn.Module, name: str | None) -> str:
    """Return the name of the module that embeds what is read; empty where nobody says which."""
    config: Any = getattr(model, "config", None)
    reader: Any = model
    if name is None and getattr(config, "is_encoder_decoder", False):
        # that of the whole model is never called where encoder and decoder share its numbers
        reader = reader.get_encoder()
    find: Any = getattr(reader, "get_input_embeddings", None)
    if name is not None or find is None:
        return name or ""
    module = find()
    return next((name for name, each in model.named_modules() if each is module), "")
