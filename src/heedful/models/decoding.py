"""Writing a text with a model: greedy, beam search and sampling, in batches.

Rows that are finished leave the batch, so short texts do not wait for long ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

import heedful.models.native_writing as native_writing
from heedful.errors import ConfigError
from heedful.models.seq2seq import Seq2Seq

Step = Callable[[Int[Tensor, " rows"]], Float[Tensor, "rows target_size"]]
Pick = Callable[[Float[Tensor, "rows target_size"]], Int[Tensor, " rows"]]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a text begins and ends.

    Args:
        bos: Token before the first. Never written, unless it is also `eos`.
        eos: Token after the last.
        max_length: Tokens written at most, without `bos` and `eos`.

    Raises:
        ConfigError: `max_length < 1`.
    """

    bos: int = 1
    eos: int = 2
    max_length: int = 256

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ConfigError(f"max_length must be at least 1, got {self.max_length}")


@torch.inference_mode()
def greedy(
    model: Seq2Seq,
    source: Shaped[Tensor, "batch ..."],
    lengths: Int[Tensor, " batch"],
    *,
    limits: Limits = Limits(),
) -> list[list[int]]:
    """Take the likeliest token at every step.

    Args:
        model: What writes; call `model.eval()` first.
        source: Source tokens, padded, or what else the model reads, such as images.
        lengths: Source tokens that are text, one number a row.
        limits: Where a text begins and ends.

    Returns:
        The tokens of each row, without `bos` and `eos`.

    Cost:
        One step of the model a token, over the rows not yet finished.
    """

    def pick(logits: Tensor) -> Tensor:
        return _without_bos(logits, limits).argmax(-1)

    written = native_writing.write(
        *(model, source, lengths), bos=limits.bos, eos=limits.eos, most=limits.max_length
    )
    if written is not None:
        return written
    return _write(model, source, lengths, limits, pick)


