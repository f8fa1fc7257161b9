"""Going on with texts, token by token, each with random numbers of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from heedful.errors import ConfigError, DataError
from heedful.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """From which distribution the next token is drawn.

    Args:
        temperature: Divides the logits; below 1 sharpens, and 0 takes the likeliest token.
        top_k: Only the `top_k` likeliest tokens may be drawn. `None` means all.
        top_p: Only the fewest likeliest tokens that together reach this probability may be drawn.
        never: Tokens that are not written, such as padding.

    Raises:
        ConfigError: A setting is out of range.

    Source:
        Fan et al. 2018, arXiv:1805.04833, section 5.3 (top_k).
        Holtzman et al. 2019, arXiv:1904.09751, section 3.1 (top_p).
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    never: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < np.inf:
            raise ConfigError(f"temperature must be at least 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k must be at least 1, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be above 0 and at most 1, got {self.top_p}")

    def draw(self, logits: Float[Tensor, "rows size"], numbers: Float[Tensor, " rows"]) -> Tensor:
        """Return a token for each row: where its number from [0, 1) falls among the likeliest.

        The probabilities are laid end to end, the largest first, so that a row's token depends on
        its own logits and number alone.
        """
        logits = logits.float()
        if self.never:
            gone = torch.tensor(self.never, device=logits.device)
            logits = logits.index_fill(-1, gone, -torch.inf)
        if self.temperature == 0:
            return logits.argmax(-1)
        # the largest becomes 0: no temperature, however low, makes it infinite
        logits = (logits - logits.amax(-1, keepdim=True)) / self.temperature
        shares, order = logits.softmax(-1).sort(dim=-1, descending=True, stable=True)
        shares = shares[:, : self.top_k]
        ends = shares.cumsum(-1)
        # what stands before a token decides, so that the likeliest one always stays
        shares = shares.masked_fill(ends - shares >= self.top_p, 0)
        ends = shares.cumsum(-1)
        place = (ends <= numbers[:, None].to(ends) * ends[:, -1:]).sum(-1)
        last = (shares > 0).sum(-1) - 1
        return order.gather(1, torch.minimum(place, last)[:, None])[:, 0]


@torch.inference_mode()
def continue_texts(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    length: int,
    sampling: Sampling,
    seeds: Sequence[Sequence[int]],
) -> list[list[int]]:
    """Go on with each prompt.

    All rows take every step together: while some prompts are still read, the shorter ones are
    written on. A model of limited sight that has seen all it can starts anew with the second half.

    Args:
        model: What writes; call `model.eval()` first.
        prompts: Tokens of each; of one that is longer than the model sees, the last ones are read.
        length: Tokens written to each.
        sampling: How tokens are drawn.
        seeds: Of each row's random numbers, whole numbers of at least 0: the same ones give the
            same text, whatever the company.

    Returns:
        What was written to each, without the prompt.

    Raises:
        DataError: A prompt is empty.

    Cost:
        One step a token; a text beyond the model's sight is read anew, by half of it, each time
        that half of it is new.
    """
    if not all(map(len, prompts)):
        raise DataError("prompts must hold a token each, got one without")
    sight = model.longest or max(map(len, prompts)) + length
    rows = [[*prompt[-sight:]] for prompt in prompts]
    starts = [len(row) for row in rows]
    # one number more, for rows that are written and wait for the others
    drawn = [[*np.random.default_rng([*seed]).random(length), 0.0] for seed in seeds]
    device = next(model.parameters()).device  # type: ignore[attr-defined]
    state, first, seen = model.start(), 0, 0
    for known in range(min(starts), max(starts) + length):
        if known - first > sight:
            state, first = model.start(), known - sight // 2
            seen = first
        tokens = torch.tensor([row[seen:known] for row in rows], device=device)
        places = [min(max(known - start, 0), length) for start in starts]
        numbers = torch.tensor([own[place] for own, place in zip(drawn, places, strict=True)])
        found = sampling.draw(model.advance(tokens, state), numbers.to(device)).tolist()
        seen = known
        for row, token in zip(rows, found, strict=True):
            if len(row) == known:
                row.append(token)
    return [row[start : start + length] for row, start in zip(rows, starts, strict=True)]
