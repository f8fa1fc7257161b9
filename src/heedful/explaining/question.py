"""What is explained: one input, its answer, and all that a method may ask of the model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from heedful.errors import ConfigError

Places = tuple[tuple[int, ...], ...]

NOWHERE = -1  # a place that is no piece of the input: a marker, padding
SOURCE, TARGET, ANSWER = "source", "target", "answer"  # usual names of sequences


@dataclass(frozen=True, kw_only=True)
class Step:
    """One site of attention on the way from an input to its answer.

    Args:
        site: Name of the module, as `heedful.probe` knows it.
        queries: Which sequence looks.
        keys: Which one is looked at; the same for self-attention.
        residual: Is what was found added to what looked? Pooling puts it in its place.
        query_places: Where one input takes several rows of the site's batch, e.g. one for each
            review or frame: for each of these, which places of `queries` its rows are.
        key_places: For each of these, which places of `keys` its keys are; padding stands behind.
        call: Which call of the site, where layers share one and each is a step; `None` means that
            all calls are rows of one step, as those of a decoder that writes token by token.
    """

    site: str
    queries: str = SOURCE
    keys: str = SOURCE
    residual: bool = True
    query_places: Places = ()
    key_places: Places = ()
    call: int | None = None


@dataclass(frozen=True, kw_only=True)
class Route:
    """How attention leads from an answer back to the pieces of its input.

    A sequence is what a site looks at or from: the tokens of a text, the cells of an image, what a
    decoder has written. What recurrence, convolution and feed-forward layers mix between its places
    is not followed.

    Args:
        steps: In the order in which the model computes them.
        places: For each sequence that is read from the input, the number of the piece that stands
            at each of its places, `NOWHERE` for none.
        answer: The sequence at which the answer is read.
        rows: At which of its places each target is read; `None` means: at the mean of all.
    """

    steps: tuple[Step, ...]
    places: Mapping[str, tuple[int, ...]]
    answer: str = ANSWER
    rows: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """Why does a model give this answer to this input?

    Args:
        pieces: What the input is made of: words, cells of an image, stretches of a sound, items.
            Each can be removed.
        targets: What was answered: a label, or each piece of a text that was written.
        inputs: From `(copies, pieces)` of truth values, on the model's device, to what `scores`
            takes: as many copies of the input, with the pieces removed that are False.
        scores: What the model says to such copies, `(copies, targets)`: the log-odds of each
            target, or another number that is larger the more the model means it. Gradients flow.
        removal: What stands where a piece was removed, in words.
        route: How attention leads to the pieces; `None` where the model has none that does.
        embedding: The module whose output has a vector for each place, for integrated gradients;
            empty where there is none.
        embedded: The piece at each place of that output, `NOWHERE` for none; its places are all
            axes but the first and that of the vectors, `(copies, places..., width)`. Those that are
            not named, at the end, are padding.
        channels_first: Are the vectors of that output its second axis, as those of images are?
        shape: How pieces are laid out: `(count,)`, `(rows, columns)` over `canvas`.
        canvas: What is drawn behind them, `(height, width, channels)` from 0 to 255: the image, or
            the spectrogram of a sound.
        title: What was asked and answered, in a line.
        together: How many parts of the input each piece is, at most.
        score: What `scores` are, in words; log-odds are natural logarithms.
        method: That was measured to explain such answers best; empty means `gradient-attention`, or
            `occlusion` where there is no route.
    """

    pieces: tuple[str, ...]
    targets: tuple[str, ...]
    inputs: Callable[[Tensor], Any]
    scores: Callable[[nn.Module, Any], Tensor]
    removal: str
    route: Route | None = None
    embedding: str = ""
    embedded: tuple[int, ...] = ()
    channels_first: bool = False
    shape: tuple[int, ...] = ()
    canvas: NDArray[np.uint8] | None = None
    title: str = ""
    together: int = 1
    score: str = "log-odds"
    method: str = ""

    def __post_init__(self) -> None:
        for name in ("pieces", "targets"):
            if not getattr(self, name):
                raise ConfigError(f"a question must have {name}, got none")
        route = self.route
        if route is not None and route.rows is not None and len(route.rows) != len(self.targets):
            raise ConfigError(
                f"a route must have a row for each of {len(self.targets)} targets, "
                f"got {len(route.rows)}"
            )
        shape = self.shape or (len(self.pieces),)
        if np.prod(shape) != len(self.pieces):
            raise ConfigError(f"shape must be that of {len(self.pieces)} pieces, got {shape}")
        object.__setattr__(self, "shape", shape)
