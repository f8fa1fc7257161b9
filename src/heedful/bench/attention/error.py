"""How far a result is from attention in float64, on a few heads and rows, so that it is cheap."""

import torch
from torch import Tensor

from heedful.bench.attention.problem import Outcome, Problem
from heedful.mask import Mask

HEADS = 2
ROWS = 64


def relative_error(problem: Problem, outcome: Outcome, mask: Mask | None) -> float:
    """The L2 norm of the difference to float64, relative to the L2 norm of what float64 gives.

    Of the first batch row, at most two heads and 64 queries from the first to the last; where there
    are gradients, the larger one of the errors of the output and of the gradient of the query.

    Args:
        problem: What was computed from; in the dtype of the case, so that rounding the inputs is
            nobody's error.
        outcome: The output, and the gradients if there are any.
        mask: What a query sees in truth; for a selection that is more than it looks at.
    """
    rows = torch.linspace(0, problem.case.queries - 1, min(ROWS, problem.case.queries)).long()
    exact = _exact(problem, rows, mask)
    return max(
        _distance(part[0, :HEADS].index_select(1, rows), want)
        for part, want in zip(outcome[:2], exact, strict=True)
    )


def _distance(found: Tensor, want: Tensor) -> float:
    norm = want.norm()
    difference = (found.double() - want).norm()
    # a single key leaves nothing to choose, and so no gradient
    return (difference / norm if norm > 1e-12 else difference).item()


def _exact(problem: Problem, rows: Tensor, mask: Mask | None) -> Outcome:
    """The output of the rows and, backward, the gradient of their queries."""
    case = problem.case
    key, value = (x[0, :HEADS].double() for x in (problem.key, problem.value))
    query = problem.query[0, :HEADS].index_select(1, rows).double().requires_grad_()
    scores = query @ key.mT * case.dim**-0.5
    if mask is not None:
        head = torch.arange(scores.shape[0])[:, None, None]
        visible = mask.at(
            torch.tensor(0),
            head,
            rows[:, None],
            torch.arange(case.keys),
            queries=case.queries,
            keys=case.keys,
        )
        scores = scores.masked_fill(~visible, -torch.inf)
    output = scores.softmax(-1) @ value
    if not case.backward:
        return (output.detach(),)
    given = problem.gradient[0, :HEADS].index_select(1, rows).double()
    return output.detach(), torch.autograd.grad(output, query, given)[0]
