"""Optimising a run: from one run folder to another, which opens and serves as any other."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from heedful.allocation.plan import Plan, load_plan
from heedful.allocation.precision import WIDE
from heedful.allocation.saved_files import PLAN, REPORT
from heedful.allocation.stacks import within
from heedful.allocation.weights import compact_weights_of
from heedful.files import named, write_bytes, write_into, write_json
from heedful.locks import check_unused
from heedful.manifest import seal
from heedful.nn.compact import ROUNDED, is_compact
from heedful.optimizing.budget import Budget, as_budget, budget_of_keep
from heedful.optimizing.clock import Clock
from heedful.optimizing.events import EventListener, Note, Stage, ignore
from heedful.optimizing.into_folder import (
    IntoFolder,
    Opened,
    check_free,
    optimize_into,
    output_of,
)
from heedful.optimizing.of_run import problem_of_run, problem_to_finetune
from heedful.optimizing.operations import parameters
from heedful.optimizing.outcome import Outcome
from heedful.optimizing.planned import PlanSteps, applied
from heedful.optimizing.settings import OptimizeSettings, check_seed
from heedful.renamed import old_keywords
from heedful.training.checkpoint import OPTIMISED, POINTER, WEIGHTS
from heedful.training.layout import fixed, written
from heedful.training.run import Run
from heedful.training.splits import LEDGER, write_split


@old_keywords(keep=("lose", budget_of_keep))
def optimize_run(
    run: Run | str | Path,
    *,
    lose: str | Budget,
    output: str | Path | None = None,
    test: str | Path | None = None,
    settings: OptimizeSettings | None = None,
    on_event: EventListener = ignore,
    clock: Clock | None = None,
) -> Outcome:
    """Optimise a trained run of any task and write a new one.

    What a search has found is kept beside the new folder until it is done, in `OUT.search`: the
    same call goes on where it was killed. It is of one model with one data, known by their content.

    Args:
        run: A run or its folder; never changed, but for a line in `test-looks.jsonl` for each time
            that a test split was judged on.
        lose: The budget, e.g. `chrf 0.5`; metrics are those of the task.
        output: New folder. `None` means the run's name with `-optimised` behind it.
        test: File of examples to judge with, which the new run then has as its test split. `None`
            means the test split of the run.
        settings: How far and how carefully to search. `None` means `OptimizeSettings()`.
        on_event: Called with every event of `heedful.optimizing.events`.
        clock: Of the time that the settings give, where it began before this call.

    Returns:
        The accepted outcome; it is written already.

    Raises:
        BudgetError: Nothing was found that is faster and good enough; only the report is written.
        DataError: There is no test split, it cannot be read, or is too small where examples that
            another split holds are left out.
        ConfigError: The budget cannot be read, or names an unknown metric.
        RunError: The run is damaged, its training data is not what it was, or the output folder
            holds something; or another process optimises into it.
        UnsupportedError: The model has no attention that can be changed.
    """
    return optimize_into(
        run_into_folder(
            run,
            lose=lose,
            output=output,
            test=test,
            settings=settings,
            on_event=on_event,
            clock=clock,
        )
    )


def run_into_folder(
    run: Run | str | Path,
    *,
    lose: str | Budget,
    output: str | Path | None = None,
    test: str | Path | None = None,
    settings: OptimizeSettings | None = None,
    on_event: EventListener = ignore,
    clock: Clock | None = None,
) -> IntoFolder:
    """Return what `optimize_run` does, for `take_part`: with its arguments and errors."""
    run = run if isinstance(run, Run) else Run(run)
    folder = output_of(run.folder, output)
    check_free(folder)
    lower = [each.name for each in run.kind.metrics if not each.higher_is_better]
    budget = as_budget(lose, lower_is_better=lower)
    settings = settings or OptimizeSettings()
    clock = clock or Clock(settings.minutes)

    def opened() -> Opened:
        on_event(Stage(text="reading the run and its training data"))
        if is_compact(run.model):
            on_event(Note(text=ROUNDED))
        examples = None if test is None else run.kind.read_file(run.config, test)
        problem = problem_of_run(run, budget.metric, seed=settings.seed, test=examples)
        for split, count in problem.left_out.items():
            if count:
                on_event(Note(text=_left_out(split, count)))
        judged = run.examples("test") if examples is None else examples

        def write(found: Outcome, report: dict[str, Any]) -> None:
            write_run(folder, run, found.model, found.plan, report, test=examples)

        return Opened(
            problem=problem,
            source=run.folder,
            splits={"dev": run.examples("dev"), "test": judged},
            about={"run": str(run.folder)},
            write=write,
            made=run.about,
        )

    return IntoFolder(
        folder=folder,
        opened=opened,
        budget=budget,
        settings=settings,
        clock=clock,
        on_event=on_event,
    )


def apply_plan(
    plan: Plan | str | Path,
    run: Run | str | Path,
    *,
    output: str | Path,
    distil_steps: int = 0,
    finetune_steps: int = 0,
    seed: int = 0,
    on_event: EventListener = ignore,
) -> Run:
    """Make the moves of a plan on a run, and write a new run. Nothing is verified.

    Args:
        plan: A plan or its file.
        run: A run or its folder; never changed.
        output: New folder.
        distil_steps: Steps of layer-wise distillation afterwards; with any, fine-tuning goes on to
            listen to the changed sites.
        finetune_steps: Steps of fine-tuning after that.
        seed: Of calibration, distillation and fine-tuning.
        on_event: Called with every event of `heedful.optimizing.events`.

    Raises:
        ConfigError: The plan cannot be read, or does not fit the run.
        RunError: The run is damaged, or the output folder holds something.
        UnsupportedError: A move cannot be made, and why.
    """
    check_seed(seed)
    run = run if isinstance(run, Run) else Run(run)
    folder = named(Path(output))
    check_unused(folder)
    plan = plan if isinstance(plan, Plan) else load_plan(Path(plan))
    plan.apply(run.model)  # what does not fit is refused before the data is read
    on_event(Stage(text="reading the run and its training data"))
    problem = problem_to_finetune(run, seed=seed)
    on_event(Stage(text="fine-tuning"))
    steps = PlanSteps(distil=distil_steps, finetune=finetune_steps, seed=seed)
    plan, model = applied(plan, problem, steps)
    write_run(folder, run, model, plan, {"run": str(run.folder), "verified": False})
    return Run(folder, task=run.source)


def _left_out(split: str, count: int) -> str:
    what = "1 example" if count == 1 else f"{count:,} examples"
    return f"left {what} of {split} out, which an earlier split holds as well"


def write_run(
    folder: Path,
    run: Run,
    model: nn.Module,
    plan: Plan,
    report: dict[str, Any],
    *,
    test: Sequence[Any] | None = None,
) -> None:
    """Write a run that was changed; it appears whole or not at all.

    Args:
        folder: New, or with nothing but the report of a refusal.
        run: What was changed.
        model: Into this.
        plan: By these moves.
        report: Everything else that is known.
        test: A test split in place of the one of the run.

    Raises:
        RunError: The folder cannot be written.
    """
    about = {
        **run.about,
        "optimised_from": str(run.folder.resolve()),
        "parameters": parameters(model),
    }

    def fill(temporary: Path) -> None:
        run.copy(temporary)
        if test is None and (run.folder / LEDGER).is_file():
            shutil.copy2(run.folder / LEDGER, temporary / LEDGER)
        if test is not None:
            write_split(temporary, "test", test)
        checkpoint = temporary / "checkpoints" / OPTIMISED
        checkpoint.mkdir(parents=True)
        write_bytes(checkpoint / WEIGHTS, save(compact_weights_of(model)))
        seal(checkpoint, (WEIGHTS,), name=OPTIMISED)
        write_json(temporary / POINTER, {"last": OPTIMISED, "best": OPTIMISED})
        _behind(run.plan, plan).save(temporary / PLAN)
        write_json(temporary / REPORT, report)
        write_json(temporary / "run.json", about)
        seal(temporary, (*fixed(run.kind), PLAN, REPORT))

    check_free(folder)
    write_into(folder, fill, last="run.json", holds=written(run.kind))


def _behind(first: Plan | None, second: Plan) -> Plan:
    """The plan from the trained model, where the run had been optimised before."""
    if first is None:
        return second
    unmoved = {name: was for name, was in second.was.items() if name not in first.moves}
    lowered = [plan for plan in (first, second) if plan.linear is not None]
    dropped = (*first.dropped_layers, *second.dropped_layers)
    plan = Plan(
        moves={name: made for name, made in first.moves.items() if not within(dropped, name)},
        was={**unmoved, **first.was},
        linear=lowered[-1].linear if lowered else None,
        narrowest=min((plan.narrowest for plan in lowered), default=WIDE),
        dropped_layers=dropped,
    )
    for name, moves in second.moves.items():
        plan = plan.then(name, moves)
    return plan
