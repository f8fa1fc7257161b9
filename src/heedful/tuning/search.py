"""Search at train time: train candidate after candidate, and keep the cheapest that is good."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.config.base import TaskConfig
from heedful.errors import BudgetError, ConfigError, DataError, MissingExtraError, RunError
from heedful.locks import hold
from heedful.sharing.crew import Crew
from heedful.sharing.storage import check_optuna, reachable
from heedful.tasks.catalog import BUILT_IN, AnyTask, find_task, load_config, name_of
from heedful.tuning.costs import Costs
from heedful.tuning.folder import check_folder, check_results, discard, open_folder
from heedful.tuning.goal import Goal, check_keep
from heedful.tuning.pool import Pool, check_pipes
from heedful.tuning.results import Results
from heedful.tuning.scheduler import Callback, Scheduler, ignore
from heedful.tuning.space import Space, applied, combinations, default_space
from heedful.tuning.study import Study
from heedful.tuning.trial import Trial, nearest

MOST_WORKERS = 1_024  # each is a process of some hundred megabytes


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What a search has found.

    Args:
        folder: Of the search.
        config: Of the best trial.
        best: The cheapest trial that keeps the quality.
        trials: All that came to an end, by their number.
        plain: What `trials.json` holds.
    """

    folder: Path
    config: TaskConfig
    best: Trial
    trials: list[Trial]
    plain: dict[str, Any]


def tune(
    config: TaskConfig | str | Path,
    *,
    goal: Goal,
    output: str | Path,
    space: Space | None = None,
    trials: int = 30,
    workers: int = 1,
    resume: bool = False,
    storage: str | None = None,
    on_trial: Callback = ignore,
    task: str | AnyTask | None = None,
) -> Tuned:
    """Find the settings that keep a quality at the least cost, by training many.

    Each trial is a training by `heedful.train` of the config with some settings replaced, in a
    worker process; the first one is the config itself where it lies in the space. Quality is
    measured on the dev split, which the search thereby uses up: what the best one is worth, only
    the test split can tell.

    Args:
        config: What is searched around, or the TOML file of it; its limits hold for each trial.
        goal: The quality that must be kept, and what should become small.
        output: Folder of the search.
        space: Where to look; `None` means `default_space`.
        trials: How many at most, over all resumes.
        workers: Processes that train at the same time; they share the cores.
        resume: Go on with the search in `output`, which must be of the same config, goal and space;
            or take part in it, where other commands are at it.
        storage: A database for what was tried, as Optuna names it, e.g. `postgresql://...`; the
            same for all commands. `None` means a journal in the folder.
        on_trial: Called with every trial that has ended, and with the best one so far.
        task: A task of the user's own, or where it is: `module:Class`.

    Returns:
        The best trial and all others; `best.toml` and `trials.json` hold them too.

    Raises:
        BudgetError: No trial keeps the quality.
        ConfigError: A count is below 1, or there are more workers than any machine bears; or the
            config or the space cannot be used; or the task has no such quality, or is where no
            worker finds it.
        DataError: The data cannot be used.
        MissingExtraError: Optuna is not installed.
        RunError: The folder holds something else, or workers do not live, or the database cannot be
            reached, to begin with or any more.
        UnsupportedError: It is to run on Windows.

    Source:
        Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", section 4 (the
        sampler: a tree-structured Parzen estimator).
    """
    _check_counts(trials=trials, workers=workers)
    check_pipes()
    check_optuna("tuning")
    config = config if isinstance(config, TaskConfig) else load_config(config, source=task)
    kind = find_task(config.task, source=task)
    check_keep(goal.keep, kind)
    folder, space = Path(output), default_space(config) if space is None else space
    valid = combinations(space, config, kind)
    source = _source_of(kind)
    check_folder(folder, resume=resume)  # before anything is made
    with reachable(storage), Costs(config, goal, kind) as costs, Crew(folder) as crew:
        name = _opened(folder, config, goal, space, resume=resume)
        with crew.joining():
            study = Study(
                folder,
                space=space,
                valid=valid,
                seed=config.seed,
                trials=trials,
                crew=crew,
                storage=None if storage is None else (storage, name),
            )
            results = _results(Results(config, goal, folder, study.finished(), task=kind), study)
        scheduler = Scheduler(
            study, results, trials=trials, cost_of=costs, source=source, callback=on_trial
        )
        try:
            _run(scheduler, workers=min(workers, trials))
        except (ConfigError, DataError, MissingExtraError):
            if not resume and not results.trials:
                discard(folder, kind)  # nothing can be gone on with
            raise
    best = _best(results)
    return Tuned(
        folder=folder,
        config=applied(config, best.params),
        best=best,
        trials=results.trials,
        plain=results.to_json(),
    )


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{name} must be at least 1, got {count}")
    if counts["workers"] > MOST_WORKERS:
        raise ConfigError(f"workers must be at most {MOST_WORKERS:,}, got {counts['workers']}")


def _opened(folder: Path, config: TaskConfig, goal: Goal, space: Space, *, resume: bool) -> str:
    """Make the folder of a search, or check the one there; returns what the search is called."""
    with ExitStack() as first:
        if not resume:  # nobody waits for a folder that is to be a new one
            first.enter_context(hold(folder, make=True))
        return open_folder(folder, config, goal, space, resume=resume)


def _results(results: Results, study: Study) -> Results:
    """Those of a journal that holds all that was told of it."""
    try:
        check_results(results.folder, results.trials)
    except RunError:
        study.close()
        raise
    return results


def _run(scheduler: Scheduler, *, workers: int) -> None:
    try:
        with Pool(scheduler.logs, workers=workers) as pool:
            scheduler.run(pool)
    finally:  # also after Ctrl-C: what is finished is kept
        scheduler.close()


def _source_of(task: AnyTask) -> str | None:
    """Where workers find a task: `module:Class`; `None` means that it is built in.

    Raises:
        ConfigError: It is in the script that runs, which workers do not run.
    """
    name = name_of(task)
    if name in BUILT_IN and find_task(name) is task:
        return None
    if task.__module__ == "__main__" or "." in task.__qualname__:
        raise ConfigError(
            f"task must be a class that workers can import, got {task.__qualname__} in "
            f"{task.__module__}. Put it into a module of its own."
        )
    return f"{task.__module__}:{task.__qualname__}"


def _best(results: Results) -> Trial:
    if results.best is not None:
        return results.best
    keep = results.goal.keep
    near = nearest(results.trials, keep)
    got = "" if near is None else f", the nearest with {keep.metric} {near.quality:.4g}"
    raise BudgetError(
        f"one trial must keep {keep}, got 0 of {len(results.trials)}{got}. "
        "Loosen --keep, or raise --trials or --minutes."
    )
