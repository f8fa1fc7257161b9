"""Which rows of its layers each head of an attention module is made of, from one run of it."""

import copy
from dataclasses import replace
from inspect import signature

import torch
from torch import Tensor, nn

from heedful.allocation.adapters.structure.basis import basis_of
from heedful.allocation.adapters.structure.calls import MASKS, not_given
from heedful.allocation.adapters.structure.companions import beside_scores, companions
from heedful.allocation.adapters.structure.norms import disturb, fold, norms_of
from heedful.allocation.adapters.structure.scratch import scratch
from heedful.allocation.adapters.structure.structure import Bias, Part, Structure
from heedful.allocation.adapters.structure.trace import (
    Trace,
    channels,
    influence,
    traced,
)
from heedful.errors import UnsupportedError

NO_OUTPUT = "no linear layer follows its heads"
KINDS = ("query", "key", "value")


def find(module: nn.Module) -> Structure:
    """Return how an attention module is built.

    Raises:
        UnsupportedError: Its heads are not made of rows of their own, and why.
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():  # whatever the caller does
            return _in_any_layout(module)
    except UnsupportedError:
        raise
    except Exception as error:  # modules of others do what they like
        raise UnsupportedError(f"it was not understood, {type(error).__name__}") from error


def _in_any_layout(module: nn.Module) -> Structure:
    """Look for heads where they usually stand, and then elsewhere."""
    site = scratch(module)
    trace = traced(site)
    try:
        return _with_norms(module, _found(site, trace))
    except UnsupportedError as first:
        for layout in trace.layouts():
            other = scratch(module)
            try:
                return _with_norms(module, _found(other, traced(other, layout)))
            except (UnsupportedError, RuntimeError):  # the heads do not stand there
                continue
        raise first


def _with_norms(module: nn.Module, found: Structure) -> Structure:
    """Return a structure with the norms that are part of its layers.

    Raises:
        UnsupportedError: They do something else.
    """
    layers = {*found.layers, found.out.path, *(part.path for part in found.gates)}
    norms = {path: norm for path, norm in norms_of(module).items() if path in layers}
    if norms:
        whole = scratch(module, folded=False)
        disturb(whole)
        folded = copy.deepcopy(whole)
        fold(folded, norms_of(folded))
        with torch.no_grad():
            want, got = whole(**found.arguments), folded(**found.arguments)
        if not torch.allclose(got, want, rtol=0, atol=1e-9 * float(want.abs().max())):
            raise UnsupportedError("its batch norms do not stand right behind its layers")
    return replace(found, norms=norms)


def _found(site: nn.Module, trace: Trace) -> Structure:
    heads = trace.asked[0]["query"].shape[1]
    makers = {kind: _maker(trace, kind) for kind in KINDS}
    rows = {kind: _rows(trace, kind, makers[kind]) for kind in KINDS}
    groups = heads // len(rows["key"])
    if len(rows["query"]) != heads or len(rows["key"]) != len(rows["value"]) or heads % groups:
        counts = {kind: len(x) for kind, x in rows.items()}
        raise UnsupportedError(f"its heads must come in equal groups, got {counts}")
    out = _out(trace)
    _check_alone(trace, out)
    parts = {kind: Part(makers[kind], rows[kind]) for kind in KINDS}
    beside = beside_scores(trace, set(makers.values()))
    gates = (*_gates(trace, out), *beside)
    _check_all_used(trace, parts, gates)
    basis = basis_of(trace, parts, bool(beside) or not_given(site, trace.arguments))
    turned = trace.layout.turned  # components look at each other: each of them counts
    return Structure(
        core=trace.core,
        query=parts["query"],
        key=parts["key"],
        value=parts["value"],
        out=out,
        gates=gates,
        companions=companions(site, trace),
        around=tuple(sorted(trace.around)),
        biases=tuple(
            Bias(name, path, rows)
            for path, found in trace.biases.items()
            for name, rows in found.items()
        ),
        scale=trace.scale,
        rotary=None if turned else basis.rotary,
        fixed=turned or basis.fixed,
        activated=turned or _is_activated(trace, out),
        arguments=trace.arguments,
        beside=trace.beside[trace.core],
        masked=next((x for x in MASKS if x in signature(site.forward).parameters), ""),
    )


def _check_alone(trace: Trace, out: Part) -> None:
    """Raise where a module holds more than attention, if the attention itself is inside of it."""
    if not trace.core:
        return
    around = [
        path for path in trace.layers if path != out.path and not path.startswith(f"{trace.core}.")
    ]
    if around:
        raise UnsupportedError(f"its output stands among others: {', '.join(around)}")


def _of_head(trace: Trace, kind: str, head: int, on: dict[str, Tensor]) -> dict[str, Tensor]:
    """How a head depends on these, in all times that attention was asked for."""
    found: dict[str, Tensor] = {}
    for asked in trace.asked:
        for name, gradient in influence(asked[kind][:, head], on).items():
            found[name] = found[name] + gradient.abs() if name in found else gradient.abs()
    return found


def _per_head(trace: Trace, kind: str) -> dict[str, list[set[int]]]:
    """By layer, the rows that each head depends on."""
    heads = trace.asked[0][kind].shape[1]
    found = {path: [set[int]() for _ in range(heads)] for path in trace.layers}
    for head in range(heads):
        for path, gradient in _of_head(trace, kind, head, trace.layers).items():
            found[path][head] = set(channels(gradient).tolist())
    return {path: rows for path, rows in found.items() if any(rows)}


def _maker(trace: Trace, kind: str) -> str:
    """The one layer in which every head has rows of its own; others may have what all share."""
    found = _per_head(trace, kind)
    size = trace.asked[0][kind].shape[3]
    own = {path: rows for path, rows in found.items() if _apart(rows, size)}
    several = {path: rows for path, rows in own.items() if len(rows) > 1 and rows[0] != rows[-1]}
    own = several or own
    if len(own) == 1:
        return next(iter(own))
    plural = {"query": "queries", "key": "keys", "value": "values"}[kind]
    if not found:
        raise UnsupportedError(f"no linear layer makes its {plural}")
    if own:
        raise UnsupportedError(f"its {plural} are made by {len(own)} layers: {', '.join(own)}")
    raise UnsupportedError(
        f"its {plural} have no rows of their own in {', '.join(found)}: each head needs all heads"
    )


def _apart(rows: list[set[int]], size: int) -> bool:
    """Has every head rows of its own, at most as many as it has components, or all the same?"""
    if max(map(len, rows)) > size:
        return False
    distinct = {tuple(sorted(x)) for x in rows}
    if len({len(x) for x in distinct}) != 1 or not all(rows):
        return False
    if len(distinct) == 1:
        return True  # one head, or one that all share
    return sum(map(len, distinct)) == len(set().union(*distinct))


def _rows(trace: Trace, kind: str, path: str) -> Tensor:
    """The rows of each head, of every key/value head once, in the order of its components."""
    asked = trace.asked[0][kind]
    per_head = [tuple(sorted(x)) for x in _per_head(trace, kind)[path]]
    distinct = list(dict.fromkeys(per_head))
    shared = len(per_head) // len(distinct)
    if per_head != [x for x in distinct for _ in range(shared)]:
        raise UnsupportedError("its heads must share keys with their neighbours")
    ordered = permutation(asked[:, ::shared], trace.layers[path])
    if ordered is not None:
        return ordered
    return torch.tensor(distinct)


def permutation(of: Tensor, on: Tensor, axes: int = -1) -> Tensor | None:
    """Return at which component of `on` each of `of` stands; `None` where that is not so.

    Args:
        of: `(batch, heads, positions, size)`.
        on: What it is made of, components last; of its own, or each with a factor.
        axes: From which axis on `on` has components.
    """
    _, heads, _, size = of.shape
    generator = torch.Generator().manual_seed(11)
    one, other = (
        torch.rand(heads, 1, size, generator=generator, dtype=torch.float64) + 1 for _ in range(2)
    )
    gradients = [influence(of, {"on": on}, weights.expand_as(of)) for weights in (one, other)]
    if not all(gradients):
        return None
    first, second = (gradient["on"].flatten(axes).flatten(0, -2) for gradient in gradients)
    row = first.abs().argmax(0)  # an activation may let nothing of one number through
    each = torch.arange(first.shape[1])
    first, second = first[row, each], second[row, each]
    used = first.nonzero().flatten()
    if len(used) != heads * size:
        return None
    ratios = second[used] / first[used]
    wanted, order = (other / one).flatten().sort()
    place = ratios.argsort()
    if not torch.allclose(ratios[place], wanted, rtol=1e-9, atol=0):
        return None
    found = torch.empty(heads * size, dtype=torch.long)
    found[order] = used[place]
    return found.unflatten(0, (heads, size))


def _out(trace: Trace) -> Part:
    """The layer that is given what the heads mixed, and the columns of each head."""
    mixed = {str(number): x for number, x in enumerate(trace.mixed)}
    found = [path for path, given in trace.inputs.items() if influence(given, mixed)]
    if not found:
        raise UnsupportedError(NO_OUTPUT)
    if len(found) > 1:
        raise UnsupportedError(f"several layers follow its heads: {', '.join(found)}")
    given = trace.inputs[found[0]]
    columns = _columns(given, trace.mixed[0])
    if columns is None:
        raise UnsupportedError("what stands between its heads and its output mixes them")
    return Part(found[0], columns)


def _columns(given: Tensor, mixed: Tensor) -> Tensor | None:
    """The column of `given` at which each component of a head stands."""
    heads, size = mixed.shape[2:]
    width = given.shape[-1]
    if width != heads * size:
        return None
    wide = given.flatten(0, -2)[None, None]  # as one head of the whole width
    found = permutation(wide, mixed, axes=2)
    if found is None:
        return None
    columns = torch.empty(width, dtype=torch.long)
    columns[found[0]] = torch.arange(width)
    return columns.unflatten(0, (heads, size))


def _is_activated(trace: Trace, out: Part) -> bool:
    """Does a function stand between what heads mix and the layer that is given it?"""
    given, mixed = trace.inputs[out.path], {str(number): x for number, x in enumerate(trace.mixed)}
    slopes = influence(given, mixed, torch.ones_like(given))
    return any(not torch.allclose(x, x[:1, :1], rtol=1e-9, atol=0) for x in slopes.values())


def _gates(trace: Trace, out: Part) -> tuple[Part, ...]:
    """Rows of layers that weigh what a head gives, besides what is mixed."""
    given = trace.inputs[out.path]
    found: dict[str, list[set[int]]] = {}
    for head, columns in enumerate(out.rows):
        for path, gradient in influence(given[..., columns], trace.layers).items():
            rows = found.setdefault(path, [set[int]() for _ in out.rows])
            rows[head] = set(channels(gradient).tolist())
    for path, rows in found.items():
        if not _apart(rows, len(out.rows[0])) or (len(rows) > 1 and rows[0] == rows[1]):
            raise UnsupportedError(f"its {path} weighs all heads together")
    return tuple(
        Part(path, torch.tensor([sorted(x) for x in rows])) for path, rows in found.items()
    )


def _check_all_used(trace: Trace, parts: dict[str, Part], gates: tuple[Part, ...]) -> None:
    """Raise unless every row of the layers that are cut belongs to one head, for one thing."""
    taken: dict[str, list[int]] = {}
    for part in (*parts.values(), *gates):
        taken.setdefault(part.path, []).extend(part.rows.flatten().tolist())
    for path, rows in taken.items():
        if path not in {part.path for part in parts.values()}:
            continue  # gates of a layer of their own
        if sorted(rows) != list(range(trace.layers[path].shape[-1])):
            raise UnsupportedError(f"its {path} has rows that belong to no head, or to several")
