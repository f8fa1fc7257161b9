"""How much a model means what it says: log-odds, which have no ceiling as probabilities have."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid


def log_odds(
    logits: Float[Tensor, "*rows alternatives"], truth: Int[Tensor, "*rows"]
) -> Float[Tensor, "*rows"]:
    """Return the logarithm of how many times likelier one alternative is than all others together.

    Args:
        logits: Of two alternatives or more.
        truth: The number of one in each row.
    """
    logits = logits.float()
    chosen = logits.gather(-1, truth[..., None])[..., 0]
    others = logits.scatter(-1, truth[..., None], -torch.inf)
    return chosen - others.logsumexp(-1)


def label_odds(logits: Float[Tensor, "copies labels"], label: int) -> Float[Tensor, "copies one"]:
    """Return the log-odds of one label, a column of scores for each copy of an input."""
    truth = torch.full(logits.shape[:1], label, device=logits.device)
    return log_odds(logits, truth)[:, None]


def words_odds(
    odds: Float[Tensor, "copies tokens"], sizes: Sequence[int]
) -> Float[Tensor, "copies words"]:
    """Return the log-odds of words, each of some tokens: that all of its tokens are those.

    A word is another one where its first token is, or the first one is not and the second one is,
    and so on; the sum of these is exact where `1 - P(word)` is rounded to nothing.

    Args:
        odds: The log-odds of each token, given those before it.
        sizes: How many tokens each word has; together they are all.
    """
    found: list[Tensor] = []
    for tokens in odds.split(list(sizes), dim=1):
        likely = logsigmoid(tokens)
        so_far = likely.cumsum(1)
        other = so_far - likely + logsigmoid(-tokens)
        found.append(so_far[:, -1] - other.logsumexp(1))
    return torch.stack(found, 1)


def written_odds(
    decode: Callable[[Int[Tensor, "copies before"]], Float[Tensor, "copies before alternatives"]],
    tokens: Sequence[int],
    copies: Tensor,
) -> Float[Tensor, "copies written"]:
    """Return the log-odds of each token of a text but the first, given those before it.

    Args:
        decode: From tokens to the logits of the one after each.
        tokens: What was written, behind what it began with.
        copies: Of the input, as many as there are: `decode` gets the same tokens for each.
    """
    rows = torch.tensor(tokens, device=copies.device).expand(len(copies), -1)
    return log_odds(decode(rows[:, :-1]), rows[:, 1:])
