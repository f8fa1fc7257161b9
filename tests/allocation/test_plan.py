"""A plan is what it says: text and back, applied to a copy, refused where it does not fit."""

import copy
import os
import re
from dataclasses import MISSING, dataclass, fields, replace
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from heedful.allocation import precision
from heedful.allocation.moments import Moments, collect_moments
from heedful.allocation.moves import (
    MOVES,
    DropSite,
    KeepHeads,
    LowPrecision,
    Move,
    QueryKeyRank,
    ShareKeyValue,
    ValueRank,
)
from heedful.allocation.moves.named import name_of
from heedful.allocation.plan import (
    HEAD,
    Plan,
    load_plan,
    parse_plan,
    simplified,
    unfused,
)
from heedful.allocation.projections import Projections
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, UnsupportedError
from heedful.nn import Attention
from heedful.nn.low_precision import Precision
from heedful.testing.tolerance import assert_close

WIDTH, HEADS = 12, 4
FIRST = f"{HEAD}version = 1\n\n"


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.own, self.cross = Attention(width=WIDTH, heads=HEADS), Attention(width=WIDTH, heads=2)
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x, context):
        return self.norm(x + self.own(x) + self.cross(x, context))


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make():
    model = Model().double()
    with torch.no_grad():
        for seed, parameter in enumerate(model.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.4)
    return model


def inputs():
    return draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2)


@dataclass(frozen=True, kw_only=True)
class Spy(Move):
    """Changes nothing and remembers what it was told."""

    told: list

    def edit(self, site, moments):
        self.told.append(moments)
        return site


# ---- text and back


MADE = {
    bool: st.booleans(),
    float: st.floats(0.01, 0.99),
    int: st.integers(0, 20).map(lambda x: 2 * x + 1),
    str: st.text(),
    Precision: st.sampled_from(get_args(Precision)),
    tuple[int, ...]: st.sets(st.integers(0, 99), min_size=1).map(lambda x: tuple(sorted(x))),
}


@st.composite
def any_move(draw_value, kind):
    """A move with settings of the types of its fields; what has a default may keep it."""
    needed = {
        field.name: draw_value(MADE[field.type])
        for field in fields(kind)
        if field.default is MISSING
    }
    others = {
        field.name: draw_value(MADE[field.type])
        for field in fields(kind)
        if field.name not in needed and draw_value(st.booleans())
    }
    try:
        return kind(**needed, **others)
    except ConfigError:  # they do not go together
        return kind(**needed)


@st.composite
def every_move(draw_value):
    return [*(draw_value(any_move(kind)) for kind in MOVES.values()), RANK]


RANK = QueryKeyRank(rank=4, pairs=(0, 2))


@settings(max_examples=30, deadline=None)
@given(moves=every_move(), data=st.data())
def test_every_plan_is_read_as_it_was_written(moves, data):
    names = data.draw(st.lists(st.text(min_size=1), min_size=1, max_size=3, unique=True))
    every = {name: tuple(data.draw(st.permutations(moves))) for name in names}
    plan = Plan(moves=every, was={names[0]: data.draw(st.text())})
    assert parse_plan(plan.dumps()) == plan


@pytest.mark.parametrize("name", ["\x7f", "\U00010000", '"\\\n\t\x00', "层.0", ""], ids=ascii)
def test_no_name_is_too_strange(name):
    plan = Plan(moves={name: (DropSite(),)}, was={name: name})
    assert parse_plan(plan.dumps()) == plan


def test_every_kind_of_move_is_named_as_in_the_table():
    for name, kind in MOVES.items():
        assert name_of(object.__new__(kind)) == name


def test_a_plan_is_text_for_people(tmp_path):
    plan = Plan(
        moves={"own": (KeepHeads(heads=(0, 2)), DropSite()), "cross": ()}, was={"own": "4 x 3"}
    )
    assert plan.dumps() == FIRST + (
        '[[site]]\nname = "own"\nwas = "4 x 3"\n\n'
        '[[site.move]]\nmove = "keep_heads"\nheads = [0, 2]\n\n'
        '[[site.move]]\nmove = "drop_site"\n\n'
        '[[site]]\nname = "cross"\n'
    )
    plan.save(tmp_path / "plan.toml")
    assert load_plan(tmp_path / "plan.toml") == plan


