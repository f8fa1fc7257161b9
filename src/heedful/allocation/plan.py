"""A plan: the moves of every site of a model, as a file that people read and machines apply."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import torch
from torch import nn

from heedful.allocation.attached import copied
from heedful.allocation.fewer_layers import without_layers
from heedful.allocation.moments import Moments
from heedful.allocation.moves import DropSite, KeepHeads, Move
from heedful.allocation.moves.named import kinds_of_moves, name_of
from heedful.allocation.precision import WIDE, lower_wide
from heedful.allocation.sites import Site, find_sites
from heedful.errors import ConfigError, HeedfulError, RunError, UnsupportedError
from heedful.files import read_whole, write_bytes
from heedful.nn.compact import widened
from heedful.nn.low_precision import Precision
from heedful.texts import as_toml, parse_toml

VERSION = 1
LARGEST = 1 << 24  # bytes of a plan
HIGHEST = 1 << 40  # of any number of a plan: sums and products of two still fit into a tensor
HEAD = """\
# What each attention site of the model spends less. `heedful apply` makes these moves, in this
# order, on the model that the plan was made for. Heads are counted from 0, as they are then.
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The allocations of all sites of a model, as moves away from the original.

    Args:
        moves: By the name of the site, in order; a site that is not named stays as it is.
        was: What a site was, as `Geometry` says it, so that a plan cannot be applied to another
            model unnoticed.
        linear: In what the wide linear layers of the whole model multiply, before the moves of any
            site; `None` leaves them as they are. See `lower_wide`.
        narrowest: How wide a layer must be for that.
        dropped_layers: What is left out whole; all others keep their names. See `without_layers`.
    """

    moves: Mapping[str, tuple[Move, ...]] = field(default_factory=dict[str, tuple[Move, ...]])
    was: Mapping[str, str] = field(default_factory=dict[str, str])
    linear: Precision | None = None
    narrowest: int = WIDE
    dropped_layers: tuple[str, ...] = ()

    def apply(self, model: nn.Module, moments: Mapping[str, Moments] | None = None) -> nn.Module:
        """Return a changed copy of the model that the plan was made for; see `resolved`."""
        return self.resolved(model, moments)[1]

    def resolved(
        self, model: nn.Module, moments: Mapping[str, Moments] | None = None
    ) -> "tuple[Plan, nn.Module]":
        """Make the moves; return the plan with what they chose by weights and data, and the model.

        The plan to keep beside the model is the one that is returned.

        Args:
            model: Never changed.
            moments: What went through the sites of `unfused(model)`. What its heads mixed is used
                for the first move of each site only, since later ones find other heads.

        Raises:
            ConfigError: The model has no such site, or it is not what it was.
            UnsupportedError: A move cannot be made at its site, or a layer cannot be left out.
        """
        model = without_layers(widened(model), self.dropped_layers)
        found, unknown = find_sites(model)
        sites = {site.name: site for site in found}
        for name in self.moves:
            if name in unknown:
                raise UnsupportedError(f"{name} cannot be changed: {unknown[name]}")
            if name not in sites:
                raise ConfigError(
                    f"plan must fit the model, got {name!r}, which is none of its sites: "
                    f"{', '.join(sites) or 'none'}"
                )
        new = unfused(model, list(sites.values()))
        if self.linear is not None:
            lower_wide(new, self.linear, narrowest=self.narrowest)
        made: dict[str, tuple[Move, ...]] = {}
        for name, moves in self.moves.items():
            self._check(name, sites[name], model)
            projections = sites[name].read(new)
            known = None if moments is None else moments.get(name)
            made[name] = ()
            for move in moves:
                try:
                    move = move.resolved(projections, known)
                    projections = move.edit(projections, known)
                except UnsupportedError as error:
                    raise UnsupportedError(f"{name}: {error}") from None
                known = None if known is None else replace(known, mixed=None)
                made[name] += (move,)
            if moves and projections.out_bias is None:  # with data there may be one: same shapes
                zeros = projections.out.new_zeros(projections.geometry.out)
                projections = projections.with_(out_bias=zeros)
            sites[name].write(new, projections)
        return replace(self, moves=made), new

    def then(self, name: str, moves: Sequence[Move]) -> "Plan":
        """Return the plan with further moves at one site."""
        made = simplified((*self.moves.get(name, ()), *moves))
        return replace(self, moves={**self.moves, name: made})

    def diff(self, other: "Plan") -> list[str]:
        """Return one line for each site at which `other` does something else."""
        lines: list[str] = []
        here, there = self._of_linear(), other._of_linear()
        if here != there:
            lines.append(f"linear layers: {here} -> {there}")
        if set(self.dropped_layers) != set(other.dropped_layers):
            here, there = (", ".join(each.dropped_layers) or "none" for each in (self, other))
            lines.append(f"layers left out: {here} -> {there}")
        for name in sorted({*self.moves, *other.moves}):
            here, there = self.moves.get(name, ()), other.moves.get(name, ())
            if here != there:
                here, there = (", ".join(map(repr, x)) or "as it is" for x in (here, there))
                lines.append(f"{name}: {here} -> {there}")
        return lines

    def dumps(self) -> str:
        """Return the plan as TOML.

        Raises:
            UnsupportedError: A user's own move holds what no plan can.
        """
        whole = {"linear": self.linear, "dropped_layers": self.dropped_layers}
        whole |= {"narrowest": self.narrowest} if self.narrowest != WIDE else {}
        lines = [f"{key} = {as_toml(value)}" for key, value in whole.items() if value]
        blocks = ["\n".join((f"{HEAD}version = {VERSION}", *lines))]
        for name, moves in self.moves.items():
            lines = ["[[site]]", f"name = {as_toml(name)}"]
            if name in self.was:
                lines.append(f"was = {as_toml(self.was[name])}")
            blocks.append("\n".join(lines))
            for move in moves:
                settings = {key: as_toml(value) for key, value in move.settings().items()}
                lines = ["[[site.move]]", f"move = {as_toml(name_of(move))}"]
                blocks.append("\n".join(lines + [f"{key} = {x}" for key, x in settings.items()]))
        return "\n\n".join(blocks) + "\n"

    def save(self, path: Path) -> None:
        """Write the plan, whole or not at all."""
        write_bytes(path, self.dumps().encode())

    def _of_linear(self) -> str:
        if self.linear is None:
            return "as they are"
        return self.linear if self.narrowest == WIDE else f"{self.linear} from {self.narrowest} on"

    def _check(self, name: str, site: Site, model: nn.Module) -> None:
        here = str(site.read(model).geometry)
        if self.was.get(name, here) != here:
            raise ConfigError(
                f"plan must fit the model, got {name} as {here}, not {self.was[name]}"
            )


def load_plan(path: Path, moves: Iterable[type[Move]] = ()) -> Plan:
    """Read a plan.

    Args:
        path: Of its file.
        moves: The classes of a user's own moves, where it holds any.

    Raises:
        ConfigError: The file is missing, is no TOML, or is no plan; with what is wrong and where.
    """
    try:
        text = read_whole(path, most=LARGEST).decode()
    except (RunError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be a readable plan, got: {error}") from None
    try:
        return parse_plan(text, moves)
    except HeedfulError as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_plan(text: str, moves: Iterable[type[Move]] = ()) -> Plan:
    """Read a plan from TOML.

    Args:
        text: As `Plan.dumps` wrote it.
        moves: The classes of a user's own moves: none is looked for by what the text names.

    Raises:
        ConfigError: It is no TOML or no plan, or holds a move of a class that is not given.
        UnsupportedError: What is given is no class of moves.
    """
    kinds = kinds_of_moves(moves)
    try:
        content = parse_toml(text)
    except ValueError as error:
        raise ConfigError(f"a plan must be TOML, got: {error}") from None
    version = content.get("version")
    if type(version) is not int or version != VERSION:
        raise ConfigError(f"a plan must have version = {VERSION}, got {version!r:.80}")
    linear = content.get("linear")
    if linear not in (None, *get_args(Precision)):
        known = " or ".join(get_args(Precision))
        raise ConfigError(f"linear of a plan must be {known}, got {linear!r:.80}")
    narrowest = content.get("narrowest", WIDE)
    if not _is_whole(narrowest) or narrowest < 1:
        raise ConfigError(
            f"narrowest of a plan must be a whole number from 1 on, got {narrowest!r:.80}"
        )
    dropped: Any = content.get("dropped_layers", [])
    if not isinstance(dropped, list) or not all(isinstance(x, str) for x in cast(Any, dropped)):
        raise ConfigError(f"dropped_layers must be a list of names, got {dropped!r:.80}")
    made: dict[str, tuple[Move, ...]] = {}
    was: dict[str, str] = {}
    for entry in _tables(content, "site", "a plan"):
        name = entry.get("name")
        if not isinstance(name, str) or name in made:
            raise ConfigError(f"every site must have a name of its own, got {name!r:.80}")
        tables = _tables(entry, "move", name)
        made[name] = tuple(_move(table, name, kinds) for table in tables)
        if "was" in entry:
            was[name] = f"{entry['was']!s:.1000}"
    dropped = tuple(cast(list[str], dropped))
    return Plan(moves=made, was=was, linear=linear, narrowest=narrowest, dropped_layers=dropped)


@torch.no_grad()
def unfused(model: nn.Module, sites: Sequence[Site] | None = None) -> nn.Module:
    """Return a copy that computes the same, with all sites in the form that adapters write.

    That is the form in which hook points exist: fused modules come apart.
    """
    new = copied(model)
    for site in find_sites(model)[0] if sites is None else sites:
        site.write(new, site.read(new))
    return new


def simplified(moves: Sequence[Move]) -> tuple[Move, ...]:
    """Return moves that do the same with fewer words: what follows one another is made one."""
    kept: list[Move] = []
    for move in moves:
        last = kept[-1] if kept else None
        if isinstance(move, DropSite):
            kept = [move]
        elif (
            isinstance(move, KeepHeads)
            and isinstance(last, KeepHeads)
            and move.heads[-1] < len(last.heads)  # else applying says what is wrong
        ):
            kept[-1] = KeepHeads(heads=tuple(last.heads[head] for head in move.heads))
        else:
            kept.append(move)
    return tuple(kept)


def _move(table: Mapping[str, Any], site: str, kinds: Mapping[str, type[Move]]) -> Move:
    settings = {key: tuple(x) if isinstance(x, list) else x for key, x in table.items()}
    name = settings.pop("move", None)
    if not isinstance(name, str) or name not in kinds:
        own = ". Give its class: moves=[...]" if ":" in str(name) else ""
        known = ", ".join(kinds)
        raise ConfigError(f"a move of {site} must be one of {known}, got {name!r:.80}{own}")
    types = get_type_hints(kind := kinds[name])
    for each in fields(kind):  # pyright: ignore[reportArgumentType]
        if each.name in settings and not _is_a(types[each.name], settings[each.name]):
            got = f"{each.name} = {table[each.name]!r:.80}"
            raise ConfigError(f"{name} of {site} must have its own settings, got: {got}")
    try:
        return kind(**settings)
    except TypeError as error:
        problem = str(error).partition(") ")[2] or str(error)
        raise ConfigError(f"{name} of {site} must have its own settings, got: {problem}") from None


def _is_a(kind: Any, value: Any) -> bool:
    """Is it of this type? Whole numbers are floats too, truth values and infinities no numbers."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(map(_is_whole, cast(Any, value)))
    if kind is float:
        return _is_whole(value) or (type(value) is float and math.isfinite(value))
    return _is_whole(value) if kind is int else type(value) is kind


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) <= HIGHEST


def _tables(content: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    tables = content.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(x, dict) for x in cast(Any, tables)):
        raise ConfigError(f"{key} must be a list of tables in {where}, got {tables!r:.80}")
    return cast(list[dict[str, Any]], tables)
