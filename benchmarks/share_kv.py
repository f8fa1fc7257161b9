"""Let 8 key/value heads of a translator become 2 at every site, and heal it for a few steps.

Trains a translator with 8 heads for each seed, unless runs are given or there already. Heads are
merged as `ShareKeyValue` does, turned onto each other, and beside it by the plain mean of
neighbours; sites are first taught by themselves (`distil`), without labels, and listened to while
the model is healed, or not. The cache is that of the real decoder.
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from _measure import write
from _translator import going_on, moments_in, opened, progress_of, verdict_on
from torch import Tensor, nn

from heedful.allocation.moments import Moments
from heedful.allocation.moves import Move, ShareKeyValue
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.projections import Projections
from heedful.allocation.sites import find_sites
from heedful.data.tokens import BOS
from heedful.models import Transformer
from heedful.optimizing.budget import parse_lose
from heedful.optimizing.distil import distil
from heedful.optimizing.finetune import Finetuning, finetune
from heedful.optimizing.of_run import problem_of_run
from heedful.optimizing.verdict import Verdict
from heedful.tasks.catalog import parse_config
from heedful.training.run import Run
from heedful.training.start import train

HEADS = 8
BUDGETS = {
    "chrf": parse_lose("chrf 1%"),
    "token_accuracy": parse_lose("token_accuracy 1%"),
}
SHARE = 0.05  # of the training steps, for healing
DISTILLED = 0.25  # of the training steps, before it; they take no labels
PACE = 0.8  # of healing, where distillation leaves little to mend
WRITTEN = 32  # tokens a row, for the cache


@final
@dataclass(frozen=True, kw_only=True)
class MeanOfNeighbours(Move):
    """Merge neighbouring key/value heads by their mean, as they are.

    Source:
        Ainslie et al. 2023, arXiv:2305.13245, section 2.1.
    """

    kv_heads: int

    def edit(self, site: Projections, moments: Moments | None) -> Projections:
        def mean(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.unflatten(0, (self.kv_heads, -1)).mean(1)

        return site.with_(
            key=mean(site.key),
            key_bias=mean(site.key_bias),
            value=mean(site.value),
            value_bias=mean(site.value_bias),
        )


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to merge and to mend.

    Args:
        name: In the tables.
        move: Made at every site; `None` merges nothing.
        distilled: Steps of distillation, as a share of those of the training.
        healed: Steps of healing, likewise.
        pace: Of healing.
    """

    name: str
    move: Move | None
    distilled: float = 0.0
    healed: float = SHARE
    rate_scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one run one way.

    Args:
        way: How heads were merged.
        merged: Both scores right after it.
        healed: The verdicts after healing, in the order of `BUDGETS`.
        distilled: Steps of distillation.
        steps: Of healing.
        training: Steps of the training.
        seconds: Of distillation and healing.
        cache: Bytes of the keys and values stored, before and after, and of what holds them.
    """

    way: Way
    merged: list[float]
    healed: list[Verdict]
    distilled: int
    steps: int
    training: int
    seconds: float
    cache: tuple[int, int, int, int]


def trained(folder: Path, seed: int, minutes: float) -> Path:
    """A run with 8 heads; one that is there is gone on with, and left as it is when it is done."""
    if (folder / "run.json").is_file():
        return train(resume=folder).folder
    settings = {
        "seed": seed,
        "output": str(folder),
        "model": {"heads": HEADS},
        "train": {"minutes": minutes},
    }
    return train(parse_config(settings, name="demo")).folder


@torch.inference_mode()
def cache_bytes(run: Run, model: nn.Module) -> tuple[int, int]:
    """Bytes of the keys and values that one batch has stored, and of the memory kept for them."""
    assert isinstance(model, Transformer)  # noqa: S101
    sources = [example.source for example in run.examples("test")[: run.config.decode.batch]]
    rows = [torch.tensor(row) for row in run.task.vocabularies.source.encode(sources)]
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    state = model.start(padded, torch.tensor([len(row) for row in rows]))
    tokens = torch.full((len(rows),), BOS)
    for _ in range(WRITTEN):  # rows that have ended go on, so that both models store as many
        tokens = model.step(tokens, state).argmax(-1)
    tensors = [x for caches in state.caches for cache in caches for x in cache.stored()]
    stored = sum(x.numel() * x.element_size() for x in tensors)
    return stored, sum(x.untyped_storage().nbytes() for x in tensors)


def ways(kv_heads: int, share: float) -> list[Way]:
    turned = ShareKeyValue(kv_heads=kv_heads)
    mean = MeanOfNeighbours(kv_heads=kv_heads)
    return [
        Way(
            name="turned, then merged",
            move=turned,
            distilled=DISTILLED,
            healed=share,
            rate_scale=PACE,
        ),
        Way(
            name="the same, both within the share",
            move=turned,
            distilled=share / 2,
            healed=share / 2,
            rate_scale=PACE,
        ),
        Way(name="the same, not distilled", move=turned, healed=share),
        Way(
            name="mean of neighbours", move=mean, distilled=DISTILLED, healed=share, rate_scale=PACE
        ),
        Way(name="nothing merged, healed as long", move=None, healed=share, rate_scale=PACE),
    ]


def rows_of(run: Run, kv_heads: int, share: float, seed: int) -> list[Row]:
    subjects = {metric: problem_of_run(run, metric, seed=seed) for metric in BUDGETS}
    problem = subjects["chrf"]
    start = unfused(problem.model)
    sites = find_sites(start)[0]
    moments = moments_in(problem, start)
    before = {name: of.statistics(of.model, "test") for name, of in subjects.items()}
    training = progress_of(run.folder)[0]
    found: list[Row] = []
    for way in ways(kv_heads, share):
        torch.manual_seed(seed)
        same = going_on(problem, seed)
        distilled, steps = int(way.distilled * training), int(way.healed * training)
        plan = Plan(moves={site.name: (way.move,) for site in sites} if way.move else {})
        model = plan.apply(start, moments).eval()
        merged = [of.metric.score(of.statistics(model, "test")) for of in subjects.values()]
        began = time.monotonic()
        distil(model, start, sites, same, steps=distilled)
        healing = Finetuning(steps=steps, rate_scale=way.rate_scale)
        finetune(model, same, healing, sites=sites if distilled else ())
        seconds = time.monotonic() - began
        model.eval()
        found.append(
            Row(
                way=way,
                merged=merged,
                healed=[
                    verdict_on(of, before[name], model, BUDGETS[name])
                    for name, of in subjects.items()
                ],
                distilled=distilled,
                steps=steps,
                training=training,
                seconds=seconds,
                cache=(*cache_bytes(run, start), *cache_bytes(run, model)),
            )
        )
    return found


def relative(verdict: Verdict) -> tuple[float, float]:
    """What was lost and what may be, in per cent of the score before."""
    return (
        -100 * verdict.difference / verdict.before,
        -100 * verdict.bound / verdict.before,
    )


def told(number: int, row: Row) -> str:
    cells: list[str] = []
    for merged, verdict in zip(row.merged, row.healed, strict=True):
        loss, bound = relative(verdict)
        cells.append(f"{verdict.before:.2f} | {merged:.2f} | {verdict.after:.2f}")
        cells.append(f"{loss:.2f} % ({bound:.2f} %)")
    return (
        f"| {number} | {row.way.name} | {' | '.join(cells)} "
        f"| {'yes' if row.healed[0].accepted else 'no'} "
        f"| {row.distilled} ({100 * row.distilled / row.training:.1f} %) "
        f"| {row.steps} ({100 * row.steps / row.training:.1f} %) | {row.seconds:.0f} |"
    )


def caches(rows: list[Row]) -> list[str]:
    lines = [
        "| way | bytes stored before | after | smaller | bytes held before | after | smaller |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        stored, held, stored_after, held_after = row.cache
        lines.append(
            f"| {row.way.name} | {stored:,} | {stored_after:,} | {stored / stored_after:.2f}x "
            f"| {held:,} | {held_after:,} | {held / held_after:.2f}x |"
        )
    return lines


def means(rows: list[list[Row]]) -> list[str]:
    lines = [
        "| way | mean loss of chrF | worst bound | mean loss of token accuracy | worst bound "
        "| within 1 % of chrF |",
        "|---|---|---|---|---|---|",
    ]
    for group in zip(*rows, strict=True):
        cells: list[str] = []
        for metric in range(len(BUDGETS)):
            losses, bounds = zip(*(relative(row.healed[metric]) for row in group), strict=True)
            cells.append(f"{statistics.fmean(losses):.2f} % | {max(bounds):.2f} %")
        accepted = sum(row.healed[0].accepted for row in group)
        lines.append(f"| {group[0].way.name} | {' | '.join(cells)} | {accepted} of {len(group)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, nargs="+", help="trained with 8 heads; none trains")
    parser.add_argument("--runs", type=Path, default=Path("runs/share-kv"), help="where it trains")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the training")
    parser.add_argument("--minutes", type=float, default=3.75, help="of the training")
    parser.add_argument("--kv-heads", type=int, default=2, help="that stay")
    parser.add_argument("--share", type=float, default=SHARE, help="of the training, for healing")
    parser.add_argument("--seed", type=int, default=0, help="of the healing")
    parser.add_argument("--examples", type=int, help="of the test split; all unless said")
    parser.add_argument("--dry", action="store_true", help="print the result, write nothing")
    arguments = parser.parse_args()
    folders: list[Path] = arguments.run or [
        trained(arguments.runs / str(seed), seed, arguments.minutes) for seed in arguments.seeds
    ]
    lines = [
        f"{HEADS} key/value heads become {arguments.kv_heads} at every site. Test split; losses in",
        "per cent of the score before, with what they are, at 95 % confidence, no worse than.",
        "",
        "| run | way | chrF before | merged | healed | loss (bound) | token accuracy before "
        "| merged | healed | loss (bound) | chrF within 1 % | steps of distillation (of training) "
        "| of healing | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows: list[list[Row]] = []
    for number, folder in enumerate(folders, 1):
        run = opened(folder, arguments.examples)
        rows.append(rows_of(run, arguments.kv_heads, arguments.share, arguments.seed))
        lines += [told(number, row) for row in rows[-1]]
        print("\n".join(lines[-len(rows[-1]) :]), file=sys.stderr, flush=True)
    lines += ["", *means(rows), ""]
    lines += [f"The cache of {WRITTEN} tokens written for each text of a batch, run 1:", ""]
    lines += caches(rows[0])
    print("\n".join(lines)) if arguments.dry else write("share-kv", lines)


if __name__ == "__main__":
    main()
