"""Why the last action of an episode was chosen: the moments that the policy remembered then."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from heedful.explaining.question import ANSWER, NOWHERE, SOURCE, Question, Route, Step
from heedful.explaining.scores import log_odds
from heedful.probing.sites import find_sites
from heedful.tasks.control.episodes import play
from heedful.tasks.control.seeds import PlayedEpisode

if TYPE_CHECKING:
    from heedful.models.memory_policy import MemoryPolicy
    from heedful.tasks.control.task import Control

SITE = "attention"


def why_done(task: "Control", model: "MemoryPolicy", answer: PlayedEpisode) -> Question:
    """Ask why a policy chose the last action of an episode, which is played again.

    Args:
        task: With what is known of the environment.
        model: That played.
        answer: The episode.
    """
    played = play(model, task.environment, [answer.seed], sample=False)
    steps = int(played.lengths[0])
    history, lengths = played.histories(np.array([0]), played.lengths - 1)
    known, action = int(lengths[0]), int(played.actions[0, steps - 1])
    moments = tuple(range(known))

    def inputs(kept: Tensor) -> Tensor:
        there = nn.functional.pad(kept, (0, model.memory - known))[..., None]
        return torch.where(there, history.to(kept.device), 0.0)

    def scores(model: nn.Module, batch: Tensor) -> Tensor:
        logits, _ = model(batch, lengths.to(batch.device).expand(len(batch)))
        return log_odds(logits, torch.full_like(logits[:, 0], action, dtype=torch.int64))[:, None]

    step = Step(site=SITE, queries=ANSWER)  # the newest moment looks, and stays
    looks = any(site.name == SITE for site in find_sites(model)[0])
    return Question(
        pieces=("now", *(f"-{age}" for age in moments[1:])),
        targets=(f"action {action}",),
        inputs=inputs,
        scores=scores,
        removal="a mean observation, and nothing done before it",
        route=Route(steps=(step,), places={SOURCE: moments, ANSWER: (0,)}) if looks else None,
        embedding="embedding",
        embedded=(*moments, *[NOWHERE] * (model.memory - known)),
        # maps by attention were like those of random models: see docs/explaining.md
        method="occlusion",
        title=f"last of {steps} steps, seed {answer.seed}",
    )
