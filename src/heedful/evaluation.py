"""Quality with intervals, and speed and memory beside it."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

try:
    import resource
except ImportError:  # not on Windows
    resource = None

from heedful.data.examples import Example
from heedful.data.scripts import composed
from heedful.data.tokens import PAD
from heedful.errors import DataError
from heedful.metrics.interval import estimates
from heedful.metrics.metric import PER_CENT, Floats, Metric, SumMetric, per_example
from heedful.metrics.texts import bleu, bleu_signature, chrf, exact_match
from heedful.tasks.translation import Pairs, Translator, encode
from heedful.training.run import Run

Interval = tuple[float, float]
BLEU, CHRF, EXACT = bleu(), chrf(), exact_match()
TEXTS: tuple[Metric, ...] = (BLEU, CHRF, EXACT)
TOKENS = SumMetric(name="token_accuracy", span=PER_CENT, floor=0.0, unit="%", reads="rows")


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
        Scores with 95 % intervals from 1,000 bootstrap resamples of the examples; see
        `heedful.metrics.interval.estimates`.

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
    statistics = {metric: metric.statistics(texts, examples) for metric in TEXTS}
    statistics[TOKENS] = _token_accuracy(translator, pairs)
    found = dict(zip(statistics, estimates([*statistics.items()], seed=seed), strict=True))
    limits = run.config.data.max_length, run.config.decode.max_length
    return Report(
        run=str(run.folder),
        split=split,
        examples=len(examples),
        exact_match=found[EXACT].score,
        exact_match_interval=found[EXACT].interval,
        bleu=found[BLEU].score,
        bleu_interval=found[BLEU].interval,
        bleu_signature=bleu_signature(references),
        chrf=found[CHRF].score,
        chrf_interval=found[CHRF].interval,
        token_accuracy=found[TOKENS].score,
        token_accuracy_interval=found[TOKENS].interval,
        by_kind=_by_kind(examples, statistics),
        tokens_per_second=sum(map(len, written)) / seconds,
        seconds=seconds,
        peak_memory_mib=_peak_memory_mib(),
        beam=run.config.decode.beam if beam is None else beam,
        too_long=int((pairs.lengths > limits[0] + 2).any(1).sum()),
        cut=sum(len(text) >= limits[1] for text in written),
    )


@torch.inference_mode()
def _token_accuracy(translator: Translator, pairs: Pairs) -> Floats:
    """Return, for each example, the tokens predicted right, in per cent, and all tokens.

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
    return per_example(PER_CENT * right, tokens)


def _by_kind(
    examples: Sequence[Example], statistics: Mapping[Metric, Floats]
) -> dict[str, KindScores]:
    scores: dict[str, KindScores] = {}
    for kind in sorted({example.kind for example in examples} - {""}):
        rows = [row for row, example in enumerate(examples) if example.kind == kind]
        scores[kind] = KindScores(
            examples=len(rows),
            exact_match=EXACT.score(statistics[EXACT][rows]),
            chrf=CHRF.score(statistics[CHRF][rows]),
        )
    return scores


def _peak_memory_mib() -> float | None:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes, Linux KiB
