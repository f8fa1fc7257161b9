"""All that the page of a run shows, gathered from run folders and from models that answer."""

import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from heedful.allocation.saved_files import PLAN, REPORT
from heedful.config.file import dump_toml
from heedful.errors import ConfigError, DataError, RunError, UnsupportedError
from heedful.files import read_json
from heedful.metrics.interval import Estimate, estimates
from heedful.nn.compact import numbers_of
from heedful.optimizing.into_folder import output_of
from heedful.report.run_page.data import Cost, Curve, Interval, PageData, Score
from heedful.reporting.examples import show_examples
from heedful.reporting.heads import atlas_of
from heedful.reporting.searched import costs_of, importance_of, judgement_of, search_of
from heedful.reporting.watched import told_alarms, watched_heads
from heedful.tasks.measure import measure
from heedful.training.metrics import read_metrics
from heedful.training.run import Run
from heedful.training.splits import shown_split

HEAD_EXAMPLES = 16  # that the numbers of heads are means over
NOT_CURVES = {"step", "fraction", "best", "seconds", "remaining", "learning_rate"}
MOST_CURVES = 4
OF_ITS_OWN = {"optimised_from", "parameters"}  # what an optimised run says of itself alone


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """How much a page is to hold.

    Args:
        examples: Held-out examples that are shown, at most.
        draws: Random maps that each explanation is compared with.
        seed: Of these.
    """

    examples: int = 6
    draws: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.examples < 0:
            raise ConfigError(f"examples must be at least 0, got {self.examples}")
        if self.draws < 1:
            raise ConfigError(f"draws must be at least 1, got {self.draws}")


