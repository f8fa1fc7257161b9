"""Optimising a run: from one run folder to another, which opens and serves as any other."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from heedful.allocation.plan import Plan, load_plan, separated
from heedful.allocation.seen import look
from heedful.allocation.sites import find_sites
from heedful.allocation.stored import PLAN, REPORT
from heedful.allocation.weights import weights_of
from heedful.data.examples import Example
from heedful.data.files import read_tsv
from heedful.errors import BudgetError
from heedful.files import write_bytes, write_into, write_json
from heedful.manifest import seal
from heedful.optimizing.budget import Budget, parse_budget
from heedful.optimizing.distil import distil
from heedful.optimizing.events import Listener, Stage, ignore
from heedful.optimizing.heal import Healing, heal
from heedful.optimizing.memory import Memory
from heedful.optimizing.of_run import subject_of_run, subject_to_heal
from heedful.optimizing.operations import parameters
from heedful.optimizing.optimize import optimize_subject
from heedful.optimizing.outcome import Outcome
from heedful.optimizing.settings import Settings
from heedful.training.checkpoint import OPTIMISED, POINTER, WEIGHTS
from heedful.training.run import FIXED, WRITTEN, Run, check_unused
from heedful.training.splits import write_split


def optimize_run(
    run: Run | str | Path,
    *,
    keep: str | Budget,
    output: str | Path | None = None,
    test: str | Path | None = None,
    settings: Settings | None = None,
    on_event: Listener = ignore,
) -> Outcome:
    """Optimise a trained translator and write a new run.

    What a search has found is kept beside the new folder until it is done, in `OUT.search`: the
    same call goes on where it was killed.

    Args:
        run: A run or its folder; never changed.
        keep: The budget, e.g. `chrf >= -0.5`; metrics are chrf, bleu, exact_match, token_accuracy
            and loss.
        output: New folder. `None` means the run's name with `-optimised` behind it.
        test: Tab-separated file of examples to judge with, which the new run then has as its test
            split. `None` means the test split of the run.
        settings: How far and how carefully to search. `None` means `Settings()`.
        on_event: Called with every event of `heedful.optimizing.events`.

    Returns:
        The accepted outcome; it is written already.

    Raises:
        BudgetError: Nothing was found that is faster and good enough; only the report is written.
        DataError: There is no test split, it cannot be read or is too small, or an example is in
            two splits.
        ConfigError: The budget cannot be read, or names an unknown metric.
        RunError: The run is damaged, or the output folder holds something.
        UnsupportedError: The model has no attention that can be changed.
    """
    run = run if isinstance(run, Run) else Run(run)
    folder = output_of(run.folder, output)
    _check_free(folder)
    budget = parse_budget(keep) if isinstance(keep, str) else keep
    settings = settings or Settings()
    on_event(Stage(text="reading the run and its training data"))
    examples = None if test is None else read_tsv(test)
    subject = subject_of_run(run, budget.metric, seed=settings.seed, test=examples)
    about = {"run": str(run.folder.resolve()), "made": run.about}
    memory = Memory(search_of(folder), budget, settings, about)
    outcome = optimize_subject(subject, budget, settings, on_event, memory)
    report = {"run": str(run.folder), **outcome.report}
    if not outcome.accepted:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / REPORT, report)
        shutil.rmtree(memory.folder)
        raise BudgetError(outcome.reason)
    write_run(folder, run, outcome.model, outcome.plan, report, test=examples)
    shutil.rmtree(memory.folder)
    return outcome


def apply_plan(
    plan: Plan | str | Path,
    run: Run | str | Path,
    *,
    output: str | Path,
    distil_steps: int = 0,
    heal_steps: int = 0,
    seed: int = 0,
    on_event: Listener = ignore,
) -> Run:
    """Make the moves of a plan on a run, and write a new run. Nothing is verified.

    Args:
        plan: A plan or its file.
        run: A run or its folder; never changed.
        output: New folder.
        distil_steps: Steps of layer-wise distillation afterwards; with any, healing goes on to
            listen to the changed sites.
        heal_steps: Steps of healing after that.
        seed: Of calibration, distillation and healing.
        on_event: Called with every event of `heedful.optimizing.events`.

    Raises:
        ConfigError: The plan cannot be read, or does not fit the run.
        RunError: The run is damaged, or the output folder holds something.
        UnsupportedError: A move cannot be made, and why.
    """
    run = run if isinstance(run, Run) else Run(run)
    folder = Path(output)
    check_unused(folder)
    plan = plan if isinstance(plan, Plan) else load_plan(Path(plan))
    plan.apply(run.translator.model)  # what does not fit is refused before the data is read
    on_event(Stage(text="reading the run and its training data"))
    subject = subject_to_heal(run, seed=seed)
    start = separated(subject.model)
    sites = find_sites(start)[0]
    plan, model = plan.resolved(start, look(start, sites, subject.runs(start)))
    on_event(Stage(text="healing"))
    changed = [site for site in sites if site.name in plan.moves]
    distil(model, start, changed, subject, steps=distil_steps, seed=seed)
    healing = Healing(steps=heal_steps, seed=seed)
    heal(model, subject, healing, sites=changed if distil_steps else ())
    write_run(folder, run, model.eval(), plan, {"run": str(run.folder), "verified": False})
    return Run(folder)


def output_of(run: Path, output: str | Path | None) -> Path:
    """Return the folder that an optimised run goes to."""
    named = run.with_name(f"{run.resolve().name}-optimised")
    return named if output is None else Path(output)


def search_of(folder: Path) -> Path:
    """Return where the search for an optimised run is kept until it is done."""
    return folder.with_name(f"{folder.name}.search")


def write_run(
    folder: Path,
    run: Run,
    model: nn.Module,
    plan: Plan,
    report: dict[str, Any],
    *,
    test: Sequence[Example] | None = None,
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
        if test is not None:
            write_split(temporary, "test", test)
        checkpoint = temporary / "checkpoints" / OPTIMISED
        checkpoint.mkdir(parents=True)
        write_bytes(checkpoint / WEIGHTS, save(weights_of(model)))
        seal(checkpoint, (WEIGHTS,), name=OPTIMISED)
        write_json(temporary / POINTER, {"last": OPTIMISED, "best": OPTIMISED})
        _behind(run.plan, plan).save(temporary / PLAN)
        write_json(temporary / REPORT, report)
        write_json(temporary / "run.json", about)
        seal(temporary, (*FIXED, PLAN, REPORT))

    _check_free(folder)
    write_into(folder, fill, last="run.json", holds=WRITTEN)


def _check_free(folder: Path) -> None:
    """Check that nothing is there; the report of an earlier refusal gives way."""
    if not (folder.is_dir() and [path.name for path in folder.iterdir()] == [REPORT]):
        check_unused(folder)


def _behind(first: Plan | None, second: Plan) -> Plan:
    """The plan from the trained model, where the run had been optimised before."""
    if first is None:
        return second
    unmoved = {name: was for name, was in second.was.items() if name not in first.moves}
    plan = Plan(moves=first.moves, was={**unmoved, **first.was})
    for name, moves in second.moves.items():
        plan = plan.then(name, moves)
    return plan
