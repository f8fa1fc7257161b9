"""Quality with intervals, and speed and memory beside it."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

try:
    import resource
except ImportError:  # not on Windows
    resource = None

from heedful.data.examples import Example
from heedful.data.scripts import composed, unspaced_shares
from heedful.data.tokens import PAD
from heedful.errors import DataError
from heedful.tasks.translation import Pairs, Translator, encode
from heedful.training.run import Run

Floats = NDArray[np.float64]
Interval = tuple[float, float]
RESAMPLES = 1_000


@dataclass(frozen=True, kw_only=True)
class KindScores:
    """Quality on one kind of example."""

    examples: int
    exact_match: float
    chrf: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run is worth on one split. Shares and scores are in per cent.

    Args:
        run: The run folder.
        split: `dev` or `test`.
        examples: How many were translated.
        exact_match: Share translated exactly like the reference.
        bleu: Corpus BLEU. Where most words of the target are characters of a script without
            spaces, its tokens are characters: `zh` for Chinese, `char` for the others.
        bleu_signature: What BLEU was computed with.
        chrf: Corpus chrF2.
        token_accuracy: Share of target tokens predicted right, given the true tokens before.
        by_kind: The same for each kind of example, where the data names kinds.
        tokens_per_second: Target tokens written, search included.
        seconds: Time the search took.
        peak_memory_mib: Most memory the process has held so far; on a GPU, of the GPU. `None` where
            the platform does not say.
        beam: Beginnings kept in the search.
        too_long: Examples with a source or target beyond `data.max_length`; they are translated and
            counted all the same. Where a model has learned positions, it reads as much as it has
            positions for.
        cut: Translations that reached `decode.max_length` and were cut there.
    """

    run: str
    split: str
    examples: int
    exact_match: float
    exact_match_interval: Interval
    bleu: float
    bleu_interval: Interval
    bleu_signature: str
    chrf: float
    chrf_interval: Interval
    token_accuracy: float
    token_accuracy_interval: Interval
    by_kind: dict[str, KindScores]
    tokens_per_second: float
    seconds: float
    peak_memory_mib: float | None
    beam: int
    too_long: int
    cut: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def evaluate(
    run: Run | str | Path, *, split: str = "test", beam: int | None = None, seed: int = 0
) -> Report:
    """Translate a held-out split and compare it with its references.

    Args:
        run: A run or its folder.
        split: `dev` or `test`.
        beam: Beginnings kept in the search; `None` means as configured.
        seed: Of the resampling behind the intervals.

    Returns:
        Scores with 95 % intervals from 1,000 bootstrap resamples of the examples.

    Raises:
        ConfigError: There is no such split.
        DataError: The split is empty.
        RunError: The run is damaged.

    Source:
        Koehn 2004, "Statistical significance tests for machine translation evaluation", section 3.
        Post 2018, arXiv:1804.08771 (BLEU that can be compared); Popović 2015, W15-3049 (chrF).
    """
    run = run if isinstance(run, Run) else Run(run)
    translator, examples = run.translator, run.examples(split)
    if not examples:
        other = " Try --split dev." if split == "test" else ""
        raise DataError(f"the {split} split must hold an example, got none.{other}")
    pairs, _ = encode(examples, translator.vocabularies)
    began = time.perf_counter()
    written = translator.write(pairs.source, beam=beam)
    seconds = time.perf_counter() - began
    # a model writes composed text: references are compared in that form, however they were typed
    texts = [composed(text) for text in translator.vocabularies.target.decode(written)]
    examples = [replace(example, target=composed(example.target)) for example in examples]
    references = [example.target for example in examples]
    draws = resamples(len(examples), seed=seed)
    bleu = corpus_metric(bleu_metric(references), texts, references, draws)
    chrf = corpus_metric(CHRF(), texts, references, draws)
    exact = np.array([a == b for a, b in zip(texts, references, strict=True)], float)
    right, tokens = _token_accuracy(translator, pairs)
    limits = run.config.data.max_length, run.config.decode.max_length
    return Report(
        run=str(run.folder),
        split=split,
        examples=len(examples),
        exact_match=100 * float(exact.mean()),
        exact_match_interval=interval(100 * (draws @ exact) / len(examples)),
        bleu=bleu.score,
        bleu_interval=bleu.interval,
        bleu_signature=bleu.signature,
        chrf=chrf.score,
        chrf_interval=chrf.interval,
        token_accuracy=100 * float(right.sum() / tokens.sum()),
        token_accuracy_interval=interval(100 * (draws @ right) / (draws @ tokens)),
        by_kind=_by_kind(examples, texts, exact),
        tokens_per_second=sum(map(len, written)) / seconds,
        seconds=seconds,
        peak_memory_mib=_peak_memory_mib(),
        beam=run.config.decode.beam if beam is None else beam,
        too_long=int((pairs.lengths > limits[0] + 2).any(1).sum()),
        cut=sum(len(text) >= limits[1] for text in written),
    )


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A corpus metric with its interval."""

    score: float
    interval: Interval
    signature: str


def resamples(examples: int, *, seed: int, count: int = RESAMPLES) -> Floats:
    """Return how often each example is drawn in each of `count` resamples, `(count, examples)`."""
    random = np.random.default_rng(seed)
    return random.multinomial(examples, np.full(examples, 1 / examples), size=count).astype(float)


def interval(values: Floats) -> Interval:
    """Return the middle 95 % of resampled values."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def bleu_metric(references: Sequence[str]) -> BLEU:
    """Return BLEU with the tokeniser for what the references are written in.

    `13a` finds words between spaces. Where most words are characters of a script without spaces,
    it would find one a sentence, and no model could score: Chinese has sacrebleu's `zh`, which
    parts Han characters and leaves Latin words whole, other scripts have `char`.
    """
    han, unspaced = unspaced_shares(references)
    if han + unspaced <= 1 / 2:
        return BLEU(tokenize="13a")
    return BLEU(tokenize="zh" if unspaced < han / 10 else "char")