def gather(
    run: Run,
    smaller: Run | None,
    *,
    command: str,
    settings: Gathering | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> PageData:
    """Return all that a page shows: models answer held-out examples, and are probed as they do.

    Args:
        run: The run.
        smaller: What optimising made of it; `None` where there is none.
        command: What makes the page, word for word.
        settings: How much it holds. `None` means `Gathering()`.
        tell: Called with what is being done.

    Raises:
        RunError: A run is damaged.
        ConfigError: `smaller` was not made of `run`.
    """
    if smaller is not None:
        _check_pair(run, smaller)
    settings = settings or Gathering()
    judged = run if smaller is None else smaller  # which may have been judged on others (--test)
    split = shown_split(judged)
    examples = judged.examples(split)
    report = report_of(run, smaller)
    tell("measuring quality")
    scores, measured = _scores(run, smaller, examples)
    tell("looking at heads")
    atlas = atlas_of(run, smaller, _some(examples, HEAD_EXAMPLES), importance_of(report))
    tell("explaining examples")
    shown = show_examples(
        run, _some(examples, settings.examples), draws=settings.draws, seed=settings.seed, tell=tell
    )
    return PageData(
        run=str(run.folder),
        smaller="" if smaller is None else str(smaller.folder),
        task=run.config.task,
        command=command,
        date=date.today().isoformat(),
        about=_about(run),
        split=split,
        examples=measured,
        scores=scores,
        costs=costs_of(report) or _parameters(run, smaller),
        judgement=judgement_of(report),
        search=search_of(report),
        atlas=atlas,
        shown=shown,
        curves=_curves(run),
        watched=watched_heads(_measured(run)),
        alarms=told_alarms(_measured(run)),
        config=dump_toml(run.config),
        plan="" if smaller is None or smaller.plan is None else smaller.plan.dumps(),
    )


def optimised_from(run: Run) -> Run | None:
    """Return the run beside this one that optimising made of it, where there is one."""
    folder = output_of(run.folder, None)
    if not (folder / "run.json").is_file():
        return None
    smaller = Run(folder, device=run.device, task=run.source)
    return smaller if _is_made_of(smaller, run) else None


def _is_made_of(smaller: Run, run: Run) -> bool:
    """Did optimising make it of this run? Wherever both are by now: they came about alike."""
    told, original = smaller.about, run.about
    alike = all(
        told.get(name) == original.get(name) for name in (told.keys() | original) - OF_ITS_OWN
    )
    return alike and "optimised_from" in told


def _check_pair(run: Run, smaller: Run) -> None:
    if _is_made_of(smaller, run):
        return
    origin = smaller.about.get("optimised_from")
    told = "was trained by itself" if origin is None else f"was made of {origin!s:.200}"
    raise ConfigError(
        f"RUN2 must be what optimising made of {run.folder}, got {smaller.folder}, which {told}. "
        "What two runs answer, `heedful verdict` compares"
    )


def report_of(run: Run, smaller: Run | None) -> dict[str, Any] | None:
    """Return what an optimisation came to: an accepted one, or one that was refused.

    A plan that was made without a verdict has none.
    """
    folder = output_of(run.folder, None) if smaller is None else smaller.folder
    path: Path = folder / REPORT
    if not path.is_file() or (smaller is None and (folder / PLAN).exists()):
        return None
    report = read_json(path)
    return report if isinstance(report, dict) and "quality" in report else None


def _some(examples: Sequence[Any], count: int) -> list[Any]:
    """So many of them, evenly spread."""
    count = min(count, len(examples))
    return [examples[place * len(examples) // count] for place in range(count)]


def _scores(
    run: Run, smaller: Run | None, examples: Sequence[Any]
) -> tuple[tuple[Score, ...], int]:
    """Each metric of both, on the same examples."""
    metrics = run.task.metrics
    if not metrics or not examples:
        return (), 0
    try:
        before = _estimates(run, examples)
        after = [None] * len(before) if smaller is None else _estimates(smaller, examples)
    except (DataError, UnsupportedError):  # no score of these
        return (), 0
    scores = tuple(
        Score(
            name=metric.name,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            before=_interval(first),
            after=None if second is None else _interval(second),
        )
        for metric, first, second in zip(metrics, before, after, strict=True)
    )
    return scores, len(examples)


def _estimates(run: Run, examples: Sequence[Any]) -> Sequence[Estimate]:
    task = run.task
    found = measure(task, run.model, task.encode(examples), examples)
    return estimates([(metric, found[metric.name]) for metric in task.metrics])


def _interval(found: Estimate) -> Interval:
    return Interval(found.score, found.low, found.high)


def _parameters(run: Run, smaller: Run | None) -> tuple[Cost, ...]:
    def count(run: Run) -> int:
        return numbers_of(run.model)

    after = None if smaller is None else count(smaller)
    return (Cost(name="parameters", before=count(run), after=after),)


def _about(run: Run) -> dict[str, str]:
    about = run.about
    found: dict[str, Any] = {
        "command": _command(about.get("command")),
        "seed": about.get("seed"),
        "precision": about.get("precision"),
        "machine": ", ".join(
            str(about[name]) for name in ("platform", "device") if about.get(name)
        ),
        "cores, threads": f"{about.get('cores')}, {about.get('threads')}",
        "versions": _versions(about.get("versions")),
        "page made on": f"{platform.machine()}, Python {platform.python_version()}",
    }
    return {name: str(value) for name, value in found.items() if value not in (None, "")}


def _command(words: Any) -> str | None:
    """The command line; runs of old had the name of a file where a module was run."""
    if not isinstance(words, list) or not words:
        return None
    first, *others = map(str, words)
    return shlex.join(["heedful" if first == "__main__.py" else first, *others])


def _versions(found: Any) -> str:
    pairs = found.items() if isinstance(found, dict) else ()
    return ", ".join(f"{name} {version}" for name, version in pairs)


def _curves(run: Run) -> tuple[Curve, ...]:
    """The loss, the dev scores; what has a number at more than one step."""
    found: dict[str, list[tuple[int, float]]] = {}
    for line in _measured(run):
        for name, value in line.items():
            if name in NOT_CURVES or name.endswith("_per_second") or isinstance(value, bool):
                continue
            if isinstance(value, int | float) and value == value and abs(value) < float("inf"):
                found.setdefault(name, []).append((int(line["step"]), float(value)))
    first = ("loss", run.kind.monitor)
    names = sorted(found, key=lambda name: (first.index(name) if name in first else 2, name))
    chosen = [name for name in names if len(found[name]) > 1][:MOST_CURVES]
    return tuple(Curve(name=name, points=tuple(found[name])) for name in chosen)


def _measured(run: Run) -> list[dict[str, Any]]:
    try:
        return read_metrics(run.folder)
    except RunError:  # only a picture of it is lost
        return []