@pytest.mark.parametrize(
    "text, message",
    [
        ("version = ", "a plan must be TOML, got: "),
        ("", "a plan must have version = 1, got None"),
        ("version = 2", "a plan must have version = 1, got 2"),
        ("version = 1\nsite = 3", "site must be a list of tables in a plan, got 3"),
        ("version = 1\nsite = [3]", "site must be a list of tables in a plan, got [3]"),
        ("version = 1\n[[site]]\nwas = 'x'", "every site must have a name of its own, got None"),
        ("version = 1\n[[site]]\nname = 3", "every site must have a name of its own, got 3"),
        (
            "version = 1\n[[site]]\nname = 'a'\n[[site]]\nname = 'a'",
            "every site must have a name of its own, got 'a'",
        ),
        (
            "version = 1\n[[site]]\nname = 'a'\nmove = 3",
            "move must be a list of tables in a, got 3",
        ),
        (
            "version = 1\n[[site]]\nname = 'a'\n[[site.move]]\nmove = 'none'",
            f"a move of a must be one of {', '.join(MOVES)}, got 'none'",
        ),
        (
            "version = 1\n[[site]]\nname = 'a'\n[[site.move]]",
            f"a move of a must be one of {', '.join(MOVES)}, got None",
        ),
        (
            "version = 1\n[[site]]\nname = 'a'\n[[site.move]]\nmove = ['drop_site']",
            f"a move of a must be one of {', '.join(MOVES)}, got ('drop_site',)",
        ),
        (
            "version = 1\n[[site]]\nname = 'a'\n[[site.move]]\nmove = [{a = 1}]",
            f"a move of a must be one of {', '.join(MOVES)}, got ({{'a': 1}},)",
        ),
        (
            "version = 1\n[[site]]\nname = 'a'\n[[site.move]]\nmove = 'drop_site'\nheads = [1]",
            "drop_site of a must have its own settings, got: "
            "got an unexpected keyword argument 'heads'",
        ),
        (
            "version = 1\n[[site]]\nname = 'a'\n[[site.move]]\nmove = 'keep_heads'",
            "keep_heads of a must have its own settings, got: "
            "missing 1 required keyword-only argument: 'heads'",
        ),
        (
            "version = 1\n[[site]]\nname = 'a'\n[[site.move]]\nmove = 'keep_heads'\nheads = [2, 1]",
            "heads must be ascending numbers of heads, got [2, 1]",
        ),
    ],
)
def test_says_what_is_no_plan(text, message, tmp_path):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        parse_plan(text)
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{path}: {message}')}"):
        load_plan(path)


TYPES = {  # in TOML
    bool: "true",
    float: "0.5",
    int: "3",
    str: "'x'",
    Precision: "'int8'",
    tuple[int, ...]: "[0]",
}
WRONG = [
    pytest.param(name, field, value, id=f"{name}-{field.name}-{value}")
    for name, kind in MOVES.items()
    for field in fields(kind)
    for value in ("[0.5]", "[true]", "[[1]]", *TYPES.values())
    if value != TYPES[field.type] and (field.type, value) != (float, "3")
]


@pytest.mark.parametrize("name, field, value", WRONG)
def test_settings_of_another_type_are_refused(name, field, value):
    text = f"version = 1\n[[site]]\nname = 'a'\n[[site.move]]\nmove = '{name}'\n"
    for other in fields(MOVES[name]):
        text += f"{other.name} = {value if other is field else TYPES[other.type]}\n"
    message = f"{name} of a must have its own settings, got: {field.name} = "
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_plan(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("nowhere"),
        os.mkfifo,
    ],
    ids=["missing", "no text", "folder", "link to nothing", "pipe"],
)
def test_a_file_must_be_readable(make, tmp_path):
    path = tmp_path / "plan.toml"
    make(path)
    with pytest.raises(ConfigError, match=re.escape(f"{path} must be a readable plan, got: ")):
        load_plan(path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("x = " + "[" * 100_000, "a plan must be TOML, got: brackets without end"),
        ("a." * 50_000 + "b = 1", "a plan must be TOML, got: a key of more than 64 parts"),
        (f"version = {'9' * 5_000}", "a plan must be TOML, got: Exceeds the limit"),
        ("version = true", "a plan must have version = 1, got True"),
        ("version = 1.0", "a plan must have version = 1, got 1.0"),
        (f"version = 1\nsite = '{'x' * 999}'", "site must be a list of tables in a plan, got"),
    ],
)
def test_hostile_text_is_refused_in_one_short_line(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_plan(text)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["inf", "nan", "1e999", f"{2**41}", f"-{2**63 - 1}"])
@pytest.mark.parametrize("name, key", [("select_blocks", "share"), ("window", "window")])
def test_numbers_beyond_all_bounds_are_refused(value, name, key):
    text = f"version = 1\n[[site]]\nname = 'a'\n[[site.move]]\nmove = '{name}'\n{key} = {value}"
    with pytest.raises(ConfigError, match=f"{name} of a must have its own settings, got: {key}"):
        parse_plan(text)


