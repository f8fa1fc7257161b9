"""How the learning rate rises and falls."""

from heedful.errors import ConfigError


def rate(fraction: float, *, warmup: float) -> float:
    """Return the share of the full learning rate: up from 0 linearly, then down to 0 linearly.

    Args:
        fraction: Share of the training done, 0 to 1.
        warmup: Share of the training in which the rate rises. Below 1.

    Raises:
        ConfigError: `warmup` is not in [0, 1).

    Source:
        Goyal et al. 2017, arXiv:1706.02677, section 2.2 (warm-up). Linear decay to zero:
        Bergsma et al. 2025, arXiv:2502.15938.
    """
    if not 0 <= warmup < 1:
        raise ConfigError(f"warmup must be at least 0 and below 1, got {warmup}")
    fraction = min(max(fraction, 0.0), 1.0)
    if fraction < warmup:
        return fraction / warmup
    return (1 - fraction) / (1 - warmup)
