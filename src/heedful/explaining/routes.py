"""Routes of the usual architectures, from the names of their sites."""

from collections.abc import Sequence

from torch import nn

from heedful.explaining.question import ANSWER, SOURCE, TARGET, Route, Step
from heedful.probing.sites import find_sites

CROSS = ("cross", "encoder_attn", "encdec", "multihead_attn", "aligner", "pointer")  # to a source


def encoder(
    model: nn.Module,
    places: Sequence[int],
    *,
    sites: str = "",
    pooling: str = "",
    rows: Sequence[int] | None = None,
) -> Route | None:
    """Return the route of layers that look at their own input, and of what pools them.

    Args:
        model: Whose sites.
        places: The piece at each place of the input.
        sites: How the names of the layers' sites begin.
        pooling: The site that pools; empty where the answer is read at `rows`.
        rows: Without pooling: at which place each target is read, such as that of `[CLS]`;
            `None` means at the mean of all.

    Returns:
        `None` where the model has no such site any more.
    """
    names = [name for name in _names(model) if name.startswith(sites) and name != pooling]
    steps = [Step(site=name) for name in names]
    known = {SOURCE: tuple(places)}
    if pooling in _names(model):
        last = Step(site=pooling, queries=ANSWER, keys=SOURCE, residual=False)
        return Route(steps=(*steps, last), places=known)
    if not steps or pooling:
        return None
    return Route(
        steps=tuple(steps), places=known, answer=SOURCE, rows=None if rows is None else tuple(rows)
    )


def encoder_decoder(
    model: nn.Module,
    places: Sequence[int],
    *,
    rows: Sequence[int],
    encoder: str = "encoder",
    decoder: str = "decoder",
) -> Route | None:
    """Return the route of a model that writes while it looks at a source.

    Args:
        model: Whose sites; one whose name holds `cross`, `encoder_attn`, `EncDecAttention`,
            `multihead_attn`, `aligner` or `pointer` looks from what is written at the source.
        places: The piece at each place of the source.
        rows: At which place of what is written each target is read: that before its token.
        encoder: How the names of the encoder's sites begin.
        decoder: How the names of the decoder's sites begin.

    Returns:
        `None` where nothing looks at the source any more.
    """
    steps: list[Step] = []
    for name in _names(model):
        if crosses(name):
            steps.append(Step(site=name, queries=TARGET, keys=SOURCE))
        elif name.startswith(encoder):
            steps.append(Step(site=name))
        elif name.startswith(decoder):
            steps.append(Step(site=name, queries=TARGET, keys=TARGET))
    if not any(step.queries == TARGET and step.keys == SOURCE for step in steps):
        return None
    return Route(
        steps=tuple(steps), places={SOURCE: tuple(places)}, answer=TARGET, rows=tuple(rows)
    )


def crosses(site: str) -> bool:
    """Does a site look at another sequence than its own, as far as its name says?"""
    return any(word in site.lower() for word in CROSS)


def _names(model: nn.Module) -> list[str]:
    return [site.name for site in find_sites(model)[0]]