# ---- the words


def test_moves_that_follow_one_another_are_made_one():
    some = (KeepHeads(heads=(1, 2, 5)), KeepHeads(heads=(0, 2)))
    assert simplified(some) == (KeepHeads(heads=(1, 5)),)
    assert simplified((*some, DropSite())) == (DropSite(),)  # what was there before is gone
    assert simplified(()) == ()
    none = (KeepHeads(heads=(1, 2)), KeepHeads(heads=(2,)))  # there is no third one
    assert simplified(none) == none


def test_one_made_of_two_gives_what_two_give():
    model, (x, context) = make(), inputs()
    two = Plan(moves={"own": (KeepHeads(heads=(0, 2, 3)), KeepHeads(heads=(1, 2)))})
    one = Plan().then("own", two.moves["own"][:1]).then("own", two.moves["own"][1:])
    assert one.moves == {"own": (KeepHeads(heads=(2, 3)),)}
    assert torch.equal(one.apply(model)(x, context), two.apply(model)(x, context))


def test_further_moves_leave_the_plan_as_it_is():
    plan = Plan(moves={"own": (KeepHeads(heads=(1,)),)}, was={"own": "4 x 3"})
    further = plan.then("own", [DropSite()]).then("cross", [DropSite()])
    assert plan.moves == {"own": (KeepHeads(heads=(1,)),)}
    assert further.moves == {"own": (DropSite(),), "cross": (DropSite(),)}
    assert further.was == plan.was


def test_the_difference_is_a_line_for_each_site():
    one = Plan(moves={"b": (DropSite(),), "a": (KeepHeads(heads=(1,)),)})
    other = Plan(moves={"a": (KeepHeads(heads=(2,)),), "b": (DropSite(),), "c": (DropSite(),)})
    assert one.diff(one) == []
    assert one.diff(other) == [
        "a: KeepHeads(heads=(1,)) -> KeepHeads(heads=(2,))",
        "c: as it is -> DropSite()",
    ]


# ---- applied


def state(model):
    """All that must not change: numbers, hooks, mode, and which modules there are."""
    numbers = {name: value.clone() for name, value in model.state_dict().items()}
    parts = [
        (name, id(part), part.training, dict(part._forward_hooks), dict(part._forward_pre_hooks))
        for name, part in model.named_modules()
    ]
    wanted = [(name, x.requires_grad, x.grad) for name, x in model.named_parameters()]
    return numbers, parts, wanted


@pytest.mark.parametrize("plan", [Plan(), Plan(moves={"own": (DropSite(),)})], ids=["none", "one"])
@pytest.mark.parametrize("known", [False, True])
def test_the_model_is_left_as_it_is(plan, known):
    model, given = make(), inputs()
    model.own.eval()
    model.own.query.requires_grad_(False)
    model.own.register_forward_hook(lambda module, args, output: None)
    moments = None
    if known:
        ready = unfused(model)
        moments = collect_moments(ready, find_sites(ready)[0], [lambda: ready(*given)])
    before, output = state(model), model(*given)
    new = plan.apply(model, moments)
    numbers, parts, wanted = state(model)
    assert parts == before[1]
    assert wanted == before[2]
    assert all(torch.equal(numbers[name], value) for name, value in before[0].items())
    assert torch.equal(model(*given), output)
    with torch.no_grad():
        for parameter in new.parameters():
            parameter.zero_()  # nothing is shared
    assert torch.equal(model(*given), output)


