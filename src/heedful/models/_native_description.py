"""What a network is, as whole numbers in the order in which the library reads them."""

import struct
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from heedful import listeners
from heedful.models.rnn_seq2seq import RnnSeq2Seq
from heedful.models.transformer import Transformer
from heedful.nn.aligners import Additive, Dot, General, ScaledDot
from heedful.nn.attention import Attention
from heedful.nn.blocks import DecoderLayer, EncoderLayer, FeedForward, Residual
from heedful.nn.constant import Constant
from heedful.nn.fusion.gated_recurrence import GatedRecurrence
from heedful.nn.fusion.local_convolution import LocalConvolution
from heedful.nn.low_precision import LowPrecisionLinear
from heedful.nn.positions import (
    LearnedPositions,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
)


class Unsayable(Exception):
    """The library has no words for a part of the model."""


def described(model: Transformer | RnnSeq2Seq) -> "Description":
    """Say what a network is.

    Raises:
        Unsayable: The library has no words for a part of it.
    """
    if any(is_attached(module) or module.training for module in model.modules()):
        raise Unsayable
    if isinstance(model, Transformer):
        transformer = _OfTransformer()
        transformer.network(model)
        return transformer
    recurrent = _OfRecurrent()
    recurrent.network(model)
    return recurrent


class Description:
    """Whole numbers in a row; `transformer.h` and `recurrent.h` read them."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self.tensors: list[Tensor] = []

    def _check(self, sayable: bool) -> None:
        if not sayable:
            raise Unsayable

    def _real(self, number: float) -> None:
        self.words += struct.unpack("q", struct.pack("d", number))

    def _place(self, tensor: Tensor | None) -> None:
        if tensor is None:
            self.words.append(0)
            return
        self._check(
            tensor.dtype == torch.float32
            and tensor.is_cpu
            and listeners.in_memory(tensor)
            and tensor.is_contiguous()
        )
        self.tensors.append(tensor.detach())
        self.words.append(tensor.data_ptr())

    def _embedding(self, embedding: nn.Module, positions: nn.Module | None, scale: float) -> None:
        self._check(type(embedding) is nn.Embedding and embedding.max_norm is None)
        table = cast(nn.Embedding, embedding).weight
        self.words.append(len(table))
        self._place(table)
        self._real(scale)
        if positions is None:
            self.words.append(0)
        elif type(positions) is SinusoidalPositions:
            self.words.append(1)
        else:
            self._check(type(positions) is LearnedPositions)
            learned = cast(LearnedPositions, positions).table
            self.words += (2, len(learned))
            self._place(learned)

    def _norm(self, norm: nn.Module) -> None:
        if type(norm) is nn.Identity:
            self.words.append(0)
            return
        self._check(type(norm) is nn.LayerNorm)
        norm = cast(nn.LayerNorm, norm)
        weight, bias = cast(Tensor | None, norm.weight), cast(Tensor | None, norm.bias)
        self._check(weight is not None and bias is not None)
        self.words.append(norm.normalized_shape[-1])
        self._real(norm.eps)
        self._place(weight)
        self._place(bias)

    def _linear(self, *parts: nn.Module) -> None:
        """Layers that read the same, as one."""
        first = cast(nn.Linear, parts[0])
        low = type(first) is LowPrecisionLinear
        self._check(type(first) is nn.Linear or (low and first.precision == "int8"))
        self.words += (int(low), first.in_features, len(parts))
        for part in cast(Iterable[nn.Linear], parts):
            self._check(type(part) is type(first) and getattr(part, "curve", None) is None)
            self._check(part.in_features == first.in_features)
            self.words.append(part.out_features)
            self._place(part.weight)
            self._place(cast(Tensor | None, part.bias))


class _OfTransformer(Description):
    """As `transformer.h` reads it."""

    def network(self, model: Transformer) -> None:
        self.words += (0, model.target_embedding.embedding_dim)
        self._embedding(model.source_embedding, model.source_positions, model.scale)
        self._embedding(model.target_embedding, model.target_positions, model.scale)
        self.words.append(len(model.encoder))
        for layer in model.encoder:
            self._encoder_layer(layer)
        self._norm(model.encoder_norm)
        self.words.append(len(model.decoder))
        for layer in model.decoder:
            self._decoder_layer(layer)
        self._norm(model.decoder_norm)
        self._linear(model.out)

    def _encoder_layer(self, layer: nn.Module) -> None:
        self._check(type(layer) is EncoderLayer)
        layer = cast(EncoderLayer, layer)
        self._residual(layer.self_residual)
        self._site(layer.self_attention)
        self._feedforward(layer.feedforward_residual, layer.feedforward)

    def _decoder_layer(self, layer: nn.Module) -> None:
        self._check(type(layer) is DecoderLayer)
        layer = cast(DecoderLayer, layer)
        self._residual(layer.self_residual)
        self._site(layer.self_attention)
        self._residual(layer.cross_residual)
        cross = layer.cross_attention
        if type(cross) is Constant:
            self.words.append(0)
            self._place(cross.vector)
        else:
            self._check(type(cross) is Attention)
            cross = cast(Attention, cross)
            self.words.append(1)
            self._heads(cross, cross=True)
            self._linear(cross.query)
            self._linear(cross.key, cross.value)
            self._linear(cross.out)
        self._feedforward(layer.feedforward_residual, layer.feedforward)

    def _residual(self, residual: nn.Module) -> None:
        self._check(type(residual) is Residual)
        residual = cast(Residual, residual)
        self.words.append(int(residual.pre))
        self._norm(residual.norm)

    def _feedforward(self, residual: nn.Module, feedforward: nn.Module) -> None:
        self._check(type(feedforward) is FeedForward and type(feedforward.activation) is nn.ReLU)
        feedforward = cast(FeedForward, feedforward)
        self._residual(residual)
        self._linear(feedforward.inner)
        self._linear(feedforward.outer)

    def _site(self, site: nn.Module) -> None:
        if type(site) is Constant:
            self.words.append(0)
            self._place(site.vector)
        elif type(site) is Attention:
            self.words.append(1)
            self._heads(site, cross=False)
            self._linear(site.query, site.key, site.value)
            self._linear(site.out)
        elif type(site) is GatedRecurrence:
            self.words.append(2)
            self._linear(site.inner)
            self._linear(site.out)
        else:
            self._check(type(site) is LocalConvolution)
            site = cast(LocalConvolution, site)
            self.words += (3, site.kernel)
            self._linear(site.inner)
            self._place(site.taps)
            self._linear(site.out)

    def _scale_and_window(self, site: Attention, *, cross: bool) -> tuple[float, tuple[int, ...]]:
        mechanism, usual = site.mechanism, site.dim**-0.5
        if mechanism is None:
            return usual, (0,)
        from heedful.nn.mechanisms import parameter_free  # most models need none of them

        if type(mechanism) is parameter_free.ScaledDot:
            return usual if mechanism.scale is None else mechanism.scale, (0,)
        self._check(type(mechanism) is parameter_free.Window and not cross)
        mechanism = cast(parameter_free.Window, mechanism)
        return usual, (mechanism.window, mechanism.ahead, mechanism.sinks)

    def _heads(self, site: Attention, *, cross: bool) -> None:
        scale, window = self._scale_and_window(site, cross=cross)
        self.words += (site.heads, site.kv_heads, site.dim, site.value_dim)
        self._real(scale)
        self.words += window
        positions = None if cross else site.positions
        if positions is None:
            self.words.append(0)
        elif type(positions) is RotaryPositions:
            self.words.append(1)
            self._real(positions.base)
            self.words += (positions.whole, len(positions.pairs), *positions.pairs)
        else:
            self._check(type(positions) is RelativePositions)
            positions = cast(RelativePositions, positions)
            self.words += (2, positions.buckets, len(positions.starts), *positions.starts)
            self._place(positions.table)


class _OfRecurrent(Description):
    """As `recurrent.h` reads it."""

    def network(self, model: RnnSeq2Seq) -> None:
        self.words += (1, model.target_embedding.embedding_dim)
        self._embedding(model.source_embedding, None, 1.0)
        self._embedding(model.target_embedding, None, 1.0)
        self.words.append(model.encoder.num_layers)
        for layer in range(model.encoder.num_layers):
            self._cell(model.encoder, f"_l{layer}")
            self._cell(model.encoder, f"_l{layer}_reverse")
        self._linear(model.bridge)
        self._cell(model.decoder, "_l0")
        self._aligner(model.aligner)
        self._linear(model.combine)
        self._linear(model.out)
        self.words.append(int(model.input_feeding))

    def _cell(self, layers: nn.Module, name: str) -> None:
        self._check(type(layers) in (nn.GRU, nn.LSTM))
        layers = cast(nn.GRU | nn.LSTM, layers)
        self._check(not layers.proj_size)
        self.words += (int(type(layers) is nn.LSTM), layers.hidden_size)
        for part in ("ih", "hh"):
            weight = getattr(layers, f"weight_{part}{name}")
            self.words += (0, weight.shape[1], 1, weight.shape[0])
            self._place(weight)
            self._place(getattr(layers, f"bias_{part}{name}", None))

    def _aligner(self, aligner: nn.Module | None) -> None:
        kind = type(aligner)
        if aligner is None:
            self.words.append(0)
        elif kind is Additive:
            aligner = cast(Additive, aligner)
            self._comparison(1, 1.0, aligner.query, aligner.key)
            self._place(aligner.score)
        elif kind is ScaledDot:
            aligner = cast(ScaledDot, aligner)
            self._comparison(2, aligner.query.out_features**-0.5, aligner.query, aligner.key)
        elif kind is General:  # keys become what queries meet: the same product, and once for all
            weight = cast(General, aligner).weight
            self._comparison(2, 1.0, None, None)
            self.words[-1] = 1
            self.words += (0, weight.shape[2], 1, weight.shape[1])
            self._place(weight)
            self._place(None)
        else:
            self._check(kind is Dot)
            key = cast(Dot, aligner).key
            self._comparison(2, 1.0, None, None if type(key) is nn.Identity else key)

    def _comparison(
        self, kind: int, scale: float, query: nn.Module | None, key: nn.Module | None
    ) -> None:
        self.words.append(kind)
        self._real(scale)
        for part in (query, key):
            self.words.append(int(part is not None))
            if part is not None:
                self._linear(part)


def is_attached(module: nn.Module) -> bool:
    """Is more called with the module than its own `forward`?"""
    everywhere = vars(nn.modules.module)
    return bool(
        vars(module)["_forward_hooks"]
        or vars(module)["_forward_pre_hooks"]
        or everywhere["_global_forward_hooks"]
        or everywhere["_global_forward_pre_hooks"]
        or any(callable(getattr(type(module), name, None)) for name in vars(module))
    )