def corpus_metric(
    metric: Metric, texts: Sequence[str], references: Sequence[str], draws: Floats
) -> Scored:
    """Compute a corpus metric once and on every resample, from statistics a sentence."""
    # sacrebleu keeps these to itself, but its own intervals assume a symmetric distribution
    extract: Callable[..., list[list[float]]] = getattr(metric, "_extract_corpus_statistics")  # noqa: B009
    compute: Callable[[list[int]], Any] = getattr(metric, "_compute_score_from_stats")  # noqa: B009
    statistics = np.array(extract(texts, [references]), float)
    # the metrics' own arithmetic expects whole numbers
    resampled = [compute([int(x) for x in row]).score for row in draws @ statistics]
    return Scored(
        score=compute([int(x) for x in statistics.sum(0)]).score,
        interval=interval(np.array(resampled)),
        signature=str(metric.get_signature()),
    )


@torch.inference_mode()
def _token_accuracy(translator: Translator, pairs: Pairs) -> tuple[Floats, Floats]:
    """Return, for each example, the tokens predicted right and all tokens.

    Tokens that a model has no positions for are not predicted.
    """
    device = next(translator.model.parameters()).device
    right, tokens = np.zeros(len(pairs)), (pairs.target.lengths - 1).astype(np.float64)
    pairs = pairs.cut(translator.model.longest)
    for rows in translator.batches(pairs.target.lengths):
        source, lengths, target = pairs.batch(rows, device)
        truth = target[:, 1:]
        guess = translator.model(source, lengths, target[:, :-1]).argmax(-1)
        right[rows] = ((guess == truth) & (truth != PAD)).sum(-1).cpu().numpy()
    return right, tokens


def _by_kind(
    examples: Sequence[Example], texts: Sequence[str], exact: Floats
) -> dict[str, KindScores]:
    scores: dict[str, KindScores] = {}
    for kind in sorted({example.kind for example in examples} - {""}):
        rows = [row for row, example in enumerate(examples) if example.kind == kind]
        references = [examples[row].target for row in rows]
        chrf = CHRF().corpus_score([texts[row] for row in rows], [references]).score
        scores[kind] = KindScores(
            examples=len(rows), exact_match=100 * float(exact[rows].mean()), chrf=chrf
        )
    return scores


def _peak_memory_mib() -> float | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB
