"""Where results must open without heedful: what a plain checkpoint of transformers can say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from heedful.allocation.moves import KeepHeads, Move, ShareKeyValue
from heedful.allocation.plan import Plan
from heedful.allocation.projections import Geometry
from heedful.allocation.sites import Site
from heedful.allocation.stock import drop_biases, stock_model, why_not_stock
from heedful.errors import UnsupportedError, VerificationError
from heedful.optimizing.fewer_layers import droppable
from heedful.optimizing.problem import Problem
from heedful.optimizing.site_options import SCREENED, SiteOption, SiteOptions


def check_loadable(model: nn.Module, sites: Sequence[Site]) -> None:
    """Refuse, before anything is measured, a model whose class has no word for any change.

    Args:
        model: As it is.
        sites: All that may be changed.

    Raises:
        UnsupportedError: No plain checkpoint can say fewer layers or heads, nor shared keys; and
            why.
    """
    if droppable(model):
        return
    reasons: list[str] = []
    names = {name for name, _ in model.named_parameters()}
    for move in _first_moves(sites[0].read(model).geometry):
        try:
            changed = Plan(moves={site.name: (move,) for site in sites}).apply(model)
        except UnsupportedError as error:
            reasons.append(str(error))
            continue
        drop_biases(changed, names)
        found = why_not_stock(changed)
        if found is None:
            return
        reasons.append(found)
    raise UnsupportedError(
        f"a model must be able to spend less in words of its own config, got {reasons[0]}"
        if reasons
        else "a model must have heads to spend less, got one a site"
    )


def loadable_only(options: SiteOptions) -> SiteOptions:
    """Return the ways that a plain checkpoint can say, where all sites go them together.

    Args:
        options: All ways of each site.
    """
    if not options.sites:
        return options
    first, *others = (options.of[site.name] for site in options.sites)
    labels = {option.label for option in first[1:]}
    labels = labels.intersection(*({option.label for option in each} for each in others))
    together = replace(options, together=True)
    kept = [
        option.label
        for option in first[1:]
        if option.label in labels and _sayable(together, option.label)
    ]
    of = {site.name: _chosen(options.of[site.name], kept) for site in options.sites}
    return replace(together, of=of)


@torch.no_grad()
def as_plain(model: nn.Module, problem: Problem) -> nn.Module:
    """Return the plain model that an accepted one is, after a look at whether it says the same.

    Args:
        model: The accepted one.
        problem: Whose calibration batches it is asked about.

    Raises:
        UnsupportedError: No config says what it is.
        VerificationError: It says something else, if only in one bit.
    """
    plain = stock_model(model)
    for batch in problem.calibration[:SCREENED]:
        ours, theirs = problem.outputs(model, batch), problem.outputs(plain, batch)
        if not torch.equal(ours, theirs):
            raise VerificationError(
                "a plain checkpoint must say what was verified bit for bit, got "
                f"{float((ours - theirs).abs().max()):.2g} between them"
            )
    return plain


def _sayable(options: SiteOptions, label: str) -> bool:
    moves = {
        site.name: next(each.moves for each in options.of[site.name] if each.label == label)
        for site in options.sites
    }
    return why_not_stock(options.build(moves)) is None


def _chosen(options: Sequence[SiteOption], labels: Sequence[str]) -> list[SiteOption]:
    by_label: Mapping[str, SiteOption] = {option.label: option for option in options[1:]}
    return [options[0], *(by_label[label] for label in labels)]


def _first_moves(geometry: Geometry) -> Iterator[Move]:
    """Half of the heads, and all keys in one."""
    group = geometry.heads // max(1, geometry.kv_heads)
    kept = geometry.kv_heads // 2 * group or geometry.heads // 2
    if kept:
        yield KeepHeads(heads=tuple(range(kept)))
    if geometry.kv_heads > 1:
        yield ShareKeyValue(kv_heads=1)
