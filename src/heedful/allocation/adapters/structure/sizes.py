"""Which attributes of a module must say another number when its heads become fewer: by trial.

A smaller module counts only where it computes what the one of full size computes with the same
heads, all others silenced. So what is found is right, or nothing is found.
"""

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from heedful.allocation.adapters.structure.outside import cut_masks
from heedful.allocation.adapters.structure.reads import Place, put, reads_of
from heedful.allocation.adapters.structure.scratch import attend_by, fuse, scratch
from heedful.allocation.adapters.structure.structure import (
    Structure,
    fill_layers,
    read,
    slots_of,
)
from heedful.allocation.adapters.structure.widths import TOLD, WIDTH, mentions_of
from heedful.allocation.projections import Geometry, Projections
from heedful.errors import UnsupportedError

MOST, LONGEST = 600, 50_000  # sets of attributes that are tried, and that are thought of
MOST_TOLD = 24  # of those, where a forward is told its width besides
# what the first of these words in a name says that it counts
NAMED = {
    "key_value_groups": "h/kv",
    "kv_groups": "h/kv",
    "key_value_heads": "kv",
    "kv_heads": "kv",
    "all_head_size": "hv",
    "head_dim": "d",
    "head_size": "d",
    "heads": "h",
    "n_head": "h",
    WIDTH: "hv",
}
OTHER = ("window", "layer", "position", "length", "vocab", "chunk", "block", "token")
CLOSE = 1e-5  # of the largest number: softmax and norms of many models count in 32 bits
TOLD_APART = 1e-2  # what a check must see where heads are silenced

Sizes = tuple[tuple[Place, Any], ...]


class Case(NamedTuple):
    """One way to call: with which attention, and with which arguments."""

    attention: str
    arguments: dict[str, Any]


def sizes_for(
    module: nn.Module, found: Structure, new: Geometry, attentions: Sequence[str]
) -> Sizes:
    """Return which attributes to set so that the forward of a module takes a smaller geometry.

    Args:
        module: As it is; never changed.
        found: How it is built.
        new: What it shall become; with heads.
        attentions: Implementations under which it must be right.

    Raises:
        UnsupportedError: With no attributes the smaller module computes the same.
    """
    big = scratch(module)
    numbers = read(big, found)
    silenced, fewer = _silent(big, numbers, found, new)
    cases = [
        (case, want)
        for case in cases_of(found, attentions)
        if (want := run(silenced, case)) is not None
    ]
    if not cases:
        raise UnsupportedError("it could not be run alone in full")
    seen = [apart(run(big, case), want) > TOLD_APART for case, want in cases]
    if new.heads < numbers.geometry.heads and not all(seen):
        raise UnsupportedError("what its heads give could not be seen in what it gives")
    trial = _Trial(big, found, fewer, numbers.geometry, new, cases)
    sizes = _fitting(trial, (), MOST)
    if sizes is not None:
        return sizes
    mixed = numbers.geometry.heads * numbers.geometry.value_dim
    for mentions in mentions_of(big.get_submodule(found.core)):
        told = ((Place(found.core, TOLD), (mentions, mixed)),)
        sizes = _fitting(trial, told, MOST_TOLD)
        if sizes is not None:
            return sizes
    raise UnsupportedError(f"its forward cannot take {new}")


class _Trial(NamedTuple):
    """What is tried: a copy with all heads, those that stay, and what these must give."""

    big: nn.Module
    found: Structure
    fewer: Projections
    old: Geometry
    new: Geometry
    cases: list[tuple[Case, Tensor]]


