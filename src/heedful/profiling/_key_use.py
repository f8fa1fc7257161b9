"""Where heads look: how many keys, and in which blocks of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from heedful.optimizing.problem import Problem
from heedful.probing.call import ProbedCall
from heedful.probing.probe import probe
from heedful.probing.sinks import Sinks
from heedful.probing.sites import find_sites as probed_sites
from heedful.probing.tiles import Workspace, tiles
from heedful.profiling._results import KeyUse, Sink
from heedful.profiling.site_names import site_names

PROBED = 4  # batches that are looked at
BLOCKS = 32  # blocks that are told apart
BLOCK = 64  # keys of one


def default_block(longest: int) -> int:
    """Return how many keys a block has: fewer where texts are short, so that there are several."""
    return max(1, min(BLOCK, longest // 8))


@dataclass
class _Sums:
    """Over rows that see something, head by head."""

    numbers: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    reached: int = 0  # blocks that some call had
    sinks: list[Sink | None] | None = None  # of the first batch, head by head

    def add(self, **numbers: Tensor) -> None:
        for name, number in numbers.items():
            before = self.numbers.get(name)
            self.numbers[name] = number if before is None else before + number

    def key_uses(self, own: bool) -> tuple[KeyUse, ...]:
        rows = self.numbers["mass_rows"].clamp(min=1)
        told = self.numbers["rows"]
        where = (self.numbers["where"] / rows[:, None]).tolist()
        blocks = (self.numbers["blocks"][:, : self.reached] / rows[:, None]).tolist()
        return tuple(
            KeyUse(
                effective_keys=_number(self.numbers["effective_keys"][head] / told[head]),
                entropy=_number(self.numbers["entropy"][head] / told[head]),
                own=where[head][0] if own else None,
                near=where[head][1] if own else None,
                first=where[head][2],
                far=where[head][3],
                blocks=tuple(blocks[head]),
                sink=None if self.sinks is None else self.sinks[head],
            )
            for head in range(len(told))
        )


@torch.inference_mode()
def key_use_of(
    problem: Problem, own: Mapping[str, bool], *, block: int
) -> dict[str, tuple[KeyUse, ...]]:
    """Return for each site that can be heard where its heads look, over a few batches.

    Args:
        problem: Whose original is heard.
        own: Does each site look at what looks? Others have no blocks that are near.
        block: Keys in a block.

    Cost:
        The weights of these batches, once and in blocks of rows; queries and keys of one batch.
    """
    sums: dict[str, _Sums] = {}
    if not probed_sites(problem.model)[0]:
        return {}
    for batch in problem.calibration[:PROBED]:
        with probe(problem.model) as heard:
            problem.outputs(problem.model, batch)
        found_in = heard.statistics(ordered=1)
        sunk = {} if sums else heard.sinks()
        for name, site in site_names(found_in, list(own)).items():
            found, total = found_in[name], sums.setdefault(site, _Sums())
            total.add(rows=found.rows)
            if total.sinks is None and name in sunk:
                total.sinks = _sinks(sunk[name])
            for kind in ("effective_keys", "entropy"):
                total.add(**{kind: getattr(found, kind).nan_to_num(0.0) * found.rows})
            for call in heard.calls(name):
                total.add(**_masses(call, block, own=own[site]))
                total.reached = max(total.reached, min(BLOCKS, math.ceil(call.shape[3] / block)))
    return {name: total.key_uses(own[name]) for name, total in sums.items()}


def _sinks(found: Sinks) -> list[Sink | None]:
    return [
        None
        if kind is None
        else Sink(
            kind=kind,
            key=int(found.place[head]),
            mass=float(found.mass[head]),
            value_norm=_number(found.value_norm[head]),
            output_rank=_number(found.output_rank[head]),
        )
        for head, kind in enumerate(found.kinds)
    ]


def _masses(call: ProbedCall, block: int, *, own: bool) -> dict[str, Tensor]:
    """Sums over the rows of a call: of the weight by block, and by how near a block is."""
    batch, heads, rows, keys = call.shape
    counted = torch.zeros(heads, dtype=torch.float64)
    blocks = torch.zeros(heads, BLOCKS, dtype=torch.float64)
    where = torch.zeros(heads, 4, dtype=torch.float64)
    cut = tiles(batch, call.shown, rows, keys)
    for part, weights, _, _ in call.weights.tiles(cut, Workspace()):
        places = [call.shown.index(head) for head in part.heads]
        text = call.weights.text
        if text is not None:  # rows that only are padding look nowhere
            weights = weights.masked_fill(text.padding[part.batch, None, part.rows, None], 0.0)
        wide = nn.functional.pad(weights.abs(), (0, -weights.shape[3] % block))
        mass = wide.unflatten(-1, (-1, block)).sum(-1)
        sums = mass.sum(-1, keepdim=True)
        mass = torch.where(sums > 0, mass / sums, 0.0).double().sum(0).cpu()  # heads, rows, blocks
        counted[places] += (sums > 0).double().sum((0, 2, 3)).cpu()
        number = torch.arange(mass.shape[2])
        each = torch.zeros(len(places), BLOCKS, dtype=torch.float64)
        blocks[places] += each.index_add_(1, number.clamp(max=BLOCKS - 1), mass.sum(1))
        position = call.weights.position[part.rows].cpu()
        kinds = _kinds(number, position.div(block, rounding_mode="floor"), own=own)
        where[places] += torch.stack([(mass * kind).sum((1, 2)) for kind in kinds], dim=1)
    return {"mass_rows": counted, "blocks": blocks, "where": where}


def _kinds(number: Tensor, here: Tensor, *, own: bool) -> Sequence[Tensor]:
    """Which blocks are own, near, first and far to each row; every block is one of these."""
    away = (number - here[:, None]).abs()
    same, beside = (away == 0, away == 1) if own else (away < 0, away < 0)
    first = (number == 0) & ~same & ~beside
    return same, beside, first, ~(same | beside | first)


def _number(value: Tensor) -> float | None:
    found = value.item()
    return found if math.isfinite(found) else None
