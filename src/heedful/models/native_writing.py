"""Writing in one native call: what a network is, said so that the library can run it."""

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from heedful import listeners
from heedful.errors import KernelError
from heedful.kernels.cpu import build
from heedful.kernels.writing.network import Network, Writing
from heedful.models._native_description import Unsayable, described, is_attached
from heedful.models.rnn_seq2seq import RnnSeq2Seq
from heedful.models.transformer import Transformer

KINDS = (Transformer, RnnSeq2Seq)
IDLE = (nn.Dropout, nn.Identity, nn.ReLU)  # nobody has a reason to change these
MANY = 32  # texts, beside which reading every weight once takes little


def write(
    model: object, source: Tensor, lengths: Tensor, *, bos: int, eos: int, most: int
) -> list[list[int]] | None:
    """Write greedily, in one call.

    Args:
        model: What writes.
        source: Source tokens, padded.
        lengths: Source tokens that are text, one number a row.
        bos: Token before the first. Never written, unless it is also `eos`.
        eos: Token after the last.
        most: Tokens of a text.

    Returns:
        The tokens of each row, without `bos` and `eos`; `None` where the library cannot say: it is
        not there, the model is another one or has a mechanism that it does not know, somebody
        listens, or not all is as it should be, which the model itself then says.
    """
    network = _network_of(model, source, lengths)
    if network is None:
        return None
    try:
        return network.write(source, lengths, bos=bos, eos=eos, most=most)
    except KernelError:
        return None


def start(model: object, source: Tensor, lengths: Tensor, *, most: int) -> Writing | None:
    """Read sources, so that each step is one call.

    Args:
        model: As for `write`.
        source: As for `write`.
        lengths: As for `write`.
        most: Steps at most.

    Returns:
        What takes the steps; `None` as for `write`.
    """
    network = _network_of(model, source, lengths)
    return network and network.start(source, lengths, most=most)


# ---- networks that were described, and whether they still are what they were ---------------------


class _Known(NamedTuple):
    """A network, and all of the model that it stands for."""

    network: Network
    shape: list[tuple[dict[str, Any], int, dict[str, Any], dict[str, Any]]]
    numbers: list[tuple[dict[str, Any], str, Tensor, int, int]]
    hooks: list[int]  # how many had been registered anywhere when this model had none


_known: "weakref.WeakKeyDictionary[nn.Module, _Known]" = weakref.WeakKeyDictionary()


def _network_of(model: object, source: Tensor, lengths: Tensor) -> Network | None:
    if (
        not isinstance(model, KINDS)
        or type(model) not in KINDS
        or model.training
        or not source.is_cpu
        or source.ndim != 2
    ):
        return None
    if (
        source.is_floating_point()
        or not listeners.raw(source, lengths)
        or torch.is_autocast_enabled("cpu")
    ):
        return None
    try:
        return _known_or_made(model, wholly=len(source) >= MANY) if build.switched_on() else None
    except KernelError:
        return None


def _known_or_made(model: Transformer | RnnSeq2Seq, *, wholly: bool) -> Network | None:
    known = _known.get(model)
    if known is not None and _is_same(model, known) and known.network.same(wholly=wholly):
        return known.network
    _known.pop(model, None)
    try:
        description = described(model)
    except Unsayable:
        return None
    network = Network(description.words, description.tensors, target_size=model.out.out_features)
    parts = [vars(module) for module in model.modules() if type(module) not in IDLE]
    _known[model] = _Known(
        network,
        [(own, len(own), own["_modules"], dict(own["_modules"])) for own in parts],
        [
            (own["_parameters"], name, tensor, _version(tensor), tensor.data_ptr())
            for own in parts
            for name, tensor in own["_parameters"].items()
            if tensor is not None
        ],
        [RemovableHandle.next_id],
    )
    return network


def _is_same(model: nn.Module, known: _Known) -> bool:
    """Does the model have the parts and tensors that it had, and still no hooks?"""
    for own, count, parts, were in known.shape:
        if len(own) != count or parts != were or own["training"]:
            return False
    for parameters, name, tensor, version, address in known.numbers:
        if (
            parameters.get(name) is not tensor
            or tensor.data_ptr() != address
            or _version(tensor) != version
        ):
            return False
    if known.hooks[0] != RemovableHandle.next_id:  # somewhere one was registered: here?
        if any(is_attached(module) for module in model.modules()):
            return False
        known.hooks[0] = RemovableHandle.next_id
    return True


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
