"""How many batches a profile looks at: fewer where each of them is much work."""

from contextlib import ExitStack

import torch

from heedful.optimizing.of_model import ModelSpec, problem_of_batches
from heedful.optimizing.problem import Problem
from heedful.profiling.multiply_adds import MultiplyAdds

MULTIPLY_ADDS = 20e9  # of a pass on a CPU: a profile takes some sixty, and is to take a minute


def enough_of(problem: Problem, spec: ModelSpec) -> Problem:
    """Return a problem of as many of its first batches as make a pass that is long enough.

    Multiply-adds are counted, not timed, so that a busy machine looks at the same batches. Devices
    other than CPUs are fast enough for all of them.

    Args:
        problem: Of batches alone.
        spec: With which it was made.

    Cost:
        One pass over these batches, on a CPU.
    """
    if problem.device.type != "cpu":
        return problem
    few = problem.calibration[: _enough(problem)]
    if len(few) == len(problem.calibration):
        return problem
    return problem_of_batches(problem.model, few, spec, unsaid=problem.kind)


def _enough(problem: Problem) -> int:
    with ExitStack() as stack, torch.no_grad():
        as_it_was = torch.backends.mha.get_fastpath_enabled()
        stack.callback(torch.backends.mha.set_fastpath_enabled, as_it_was)
        torch.backends.mha.set_fastpath_enabled(False)  # no formula knows the fused layers
        counter = stack.enter_context(MultiplyAdds())
        for number, batch in enumerate(problem.calibration, 1):
            problem.outputs(problem.model, batch)
            if counter.macs >= MULTIPLY_ADDS:
                return number
    return len(problem.calibration)