def test_an_empty_plan_gives_the_same_numbers():
    model, given = make(), inputs()
    want = model(*given)
    for new in (Plan().apply(model), unfused(model)):
        assert_close(new(*given), want, roundings=200, largest=want.abs().max().item())


def test_heads_are_counted_as_they_are_then():
    model, given = make(), inputs()
    plan = Plan(moves={"own": (KeepHeads(heads=(1, 2, 3)), KeepHeads(heads=(0, 2)))})
    masked = copy.deepcopy(model)
    with torch.no_grad():
        masked.own.out.weight[:, :3] = 0
        masked.own.out.weight[:, 6:9] = 0
    new = plan.apply(model)
    assert new.own.heads == 2
    want = masked(*given)
    assert_close(new(*given), want, roundings=200, largest=want.abs().max().item())


def test_what_heads_mixed_is_known_to_the_first_move_of_a_site_only():
    model, told = make(), []
    moments = Moments(query=draw(2, 2), context=draw(3, 3), mixed=draw(4, 4), rows=7)
    spies = (Spy(told=told), Spy(told=told), Spy(told=told))
    plan = Plan(moves={"own": spies, "cross": (Spy(told=told),)})
    plan.apply(model, {"own": moments})
    later = replace(moments, mixed=None)
    # by their fields: Python 3.13 asks tensors for equality that 3.12 took for the same object
    assert [x and tuple(vars(x).values()) for x in told] == [
        *(tuple(vars(x).values()) for x in (moments, later, later)),
        None,
    ]
    told.clear()
    plan.apply(model)
    assert told == [None] * 4


def test_a_module_that_is_used_twice_changes_in_both_places():
    model = nn.ModuleDict({"a": Attention(width=WIDTH, heads=HEADS)})
    model["b"] = model["a"]
    new = Plan(moves={"a": (KeepHeads(heads=(2,)),)}).apply(model)
    assert new["a"] is new["b"]
    assert new["a"].heads == 1
    assert model["a"] is model["b"]
    assert model["a"].heads == HEADS
    with pytest.raises(ConfigError, match="got 'b', which is none of its sites: a"):
        Plan(moves={"b": (DropSite(),)}).apply(model)


@pytest.mark.parametrize(
    "model, others", [(make(), "own, cross"), (nn.Linear(2, 3), "none")], ids=["sites", "none"]
)
def test_a_plan_must_name_sites(model, others):
    message = f"plan must fit the model, got 'owl', which is none of its sites: {others}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        Plan(moves={"owl": (DropSite(),)}).apply(model)


def test_a_plan_must_be_for_sites_as_they_are():
    fine = Plan(moves={"own": (DropSite(),)}, was={"own": "4 x 3"})
    assert str(find_sites(make())[0][0].read(make()).geometry) == "4 x 3"
    fine.apply(make())
    message = "plan must fit the model, got own as 4 x 3, not 8 x 3"
    with pytest.raises(ConfigError, match=re.escape(message)):
        replace(fine, was={"own": "8 x 3"}).apply(make())


def test_what_a_move_refuses_is_said_with_the_site():
    plan = Plan(moves={"cross": (KeepHeads(heads=(2,)),)})
    message = "cross: heads must be below 2 here, got [2]"
    with pytest.raises(UnsupportedError, match=re.escape(message)):
        plan.apply(make())


def test_a_saved_model_is_rebuilt_without_what_was_seen():
    model, given = make(), inputs()
    ready = unfused(model)
    moments = collect_moments(ready, find_sites(ready)[0], [lambda: ready(*given)])
    plan = Plan(moves={"own": (KeepHeads(heads=(0, 3)),), "cross": (DropSite(),)})
    new = plan.apply(model, moments)
    rebuilt = plan.apply(Model().double())
    rebuilt.load_state_dict(new.state_dict())
    assert torch.equal(rebuilt(*given), new(*given))


def test_projections_are_what_spies_are_given():
    given = []

    @dataclass(frozen=True, kw_only=True)
    class Keep(Move):
        def edit(self, site, moments):
            given.append(site)
            return site

    Plan(moves={"own": (Keep(),)}).apply(make())
    assert isinstance(given[0], Projections)


