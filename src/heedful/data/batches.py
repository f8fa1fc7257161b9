"""Which examples go into one batch: alike in length, so that little of it is padding."""

from collections.abc import Sequence

import numpy as np

from heedful.errors import ConfigError

NOISE = 0.05  # lengths count up to this share longer, so that batches differ between epochs


def token_batches(
    lengths: Sequence[tuple[int, int]], *, tokens_per_batch: int, seed: int, epoch: int
) -> list[list[int]]:
    """Divide examples into batches of about equally many tokens.

    `len(batch) * (longest source + longest target) <= tokens_per_batch`; an example that is
    longer than that is a batch of its own.

    Args:
        lengths: Tokens of source and target of each example.
        tokens_per_batch: Most tokens in a batch, padding included.
        seed: With `epoch`, decides the order and the company; nothing else does.
        epoch: Which pass over the examples this is.

    Returns:
        Indices into `lengths`, each exactly once.

    Raises:
        ConfigError: `tokens_per_batch` is below 1.
    """
    if tokens_per_batch < 1:
        raise ConfigError(f"tokens_per_batch must be at least 1, got {tokens_per_batch}")
    random = np.random.default_rng([seed, epoch])
    sizes = np.asarray(lengths, dtype=np.int64).reshape(-1, 2)
    noisy = sizes * (1 + NOISE * random.random(sizes.shape))
    order = np.lexsort((noisy[:, 1], np.floor(noisy[:, 0])))  # by source, then by target
    batches: list[list[int]] = []
    batch: list[int] = []
    longest_source = longest_target = 0
    for index, (source, target) in zip(order, sizes[order].tolist(), strict=True):
        longest_source, longest_target = max(longest_source, source), max(longest_target, target)
        if batch and (len(batch) + 1) * (longest_source + longest_target) > tokens_per_batch:
            batches.append(batch)
            batch, longest_source, longest_target = [], source, target
        batch.append(index)
    batches.extend([batch] if batch else [])
    return [batches[i] for i in random.permutation(len(batches))]
