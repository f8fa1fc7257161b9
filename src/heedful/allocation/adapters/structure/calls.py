"""How an attention module can be called alone: arguments of the kinds that such modules take."""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from heedful.allocation.adapters._transformers_sites import LOOKING
from heedful.errors import UnsupportedError

Arguments = dict[str, Any]
LENGTH, OTHER = 6, 5  # positions: of the text, and of the one that it may look at
MOST = 200  # calls with texts of one length that are tried

# arguments that say nothing of heads: their defaults do, or these values where they have none
HARMLESS: dict[str, Any] = {
    "past_key_values": None,
    "cache": None,  # its name since transformers 5.24
    "layer_past": None,
    "use_cache": False,
    "output_attentions": False,
    "cache_position": None,
    "encoder_attention_mask": None,
    "max_seqlen": None,
    "layer_idx": 0,
    "ctx_att_mask": None,
    "attention_similarity": None,
    "input_features_mask": None,
    "conv_mask": None,
    "cycle_offset": 0,
    "num_k_exclude_rope": 0,
    "position_mask": None,
    "shared_kv_states": None,
    "is_causal": False,
    "q_global": None,
    "prev_topk_indices": None,
    "kwargs": None,
}
HEADS = ("num_heads", "n_heads", "num_attention_heads", "n_head")
OTHERS = (
    "ctx_tensor",
    "key_value_states",
    "encoder_hidden_states",
    "cross_attention_states",
    "context",
)
KEYS = ("key", "keys", "key_tensor", "key_hidden_states")
VALUES = ("value", "values", "value_tensor", "value_hidden_states")
MASKS = ("attention_mask", "mask", "attn_mask", "shared_rel_pos_bias", "shared_rel_pos")
IMAGES = ("x", "input")  # vectors of texts, of windows, or of images either way round
PLACES = ("size", "feat_size", "hw_shape")  # how many rows and columns of places there are
TURNS = ("rope", "position_embeddings", "rotary_pos_emb")
ADDED = (
    "layer_input",
    "residual",
    "input_tensor",
    "object_queries",
    "query_position_embeddings",
    "encoder_position_embeddings",
)


def calls_of(module: nn.Module) -> Iterator[Arguments]:
    """Yield arguments with which the forward of a module might run, the likelier first.

    Args:
        module: A scratch copy, so with numbers of 64 bits.

    Raises:
        UnsupportedError: It takes an argument of which nobody knows whether it belongs to heads.
    """
    signature = inspect.signature(module.forward)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = [x for x in signature.parameters.values() if x.kind in named]
    flat = "cu_seqlens" in signature.parameters
    choices: dict[str, list[Callable[[int], Any]]] = {}
    maker = _Maker(module, flat)
    for parameter in parameters:
        optional = parameter.default is not inspect.Parameter.empty
        given = maker.values(parameter.name, optional=optional)
        if given is not None:
            choices[parameter.name] = given
        elif not optional or parameter.name not in HARMLESS:
            raise UnsupportedError(
                f"its forward takes {parameter.name}, of which nobody knows if it belongs to heads"
            )
    for length in maker.lengths():
        for makers in itertools.islice(itertools.product(*choices.values()), MOST):
            maker.generator.manual_seed(5)
            yield {
                name: make(length)
                for name, make in zip(choices, makers, strict=True)
                if make is not _left_out
            }


def not_given(module: nn.Module, arguments: Arguments) -> bool:
    """Does a module take turns for places that it was not given?"""
    names = inspect.signature(module.forward).parameters
    return any(name in names and arguments.get(name) is None for name in TURNS)


def _left_out(length: int) -> None:
    """Stands for an argument that is not given."""


def _sides(length: int) -> tuple[int, int]:
    """As many rows and columns of places as make so many, the squarest."""
    rows = next(x for x in range(int(length**0.5), 0, -1) if length % x == 0)
    return rows, length // rows


def _strides(module: nn.Module) -> list[tuple[int, ...]]:
    """How many rows and columns convolutions make one of."""
    found = (x.stride for x in module.modules() if isinstance(x, nn.Conv2d))
    return [x for x in found if math.prod(x) > 1]