@pytest.mark.parametrize(
    "move", [ShareKeyValue(kv_heads=2), QueryKeyRank(rank=1), ValueRank(rank=1)], ids=name_of
)
@pytest.mark.parametrize("number", [float("nan"), float("-inf")])
@pytest.mark.parametrize("part", ["query", "value"])
def test_weights_that_are_no_numbers_are_refused_by_name(move, number, part):
    model = make()
    getattr(model.own, part).weight.data[1, 2] = number
    with pytest.raises(
        UnsupportedError, match=f"own: weights must be finite, got NaN or inf in {part}"
    ):
        Plan(moves={"own": (move,)}).apply(model)


@pytest.mark.parametrize(
    "move",
    [ShareKeyValue(kv_heads=2), ValueRank(rank=1), KeepHeads(heads=(0,)), DropSite()],
    ids=name_of,
)
def test_calibration_that_overflowed_is_refused_by_name(move):
    model = make()
    moments = collect_moments(model, find_sites(model)[0], [lambda: model(*inputs())])
    moments["own"].mixed[0, 0] = float("inf")
    with pytest.raises(UnsupportedError, match=r"own: what .* finite, got NaN or inf in mixed"):
        Plan(moves={"own": (move,)}).apply(model, moments)


@dataclass(frozen=True, kw_only=True)
class Mine(Move):
    """A user's own: it makes every value larger."""

    times: int = 2

    def edit(self, site, moments):
        return site.with_(value=self.times * site.value, value_bias=self.times * site.value_bias)


def test_a_move_of_ones_own_is_made_and_put_on_file(tmp_path):
    model, given = make(), inputs()
    plan = Plan(moves={"own": (Mine(times=2), KeepHeads(heads=(0, 1)))})
    want = copy.deepcopy(model)
    with torch.no_grad():
        want.own.value.weight *= 2
        want.own.value.bias *= 2
    want = Plan(moves={"own": (KeepHeads(heads=(0, 1)),)}).apply(want)
    torch.testing.assert_close(plan.apply(model)(*given), want(*given))
    path = tmp_path / "plan.toml"
    plan.save(path)
    assert load_plan(path, moves=[Mine]) == plan
    assert f'move = "{__name__}:Mine"\ntimes = 2\n' in path.read_text(encoding="utf-8")


def test_the_class_of_an_own_move_is_never_looked_for():
    text = Plan(moves={"own": (Mine(),)}).dumps()
    with pytest.raises(ConfigError, match=rf"got '{__name__}:Mine'. Give its class: moves=\[...\]"):
        parse_plan(text)
    for wrong in ('"2"', "2.5", "true"):
        with pytest.raises(ConfigError, match=f"{__name__}:Mine of own must have its own settings"):
            parse_plan(text.replace("times = 2", f"times = {wrong}"), moves=[Mine])


NUMBERS = [
    (name, field.name)
    for name, kind in MOVES.items()
    for field in fields(kind)
    if field.type in (int, tuple[int, ...]) and (name, field.name) != ("query_key_rank", "pairs")
]
LEAST = {"share_kv": "kv_heads = 2", "select_blocks": "share = 0.5", "window": "window = 3"}


@pytest.mark.parametrize("name, field", NUMBERS)
def test_numbers_that_nobody_can_mean_are_refused(name, field):
    assert len(NUMBERS) > 12
    huge = 10**11 + 1
    value = [huge] if name == "keep_heads" else huge
    settings = {field: str(value)}
    for line in LEAST.get(name, "").splitlines():
        key, _, text = line.partition(" = ")
        settings.setdefault(key, text)
    if (name, field) in (("page_decode", "sinks"), ("page_decode", "recent")):
        settings["pages"] = str(2 * huge)
    lines = "\n".join(f"{key} = {text}" for key, text in settings.items())
    text = f'{FIRST}[[site]]\nname = "own"\n\n[[site.move]]\nmove = "{name}"\n{lines}\n'
    with pytest.raises(ConfigError, match=r"must be at most (65536|2147483647), got [12]\d{11}"):
        parse_plan(text)


