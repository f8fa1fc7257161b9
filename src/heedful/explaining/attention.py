"""Raw attention: where one site looked, nothing added."""

import torch
from torch import nn

from heedful.errors import ConfigError
from heedful.explaining._backwards import Mixture, mean_of_heads, relevance
from heedful.explaining.looks import Look, Looks, look
from heedful.explaining.maps import Maps
from heedful.explaining.question import Question, Route


def attention(
    model: nn.Module, question: Question, *, site: str | None = None, head: int | None = None
) -> Maps:
    """Return how a site weighs the pieces where each target is read.

    Args:
        model: Of which the question is.
        question: What is asked.
        site: One that looks at the input; `None` means: the last of the route that does.
        head: One of its heads; `None` means: their mean.

    Raises:
        ConfigError: No such site looks at the input, or it has no such head.
        UnsupportedError: The model has no attention that leads to its input.

    Source:
        Bahdanau et al. 2014, arXiv:1409.0473, section 5.2.1. Whether such a map explains anything
        is what a verdict is for: Jain and Wallace 2019, arXiv:1902.10186.

    Cost:
        One forward pass.
    """
    looks, _ = look(model, question)
    chosen = _only(looks, site, head)

    def weigh(each: Look) -> torch.Tensor:
        return mean_of_heads(each) if head is None else each.weights[:, head]

    found = relevance(chosen, question, range(len(question.targets)), weigh, Mixture(0.0, 1.0))
    return Maps.of(found, looks.error)


def _only(looks: Looks, site: str | None, head: int | None) -> Looks:
    """The same maps, with a route of one step."""
    route = looks.route
    reading = [step for step in route.steps if step.keys in route.places]
    names = list(dict.fromkeys(step.site for step in reading))
    if site is not None and site not in names:
        raise ConfigError(f"site must be one of {', '.join(names)}, got {site!r}")
    step = next(step for step in reversed(reading) if site in (None, step.site))
    heads = looks.heads(step.site)
    if head is not None and not 0 <= head < heads:
        raise ConfigError(f"head must be in 0 to {heads - 1} at {step.site}, got {head}")
    rows = route.rows if step.queries == route.answer else None
    return looks.along(Route(steps=(step,), places=route.places, answer=step.queries, rows=rows))
