"""A plan made on a model: its moves, and what is learned behind them. Nothing is verified."""

from dataclasses import dataclass

from torch import nn

from heedful.allocation.moments import collect_moments
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.sites import find_sites
from heedful.optimizing.distil import distil
from heedful.optimizing.finetune import Finetuning, finetune
from heedful.optimizing.problem import Problem


@dataclass(frozen=True, kw_only=True)
class PlanSteps:
    """What follows on the moves of a plan.

    Args:
        distil: Steps of layer-wise distillation; with any, fine-tuning goes on to listen to the
            changed sites.
        finetune: Steps of fine-tuning after that.
        seed: Of both.
    """

    distil: int = 0
    finetune: int = 0
    seed: int = 0


def applied(plan: Plan, problem: Problem, steps: PlanSteps) -> tuple[Plan, nn.Module]:
    """Make the moves of a plan on the model of a problem.

    Args:
        plan: Which moves.
        problem: Its calibration batches say what is left to their heads; its model stays.
        steps: What is learned afterwards.

    Returns:
        The plan with all that was chosen on the way, and the changed model.

    Raises:
        ConfigError: The plan does not fit the model.
        UnsupportedError: A move cannot be made, and why.
    """
    start = unfused(problem.model)
    sites = find_sites(start)[0]
    plan, model = plan.resolved(start, collect_moments(start, sites, problem.runs(start)))
    changed = [site for site in sites if site.name in plan.moves]
    distil(model, start, changed, problem, steps=steps.distil, seed=steps.seed)
    finetuning = Finetuning(steps=steps.finetune, seed=steps.seed)
    finetune(model, problem, finetuning, sites=changed if steps.distil else ())
    return plan, model.eval()