# ---- all wide linear layers
# -------------------------------------------------------------------------


def test_all_wide_layers_are_lowered_before_the_moves_of_a_site():
    model = make()
    model.between = nn.Linear(WIDTH, WIDTH).double()
    plan = Plan(linear="bf16", narrowest=WIDTH).then("own", (KeepHeads(heads=(0, 2, 3)),))
    assert parse_plan(plan.dumps()) == plan
    made, new = plan.resolved(model)
    assert made.linear == "bf16"
    sites = {site.name: str(site.read(new).geometry) for site in find_sites(new)[0]}
    assert sites == {"own": "3 x 3, bf16", "cross": "2 x 6, bf16"}
    assert new.between.precision == "bf16"
    assert type(model.between) is nn.Linear
    lower = {"own": (LowPrecision(precision="int8"),)}
    mixed = Plan(linear="bf16", narrowest=WIDTH, moves=lower).apply(model)
    assert (precision.precision_of(mixed.own), precision.precision_of(mixed.cross)) == (
        "int8",
        "bf16",
    )


def test_a_plan_without_it_says_nothing_of_it():
    assert "linear" not in Plan().dumps()
    assert Plan(linear="int8").diff(Plan()) == ["linear layers: int8 -> as they are"]


def test_a_plan_says_which_layers_are_wide_where_that_is_not_as_usual():
    assert "narrowest" not in Plan(linear="int8").dumps()
    narrow = Plan(linear="int8", narrowest=32)
    assert parse_plan(narrow.dumps()) == narrow
    assert Plan(linear="int8").diff(narrow) == ["linear layers: int8 -> int8 from 32 on"]
    model = make()
    model.narrow, model.narrower = nn.Linear(32, 33), nn.Linear(32, 31)
    changed = narrow.apply(model)
    assert (changed.narrow.precision, type(changed.narrower)) == ("int8", nn.Linear)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "true", '"64"', "1e3"])
def test_the_width_from_which_layers_are_wide_is_a_whole_number(value):
    with pytest.raises(ConfigError, match="narrowest of a plan must be a whole number from 1 on"):
        parse_plan(f'version = 1\nlinear = "int8"\nnarrowest = {value}\n')


@pytest.mark.parametrize("value", ['"int4"', "8", "true", '["int8"]'])
def test_no_other_precision_is_taken_for_all_layers(value):
    with pytest.raises(ConfigError, match="linear of a plan must be bf16 or int8, got "):
        parse_plan(f"version = 1\nlinear = {value}\n")


# ---- whole layers
# -------------------------------------------------------------------------


def test_a_plan_says_which_layers_are_left_out():
    plan = Plan(dropped_layers=("layers.1", "layers.3"), linear="bf16")
    plan = plan.then("layers.2.self_attn", (KeepHeads(heads=(0, 2)),))
    assert parse_plan(plan.dumps()) == plan
    assert 'dropped_layers = ["layers.1", "layers.3"]' in plan.dumps()
    assert "dropped_layers" not in Plan().dumps()
    fewer = replace(plan, dropped_layers=("layers.3",))
    assert plan.diff(fewer) == ["layers left out: layers.1, layers.3 -> layers.3"]
    assert plan.diff(replace(plan, dropped_layers=("layers.3", "layers.1"))) == []
    layer = nn.TransformerEncoderLayer(WIDTH, 4, WIDTH, batch_first=True)
    model = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    made, new = replace(plan, linear=None).resolved(model)
    assert {site.name: str(site.read(new).geometry) for site in find_sites(new)[0]} == {
        "layers.0.self_attn": "4 x 3",
        "layers.2.self_attn": "2 x 3",
    }
    assert made.dropped_layers == plan.dropped_layers
    gone = plan.then("layers.1.self_attn", (DropSite(),))
    with pytest.raises(
        ConfigError, match=r"got 'layers\.1\.self_attn', which is none of its sites"
    ):
        gone.apply(model)


@pytest.mark.parametrize("value", ['"layers.1"', "[1]", "true", '{a = "b"}'])
def test_layers_are_a_list_of_names(value):
    with pytest.raises(ConfigError, match="dropped_layers must be a list of names, got "):
        parse_plan(f"version = 1\ndropped_layers = {value}\n")