@torch.inference_mode()
def sample(
    model: Seq2Seq,
    source: Shaped[Tensor, "batch ..."],
    lengths: Int[Tensor, " batch"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
    limits: Limits = Limits(),
) -> list[list[int]]:
    """Draw every token from the model's distribution.

    Args:
        model: What writes; call `model.eval()` first.
        source: Source tokens, padded, or what else the model reads, such as images.
        lengths: Source tokens that are text, one number a row.
        temperature: Divides the logits; below 1 sharpens.
        top_k: Only the `top_k` likeliest tokens may be drawn. `None` means all.
        top_p: Only the fewest likeliest tokens that together reach this probability, before `top_k`
            cuts, may be drawn.
        generator: Source of randomness.
        limits: Where a text begins and ends.

    Returns:
        The tokens of each row, without `bos` and `eos`.

    Raises:
        ConfigError: A setting is out of range.

    Source:
        Holtzman et al. 2019, arXiv:1904.09751, section 3.1 (top_p).
    """
    if not 0 < temperature < torch.inf:
        raise ConfigError(f"temperature must be above 0 and finite, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k must be at least 1, got {top_k}")
    if not 0 < top_p <= 1:
        raise ConfigError(f"top_p must be above 0 and at most 1, got {top_p}")

    def pick(logits: Tensor) -> Tensor:
        logits = _without_bos(logits.float(), limits)
        # the largest becomes 0: no temperature, however low, makes it infinite
        logits = (logits - logits.amax(-1, keepdim=True)) / temperature
        probability, order = logits.softmax(-1).sort(dim=-1, descending=True)
        if top_p < 1:
            before = probability.cumsum(-1) - probability  # the likeliest has 0 and always stays
            probability = probability.masked_fill(before >= top_p, 0)
        drawn = torch.multinomial(probability[:, :top_k], 1, generator=generator)
        return order.gather(1, drawn)[:, 0]

    return _write(model, source, lengths, limits, pick)


@torch.inference_mode()
def beam(
    model: Seq2Seq,
    source: Shaped[Tensor, "batch ..."],
    lengths: Int[Tensor, " batch"],
    *,
    width: int = 4,
    length_penalty: float = 0.6,
    limits: Limits = Limits(),
) -> list[list[int]]:
    """Keep the `width` best beginnings of each text.

    A finished text scores `log P / ((5 + tokens) / 6) ** length_penalty`, `eos` counted. A row ends
    when `width` texts are finished and no beginning is likelier than the best of them. Where none
    finishes within `max_length`, the likeliest beginning is returned.

    Args:
        model: What writes; call `model.eval()` first.
        source: Source tokens, padded, or what else the model reads, such as images.
        lengths: Source tokens that are text, one number a row.
        width: Beginnings kept. 1 gives what `greedy` gives.
        length_penalty: 0 prefers short texts, larger prefers longer ones.
        limits: Where a text begins and ends.

    Returns:
        The best text of each row, without `bos` and `eos`.

    Raises:
        ConfigError: `width < 1`.

    Source:
        Wu et al. 2016, arXiv:1609.08144, section 7, equation 14.

    Cost:
        `width` times the work of `greedy`.
    """
    if width < 1:
        raise ConfigError(f"width must be at least 1, got {width}")
    search = _Beams(len(source), width, length_penalty, limits)
    state, step = _started(model, source, lengths, limits)
    state.select(torch.arange(len(source), device=source.device).repeat_interleave(width))
    tokens = torch.full((len(source) * width,), limits.bos, device=source.device)
    for _ in range(limits.max_length + 1):
        scores = _without_bos(step(tokens).float().log_softmax(-1), limits)
        rows, tokens = search.advance(scores)
        if not len(rows):
            break
        state.select(rows)
    return search.best()


class _Beams:
    """The bookkeeping of a beam search; its rows follow the model's."""

    def __init__(self, texts: int, width: int, length_penalty: float, limits: Limits) -> None:
        self.width, self.length_penalty, self.limits = width, length_penalty, limits
        self.active = list(range(texts))  # which texts the rows belong to, `width` rows each
        self.done: list[list[_Text]] = [[] for _ in range(texts)]
        self.tokens = [[[] for _ in range(width)] for _ in range(texts)]
        # all beams begin alike: only the first may be continued at the first step
        self.scores = [[0.0] + [-torch.inf] * (width - 1) for _ in range(texts)]

    def advance(self, scores: Float[Tensor, "rows target_size"]) -> tuple[Tensor, Tensor]:
        """Take one step; return which rows go on and the tokens they go on with."""
        size, device = scores.shape[-1], scores.device
        total = torch.tensor([self.scores[text] for text in self.active], device=device)
        total = (total[:, :, None] + scores.unflatten(0, (-1, self.width))).flatten(1)
        # at most `width` of the 2 * width best end, so `width` that go on are always among them
        values, places = total.topk(min(2 * self.width, total.shape[1]), dim=-1)
        rows: list[int] = []
        tokens: list[int] = []
        active: list[int] = []
        for index, text in enumerate(self.active):
            kept = self._expand(text, values[index].tolist(), places[index].tolist(), size)
            if kept:
                active.append(text)
                rows += [index * self.width + beam for beam in kept]
                tokens += [beginning[-1] for beginning in self.tokens[text]]
        self.active = active
        return torch.tensor(rows, device=device), torch.tensor(tokens, device=device)

    def best(self) -> list[list[int]]:
        """Return the best text of each row; an unfinished one only where none finished."""
        return [self._best(text).tokens for text in range(len(self.done))]

    def _expand(self, text: int, values: list[float], places: list[int], size: int) -> list[int]:
        """Advance the beams of one text; return the beams continued, none where it is decided."""
        old, likeliest = self.tokens[text], self.scores[text][0]
        kept: list[int] = []
        beginnings: list[list[int]] = []
        scores: list[float] = []
        for rank, (value, place) in enumerate(zip(values, places, strict=True)):
            beam, token = divmod(place, size)
            if token == self.limits.eos:
                # an ending counts only where it is among the best `width` of all continuations
                if rank < self.width and value > -torch.inf:
                    self._finish(text, value, old[beam])
            elif len(kept) < self.width:
                kept.append(beam)
                beginnings.append([*old[beam], token])
                scores.append(value)
        if not self._decided(text, scores[0], len(beginnings[0])):
            self.tokens[text], self.scores[text] = beginnings, scores
            return kept
        if not self.done[text]:
            self._finish(text, likeliest, old[0])
        return []

    def _decided(self, text: int, likeliest: float, tokens: int) -> bool:
        if tokens > self.limits.max_length or likeliest == -torch.inf:
            return True
        enough = len(self.done[text]) >= self.width
        return enough and likeliest <= self._best(text).log_probability

    def _best(self, text: int) -> "_Text":
        return max(self.done[text], key=lambda done: done.score)

    def _finish(self, text: int, log_probability: float, tokens: list[int]) -> None:
        score = log_probability / self._norm(len(tokens) + 1)
        self.done[text].append(_Text(score, log_probability, tokens))

    def _norm(self, tokens: int) -> float:
        return ((5 + tokens) / 6) ** self.length_penalty


class _Text(NamedTuple):
    """What a beam search has finished."""

    score: float
    log_probability: float
    tokens: list[int]


def _without_bos(scores: Tensor, limits: Limits) -> Tensor:
    """Make `bos` impossible; the other scores stay as they are."""
    if limits.bos == limits.eos:
        return scores
    return scores.index_fill(-1, torch.tensor([limits.bos], device=scores.device), -torch.inf)


def _started(model: Seq2Seq, source: Tensor, lengths: Tensor, limits: Limits) -> tuple[Any, Step]:
    """What selects rows, and what takes a step: in one native call where there is one."""
    native = native_writing.start(model, source, lengths, most=limits.max_length + 1)
    if native is not None:
        return native, native.step
    state = model.start(source, lengths)
    return state, lambda tokens: model.step(tokens, state)


def _write(
    model: Seq2Seq, source: Tensor, lengths: Tensor, limits: Limits, pick: Pick
) -> list[list[int]]:
    state, step = _started(model, source, lengths, limits)
    texts: list[list[int]] = [[] for _ in range(len(source))]
    active = torch.arange(len(source), device=source.device)
    tokens = torch.full((len(source),), limits.bos, device=source.device)
    for _ in range(limits.max_length):
        tokens = pick(step(tokens))
        alive = tokens != limits.eos
        for row, token in zip(active[alive].tolist(), tokens[alive].tolist(), strict=True):
            texts[row].append(token)
        if not alive.all():
            rows = alive.nonzero()[:, 0]
            if not len(rows):
                break
            active, tokens = active[rows], tokens[rows]
            state.select(rows)
    return texts