def _fitting(trial: _Trial, first: Sizes, most: int) -> Sizes | None:
    """The first attributes with which a smaller copy gives the same; `None` where there are none.

    Args:
        trial: What is tried.
        first: Is set before anything else.
        most: How many sets of attributes are tried.
    """
    big, found, old, new = trial.big, trial.found, trial.old, trial.new
    if first:
        big = copy.deepcopy(big)
        put(big, first)
    ways = [(case.attention, case.arguments) for case, _ in trial.cases]
    try:
        places = reads_of(big, ways)
    except Exception:  # told another width, it does not even run as it is
        return None
    if old.heads * new.kv_heads != new.heads * old.kv_heads:  # sdpa shares where a module has this
        places.setdefault(Place(found.core, "num_key_value_groups"), old.heads // old.kv_heads)
    small = copy.deepcopy(big)
    cut_masks(small, old.heads, list(trial.fewer.origin))
    fill_layers(small, found, trial.fewer)
    for sizes in _choices(places, old, new, most):
        tried = copy.deepcopy(small)
        try:
            put(tried, sizes)
        except Exception:  # attributes of others may refuse numbers
            continue
        if all(apart(run(tried, case), want) < CLOSE for case, want in trial.cases):
            return (*first, *sizes)
    return None


def _silent(
    big: nn.Module, numbers: Projections, found: Structure, new: Geometry
) -> tuple[nn.Module, Projections]:
    """A copy in which all heads but those that stay are silent, and what these compute."""
    slots = slots_of(numbers.geometry, new)
    if slots is None:
        raise UnsupportedError(f"its forward cannot share keys as {new} does")
    fewer = _fewer(numbers, slots, new)
    silenced = copy.deepcopy(big)
    fill_layers(silenced, found, _silenced(numbers, fewer, slots))
    return silenced, fewer


def _fewer(numbers: Projections, slots: tuple[list[int], list[int]], new: Geometry) -> Projections:
    heads, kv_heads = slots

    def part(name: str, rows: list[int], size: int) -> Any:
        x = getattr(numbers, name)
        return None if x is None else x[rows][:, :size]

    return numbers.with_(
        query=part("query", heads, new.dim),
        query_bias=part("query_bias", heads, new.dim),
        key=part("key", kv_heads, new.dim),
        key_bias=part("key_bias", kv_heads, new.dim),
        value=part("value", kv_heads, new.value_dim),
        value_bias=part("value_bias", kv_heads, new.value_dim),
        out=part("out", heads, new.value_dim),
        origin=tuple(heads),
    )


def _silenced(
    full: Projections, fewer: Projections, slots: tuple[list[int], list[int]]
) -> Projections:
    """Return the full geometry that computes what the smaller one does."""
    heads, kv_heads = slots
    wide = len(full.key) // len(fewer.key) if len(kv_heads) < 2 else kv_heads[1] - kv_heads[0]
    source = [min(kv // wide, len(kv_heads) - 1) for kv in range(len(full.key))]

    def spread(name: str, *, silent: bool) -> Any:
        whole, some = getattr(full, name), getattr(fewer, name)
        if whole is None:
            return None
        new = torch.zeros_like(whole) if silent else whole.clone()
        if name.startswith(("key", "value")):
            new[:, : some.shape[1]] = some[source]
        else:
            if some.shape[1] < whole.shape[1]:
                new[heads] = 0
            rows = torch.tensor(heads)
            new[rows, : some.shape[1]] = some
        return new

    names = ("query", "query_bias", "key", "key_bias", "value", "value_bias")
    changes: dict[str, Any] = {name: spread(name, silent=False) for name in names}
    return full.with_(**changes, out=spread("out", silent=True))


def cases_of(found: Structure, attentions: Sequence[str]) -> Iterator[Case]:
    """Yield the ways to call a module: without a mask and with one, under each attention."""
    length = next(x for x in found.arguments.values() if isinstance(x, Tensor)).shape[-2]
    generator = torch.Generator().manual_seed(13)
    mask = torch.randn(1, 1, length, length, generator=generator, dtype=torch.float64).tril()
    mask = mask.masked_fill(torch.ones(length, length).triu(1).bool(), -1e9)
    for attention in attentions:
        yield Case(attention, found.arguments)
        if found.masked:
            yield Case(attention, {**found.arguments, found.masked: mask})
            yield Case(attention, {**found.arguments, found.masked: mask[0]})
            of_heads = (
                mask.expand(1, len(found.query.rows), -1, -1)
                * torch.linspace(1, 2, len(found.query.rows))[:, None, None]
            )
            yield Case(attention, {**found.arguments, found.masked: of_heads})


@torch.no_grad()
def run(module: nn.Module, case: Case) -> Tensor | None:
    """Return what a scratch copy gives, or `None` where it does not run."""
    attend_by(module, case.attention)
    fuse(module, case.attention)
    try:
        output = module(**case.arguments)
    except Exception:  # whatever the forward of others raises
        return None
    return output if isinstance(output, Tensor) else output[0]


def apart(one: Tensor | None, other: Tensor | None) -> float:
    """Return the largest difference, against the largest number; infinite where shapes differ."""
    if one is None or other is None or one.shape != other.shape:
        return float("inf")
    difference = float((one - other).abs().max()) / (float(other.abs().max()) or 1.0)
    return difference if difference == difference else float("inf")


def _choices(places: dict[Place, Any], old: Geometry, new: Geometry, most: int) -> Iterator[Sizes]:
    """Yield what the attributes may have to be, those first that their names speak for.

    What a name does not call a number of heads stays as it is, unless nothing else fits: that it
    was the same number may be chance.
    """
    options = [
        [(place, x) for x in _options(place, value, old, new)]
        for place, value in places.items()
        if not any(word in place.name for word in OTHER)
    ]
    options = [each for each in options if len(each) > 1]
    ranks = itertools.islice(itertools.product(*(range(len(x)) for x in options)), LONGEST)
    for rank in sorted(ranks, key=sum)[:most]:
        chosen = [each[i] for each, i in zip(options, rank, strict=True)]
        yield tuple((place, x) for place, x in chosen if x != _frozen(places[place]))


def _options(place: Place, value: Any, old: Geometry, new: Geometry) -> list[Any]:
    """Return what an attribute may become, the likelier first."""
    before, after = _quantities(old), _quantities(new)
    if not isinstance(value, int):
        known = {a: b for a, b in zip(before.values(), after.values(), strict=True) if a != b}
        return list(dict.fromkeys((_frozen(value), tuple(known.get(x, x) for x in value))))
    means = next((x for word, x in NAMED.items() if word in place.name), None)
    likely = [after[means]] if means is not None and before[means] == value else []
    others = [after[x] for x in before if before[x] == value]
    return list(dict.fromkeys([*likely, value, *others]))


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _quantities(of: Geometry) -> dict[str, int]:
    """The numbers by which modules split their layers."""
    h, kv, d, v = of.heads, of.kv_heads, of.dim, of.value_dim
    return {
        "h": h, "kv": kv, "h/kv": h // kv, "d": d, "v": v, "hd": h * d, "hv": h * v, "kvd": kv * d,
        "kvv": kv * v, "all": (h + 2 * kv) * d, "h+2kv": h + 2 * kv, "2kvd": 2 * kv * d,
        "3hd": 3 * h * d, "2hd": 2 * h * d, "2d": 2 * d, "3d": 3 * d, "2kv": 2 * kv,
    }  # fmt: skip