class _Maker:
    """Values for the arguments of one module."""

    def __init__(self, module: nn.Module, flat: bool) -> None:
        self.module, self.flat = module, flat
        self.generator = torch.Generator()
        names = ("in_features", "nx", "in_channels")
        wide = [getattr(x, name, None) for x in module.modules() for name in names]
        self.widths = list(dict.fromkeys(x for x in wide if isinstance(x, int)))[:3]

    def lengths(self) -> list[int]:
        """Lengths of texts; of images where tables of positions say how many places there are, or
        convolutions how many become one.
        """
        tables = [x for x in self.module.buffers() if not x.is_floating_point()]
        squares = [x.shape[0] for x in tables if x.ndim == 2 and x.shape[0] == x.shape[1]]
        squares += [x.shape[1] for x in tables if x.ndim == 2]
        squares += [2 * math.prod(x) for x in _strides(self.module)]
        flat = [(math.isqrt(len(x)), len(x)) for x in tables if x.ndim == 1]
        squares += [side for side, size in flat if side * side == size > 1]
        window, stride = (getattr(self.module, x, None) for x in ("window_size", "q_stride"))
        if isinstance(window, int) and isinstance(stride, int):
            squares.append(2 * window * stride)
        return list(dict.fromkeys((LENGTH, 16, *squares)))

    def values(self, name: str, *, optional: bool) -> list[Callable[[int], Any]] | None:
        """Makers of what may be given by this name; `None` where the name says nothing."""
        shorter = {
            **dict.fromkeys(LOOKING, self._vectors),
            **dict.fromkeys((*KEYS, *VALUES), self._vectors),
            **dict.fromkeys(ADDED, self._vectors),
            **dict.fromkeys(IMAGES, self._images),
            **dict.fromkeys(PLACES, self._grid),
            "position_embeddings": self._positions,
            "rotary_pos_emb": self._positions,
            **dict.fromkeys(MASKS, self._masks),
            "alibi": self._slopes,
            "position_bias": self._slopes,
            "position_ids": self._places,
        }
        if name in shorter:
            found = shorter[name](name)
            return [_left_out, *found] if optional and found is not None else found
        if name == "rope":  # what turns is not left out where a module takes it
            return [*self._sines(), *([_left_out] if optional else [])]
        if name in OTHERS:
            found = self._others()
            return [_left_out, *found] if optional else found
        if name == "cu_seqlens":
            return [lambda length: torch.tensor([0, length], dtype=torch.int32)]
        if name in ("height", "width"):
            return [lambda length: int(length**0.5)]
        if name not in HARMLESS:
            return None
        return [_left_out] if optional else [lambda _: HARMLESS[name]]

    def _vectors(self, name: str) -> list[Callable[[int], Any]]:
        return [lambda length, width=width: self._randn(length, width) for width in self.widths]

    def _images(self, name: str) -> list[Callable[[int], Any]]:
        def windows(length: int, width: int) -> Tensor:
            return self._numbers(2, 3, length, width)

        def last(length: int, width: int) -> Tensor:
            return self._numbers(2, *_sides(length), width)

        def first(length: int, width: int) -> Tensor:
            return self._numbers(2, width, *_sides(length))

        return self._vectors(name) + [
            partial(make, width=width) for make in (last, first, windows) for width in self.widths
        ]

    def _grid(self, name: str) -> list[Callable[[int], Any]]:
        return [_sides]

    def _sines(self) -> list[Callable[[int], Any]]:
        """Sines and cosines side by side, for the places behind the first ones, which have none."""
        dim = getattr(self.module, "head_dim", 8)
        first = getattr(self.module, "num_prefix_tokens", 0)
        return [lambda length: self._numbers(length - first, 2 * dim)]

    def _others(self) -> list[Callable[[int], Any]]:
        return [lambda _, width=width: self._randn(OTHER, width) for width in self.widths]

    def _masks(self, name: str) -> list[Callable[[int], Any]]:
        def seen(length: int) -> Tensor:
            return torch.zeros(1, 1, length, length, dtype=torch.float64)

        return [lambda _: None, seen]

    def _slopes(self, name: str) -> list[Callable[[int], Any]] | None:
        """Biases for all heads of all texts, side by side, or of one text."""
        found: list[Callable[[int], Any]] = []
        if hasattr(self.module, "compute_bias"):
            return None  # what it hands on to other layers has all heads
        for heads in (x for x in map(vars(self.module).get, HEADS) if isinstance(x, int)):
            for shape in ((2 * heads, 1), (heads, 1)):
                found.append(lambda length, shape=shape: self._numbers(*shape, length))
        return found

    def _places(self, name: str) -> list[Callable[[int], Any]]:
        return [lambda _: None, lambda length: torch.arange(length).expand(2, length)]

    def _numbers(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def _randn(self, length: int, width: int) -> Tensor:
        shape = (length, width) if self.flat else (2, length, width)
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def _positions(self, name: str) -> list[Callable[[int], Any]]:
        """Cosines and sines, in any of the forms that models make them; or vectors to be added."""
        dims = [getattr(self.module, x, None) for x in ("head_dim", "attention_head_size")]
        dim = next((x for x in dims if isinstance(x, int)), 8)
        config = getattr(self.module, "config", None)
        special = getattr(config, "qk_rope_head_dim", None)
        turned = getattr(self.module, "rotary_dim", None)  # of GPT-J: that many turn, in pairs
        paired = turned // 2 if isinstance(turned, int) else None
        sizes = dict.fromkeys(x for x in (special, dim, dim // 2, dim // 4, 2 * dim, paired) if x)
        found: list[Callable[[int], Any]] = []
        for size in sizes:
            found.append(lambda length, size=size: self._turns(length, size))
        for size in sizes:
            found.append(
                lambda length, size=size: torch.polar(
                    torch.ones(1, length, size // 2, dtype=torch.float64),
                    torch.randn(
                        1, length, size // 2, generator=self.generator, dtype=torch.float64
                    ),
                )
            )
        return found + self._vectors(name)

    def _turns(self, length: int, size: int) -> tuple[Tensor, Tensor]:
        shape = (length, size) if self.flat else (1, length, size)
        angles = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        return angles.cos(), angles.sin()
