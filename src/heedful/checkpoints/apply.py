"""Making the moves of a plan on a checkpoint folder; nothing is verified."""

from pathlib import Path

from torch import nn

from heedful.allocation.plan import Plan, load_plan
from heedful.allocation.saved_files import is_model
from heedful.allocation.stored import save_model
from heedful.checkpoints.examples import CheckpointData
from heedful.checkpoints.folder import open_checkpoint
from heedful.checkpoints.heads import head_of
from heedful.checkpoints.optimize import files_beside
from heedful.checkpoints.problem import batches_to_finetune, examples_for
from heedful.errors import ConfigError
from heedful.locks import check_unused
from heedful.optimizing.events import EventListener, Stage, ignore
from heedful.optimizing.of_model import problem_of_batches
from heedful.optimizing.planned import PlanSteps, applied
from heedful.optimizing.settings import check_seed


def apply_to_checkpoint(
    plan: Plan | str | Path,
    folder: Path | str,
    data: CheckpointData,
    *,
    output: Path | str,
    steps: PlanSteps | None = None,
    on_event: EventListener = ignore,
) -> nn.Module:
    """Make the moves of a plan on a checkpoint, and write a new folder.

    Args:
        plan: A plan or its file.
        folder: A checkpoint of Hugging Face; never changed.
        data: Where examples are to calibrate and fine-tune with: all of them are used.
        output: New folder.
        steps: What is learned behind the moves. `None` means nothing.
        on_event: Called with every event of `heedful.optimizing.events`.

    Returns:
        The changed model; it is written already.

    Raises:
        ConfigError: The plan cannot be read, or does not fit the checkpoint, or that was optimised
            before.
        DataError: The examples cannot be read.
        RunError: The folder is damaged, or the output folder holds something.
        UnsupportedError: A move cannot be made, and why.
    """
    folder, output, steps = Path(folder), Path(output), steps or PlanSteps()
    check_seed(steps.seed)
    check_unused(output)
    if is_model(folder):
        raise ConfigError(f"a plan must be applied to a checkpoint as it was, got {folder}")
    plan = plan if isinstance(plan, Plan) else load_plan(Path(plan))
    on_event(Stage(text="reading the checkpoint and the examples"))
    checkpoint = open_checkpoint(folder)
    head = head_of(checkpoint)
    plan.apply(checkpoint.model)  # what does not fit is refused before the data is read
    examples = head.prepared(checkpoint.model, examples_for(head, data.path, data))
    batches = batches_to_finetune(head, checkpoint.model, examples)
    problem = problem_of_batches(checkpoint.model, batches, head.spec, unsaid="values")
    on_event(Stage(text="fine-tuning"))
    plan, model = applied(plan, problem, steps)
    report = {"checkpoint": str(folder), "verified": False}
    save_model(output, model, plan, report=report, beside=files_beside(head, folder))
    return model
