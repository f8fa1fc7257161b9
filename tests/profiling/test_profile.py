"""What a profile says, against counts by hand, planted heads and planted dimensions."""

import copy
import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from heedful.allocation.projections import Rotary
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, DataError, RunError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import Attention
from heedful.nn.positions import AlibiPositions, RotaryPositions
from heedful.optimizing.of_run import TIMED, problem_to_profile
from heedful.optimizing.problem import divergence, unavailable
from heedful.probing.probe import probe
from heedful.profiling import _enough, _site_times
from heedful.profiling import profile as profile_file
from heedful.profiling._heads import correlation
from heedful.profiling._key_use import BLOCKS, default_block
from heedful.profiling._results import Whole
from heedful.profiling._site_times import Shape, plain_shares, time_sites
from heedful.profiling._spectra import query_key_spectra
from heedful.profiling.profile import profile, profile_run
from heedful.profiling.site_names import site_names
from heedful.tasks.translation.forced_decoding import ForcedDecoding

WIDTH, HEADS, KV_HEADS, DIM, VALUE_DIM = 12, 4, 2, 6, 5
BATCH, QUERIES, KEYS = 2, 7, 11
USED = 2


class Two(nn.Module):
    """A text that looks at itself, causally, and then at another one; nothing calls `idle`."""

    def __init__(self, positions=None):
        super().__init__()
        sizes = {"width": WIDTH, "heads": HEADS, "kv_heads": KV_HEADS, "dim": DIM}
        self.own = Attention(**sizes, value_dim=VALUE_DIM, positions=positions)
        self.cross = Attention(**sizes, value_dim=VALUE_DIM)
        self.idle = Attention(**sizes)

    def forward(self, x, context):
        return self.cross(self.own(x, mask=Mask.causal()), context)


def sites_of(model):
    return find_sites(model)[0]


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pairs(count=2):
    """Batches for `Two`: inputs are a tuple, and there is no truth."""
    return [
        ((draw(BATCH, QUERIES, WIDTH, seed=i), draw(BATCH, KEYS, WIDTH, seed=9 + i)),)
        for i in range(count)
    ]


def of(found, name):
    return next(site for site in found.sites if site.name == name)


@pytest.fixture(autouse=True, scope="module")
def state():
    """What the system says of memory takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile_file, "peak_bytes", lambda work: work() or 12345)
        yield


@pytest.fixture(scope="module")
def two():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Two()


@pytest.fixture(scope="module")
def found(two):
    return profile(two, pairs(), key_block=3)


@pytest.fixture(scope="module")
def planted(kit):
    model = kit.planted(layers=2)
    batches = [kit.rows(16), kit.rows(16, seed=1)]
    return model, profile(model, batches, outputs="logits")


# ---- costs ---------------------------------------------------------------------------------------


def test_operations_are_those_counted_by_hand(found):
    for name, keys in (("own", QUERIES), ("cross", KEYS)):
        site = of(found, name)
        looking = 2 * BATCH * QUERIES * HEADS * WIDTH * (DIM + VALUE_DIM)
        looked_at = 2 * BATCH * keys * KV_HEADS * WIDTH * (DIM + VALUE_DIM)
        assert site.multiply_adds.projections == looking + looked_at
        assert site.multiply_adds.scores == 2 * BATCH * HEADS * QUERIES * keys * DIM
        assert site.multiply_adds.aggregation == 2 * BATCH * HEADS * QUERIES * keys * VALUE_DIM
        assert site.kv_bytes_per_key == KV_HEADS * (DIM + VALUE_DIM) * 4
        assert site.kv_bytes == site.kv_bytes_per_key * 2 * BATCH * keys
        assert site.geometry == f"{HEADS} on {KV_HEADS} x {DIM}/{VALUE_DIM}"
    assert found.whole.longest == KEYS


def test_looks_at_as_many_batches_as_make_a_pass_of_some_work(two, found, monkeypatch):
    parts = [vars(site.multiply_adds).values() for site in found.sites]
    of_one = sum(map(sum, parts)) / 2
    monkeypatch.setattr(_enough, "MULTIPLY_ADDS", of_one + 1)
    short = profile(two, pairs(4), key_block=3, leave_out=0)
    assert (found.batches, short.batches) == (2, 2)
    assert [site.multiply_adds for site in short.sites] == [s.multiply_adds for s in found.sites]


def test_parameters_are_counted(two, found):
    weights = WIDTH * (HEADS * DIM + KV_HEADS * (DIM + VALUE_DIM) + HEADS * VALUE_DIM)
    biases = HEADS * DIM + KV_HEADS * (DIM + VALUE_DIM) + WIDTH
    assert of(found, "own").parameters == weights + biases
    assert found.whole.parameters == sum(x.numel() for x in two.parameters())
    assert found.whole.peak_bytes == 12345


def test_a_site_that_is_not_called_costs_nothing(found):
    idle = of(found, "idle")
    assert idle.share == idle.milliseconds.total == 0
    assert idle.milliseconds.softmax is None
    assert idle.kv_bytes == idle.multiply_adds.scores == 0
    assert [head.look for head in idle.heads] == [None] * HEADS
    assert [head.leave_one_out for head in idle.heads] == [0.0] * HEADS


def test_shares_and_parts_add_up(found, planted):
    for each in (found, planted[1]):
        whole = each.whole
        rest = whole.rest_milliseconds / whole.separated_milliseconds
        assert sum(site.share for site in each.sites) + rest == pytest.approx(1)
        assert whole.attention_share == pytest.approx(1 - rest)
        for site in each.sites:
            spent = site.milliseconds
            assert 0 <= spent.projections <= spent.total
            if spent.scores is not None:
                assert spent.scores + spent.softmax + spent.aggregation == pytest.approx(
                    spent.mixing
                )
                assert min(spent.scores, spent.softmax, spent.aggregation) > 0


def test_times_are_medians_of_what_was_measured(two, monkeypatch):
    """Projections are a share of the site in the rounds in which they were timed as well."""
    seconds = iter([2.0, 9.0, 4.0])
    layers = ("query", "key", "value", "out")

    def measured(model, sites, work):
        names = [site.name for site in sites]
        if "own.query" not in names:
            return dict.fromkeys(names, next(seconds)), 10.0
        assert {f"own.{layer}" for layer in layers} < {*names}
        times = {name: 1.0 if "." in name else 16.0 for name in names}
        return times, 0.0

    monkeypatch.setattr(_site_times, "site_seconds", measured)
    sites = sites_of(two)
    times = time_sites(two, sites, lambda model: None)
    assert times.sites == dict.fromkeys(("own", "cross", "idle"), 4.0)
    assert times.total == 3 * 4.0 + 10.0
    assert times.projections == dict.fromkeys(("own", "cross", "idle"), 4.0 * 4 / 16)


@pytest.mark.parametrize(
    "parts, shares",
    [([1.0, 2.0, 5.0], (0.125, 0.25, 0.625)), ([3.0, 3.0, 3.0], (1 / 3, 1 / 3, 1 / 3))],
)
def test_mixing_is_divided_as_plain_torch_divides(two, monkeypatch, parts, shares):
    timed = []

    def plain(geometry, shape, like):
        timed.append(shape)
        return parts

    monkeypatch.setattr(_site_times, "_plain", plain)
    geometry = sites_of(two)[0].read(two).geometry
    shapes = [Shape(2, 4, 1, keys) for keys in range(1, 101)]
    assert plain_shares(geometry, shapes, two.own.query.weight) == pytest.approx(shares)
    assert len(timed) == _site_times.SHAPES
    assert timed == sorted(timed)
    assert all(one.batch == 1 and one.heads == 8 for one in timed)
    assert plain_shares(geometry, [], two.own.query.weight) is None
    enormous = [Shape(64, 16, 2**14, 2**14)]
    plain_shares(geometry, enormous, two.own.query.weight)
    assert timed[-1].heads * timed[-1].queries * timed[-1].keys <= _site_times.NUMBERS


def test_what_is_no_softmax_is_not_divided(two):
    geometry = sites_of(two)[0].read(two).geometry
    other = replace(geometry, mixing=object())
    assert plain_shares(other, [Shape(1, 4, 5, 5)], two.own.query.weight) is None
    assert plain_shares(geometry, [Shape(1, 4, 5, 5)], two.own.query.weight) is not None


@pytest.mark.parametrize("share, bound", [(0.5, 2.0), (0.0, 1.0), (0.75, 4.0), (1.0, None)])
def test_amdahls_bound(found, share, bound):
    whole = Whole(**(vars(found.whole) | {"attention_share": share}))
    assert whole.speedup_bound == (None if bound is None else pytest.approx(bound))
    text = replace(found, whole=whole).summary
    assert text.startswith(f"attention takes {share:.0%} of the work")
    assert (f"no plan can win more than {bound:.2f}x" in text) if bound else ("win" not in text)


# ---- importance ----------------------------------------------------------------------------------


def test_the_planted_head_matters_and_the_others_do_not(planted):
    found = planted[1]
    assert [site.name for site in found.sites] == ["own.0", "own.1"]
    for site in found.sites:
        for head, scores in enumerate(site.heads):
            numbers = (scores.fisher, scores.gate_gradient, scores.leave_one_out)
            assert all(x > 1e-4 for x in numbers) if head == USED else numbers == (0, 0, 0)
        # one is a mean of squares, the other of sizes, of the same gradients
        used = site.heads[USED]
        assert used.fisher > used.gate_gradient**2
        assert used.fisher != used.gate_gradient
        assert site.importance.heads == 4
        assert site.importance.fisher == pytest.approx(1)
    assert found.importance.heads == 8
    assert found.importance.gate_gradient == pytest.approx(1)


def test_what_says_no_kind_is_compared_as_values(kit, planted, monkeypatch):
    kinds = []
    monkeypatch.setattr(profile_file, "_profile", lambda problem, *_: kinds.append(problem.kind))
    for outputs in (None, "logits", "values"):
        profile(planted[0], [kit.rows(4)], outputs=outputs)
    assert kinds == ["values", "logits", "values"]


@torch.no_grad()
def test_leaving_out_is_what_zeroed_weights_do(kit, planted):
    model, found = planted
    batches = [kit.rows(16), kit.rows(16, seed=1)]
    without = copy.deepcopy(model)
    without.own[1].out.weight[:, USED * 4 : USED * 4 + 4] = 0
    moved = [divergence("logits", without(x), model(x)).item() for x in batches]
    got = of(found, "own.1").heads[USED].leave_one_out
    assert got == pytest.approx(sum(moved) / 2, rel=1e-4)


@pytest.mark.parametrize(
    "limit, tried", [(0, []), (1, [(1, 0)]), (2, [(0, 2), (1, 2)]), (99, "all")]
)
def test_so_many_heads_are_left_out(kit, limit, tried):
    found = profile(kit.planted(layers=2), [kit.rows(8)], leave_out=limit)
    got = [
        (place, number)
        for place, site in enumerate(found.sites)
        for number, head in enumerate(site.heads)
        if head.leave_one_out is not None
    ]
    assert got == ([(i, j) for i in range(2) for j in range(4)] if tried == "all" else tried)
    assert found.importance.heads == len(got)
    assert (found.importance.fisher is None) == (len(got) < 2)
    assert found.importance.gate_gradient is None or -1 <= found.importance.gate_gradient <= 1


def test_correlation_knows_two_orders_from_each_other(planted):
    heads = [
        replace(planted[1].sites[0].heads[0], fisher=f, gate_gradient=g, leave_one_out=x)
        for f, g, x in [(1.0, 9.0, 5.0), (2.0, 8.0, 6.0), (7.0, 1.0, 7.0), (0.0, 0.0, None)]
    ]
    got = correlation(heads)
    assert (got.heads, got.fisher, got.gate_gradient) == (3, pytest.approx(1), pytest.approx(-1))


# ---- dimensions ----------------------------------------------------------------------------------


@torch.no_grad()
def test_spectra_are_those_of_scores_and_of_outputs():
    """Singular values of the matrix of all scores of independent queries and keys, in float64."""
    model = Two()
    for name in ("own", "cross"):
        model.get_submodule(name).query.bias.copy_(draw(HEADS * DIM, seed=5))
        model.get_submodule(name).value.bias.copy_(draw(KV_HEADS * VALUE_DIM, seed=6))
    batches = pairs(4)
    found, heard = of(profile(model, batches), "cross"), []
    model.cross.out.register_forward_pre_hook(lambda module, args: heard.append(args[0]))
    x = torch.cat([model.own(x, mask=Mask.causal()).flatten(0, 1) for ((x, _),) in batches])
    context = torch.cat([context.flatten(0, 1) for ((_, context),) in batches])
    for ((own, other),) in batches:
        model(own, other)
    mixed = torch.cat([x.flatten(0, 1) for x in heard]).unflatten(1, (HEADS, VALUE_DIM)).double()
    query = model.cross.query(x).double().unflatten(1, (HEADS, DIM))
    key = model.cross.key(context).double().unflatten(1, (KV_HEADS, DIM))
    key = key - key.mean(0)
    for head, got in enumerate(found.heads):
        scores = query[:, head] @ key[:, head // 2].T
        check(got.query_key, scores)
        out = model.cross.out.weight[:, head * VALUE_DIM : (head + 1) * VALUE_DIM].double()
        check(got.value_out, (mixed[:, head] - mixed[:, head].mean(0)) @ out.T)


def check(spectrum, matrix):
    energy = torch.linalg.svdvals(matrix).square()[: len(spectrum.energy)]
    shares = energy / energy.sum()
    # ridges and float32 sums lie far below that
    torch.testing.assert_close(torch.tensor(spectrum.energy).double(), shares, rtol=0, atol=1e-4)
    for share, rank in ((0.9, spectrum.rank_90), (0.99, spectrum.rank_99)):
        kept = torch.tensor(spectrum.energy).double()
        assert kept[:rank].sum() >= share - 1e-9
        assert kept[: rank - 1].sum() < share


@torch.no_grad()
def test_a_planted_rank_is_found():
    model = Two()
    query = model.cross.query.weight.unflatten(0, (HEADS, DIM))
    query[1, 2:] = 0
    model.cross.query.bias.zero_()
    model.cross.out.weight.unflatten(1, (HEADS, VALUE_DIM))[:, 3, 1:] = 0
    heads = of(profile(model, pairs(4), leave_out=0), "cross").heads
    assert heads[1].query_key.rank_99 <= 2 < heads[0].query_key.rank_99
    assert heads[3].value_out.rank_99 == 1 < heads[0].value_out.rank_99
    assert list(heads[0].query_key.energy) == sorted(heads[0].query_key.energy, reverse=True)
    assert sum(heads[0].query_key.energy) == pytest.approx(1)


@torch.no_grad()
def test_where_positions_turn_pairs_pairs_are_counted():
    model = Two(RotaryPositions(DIM))
    key = model.own.key.weight.unflatten(0, (KV_HEADS, DIM))
    key[1, [0, 1, 3, 4]] = 0  # pair 2 alone is left: components 2 and 5
    heads = of(profile(model, pairs(4), leave_out=0), "own").heads
    assert [head.query_key.rank_99 for head in heads[2:]] == [2, 2]
    assert all(len(head.query_key.energy) == DIM // 2 for head in heads)
    assert heads[0].query_key.rank_99 > 2
    dead = Two(RotaryPositions(DIM))
    dead.own.query.weight.zero_()
    dead = of(profile(dead, pairs(), leave_out=0), "own").heads[0].query_key
    assert (dead.rank_90, dead.rank_99, sum(dead.energy)) == (0, 0, 0)


@pytest.mark.parametrize("used, expected", [((0, 1, 2), 3), ((0, 1), None)])
def test_pairs_of_some_components_have_no_spectrum(two, used, expected):
    site = sites_of(two)[0].read(two).with_(rotary=Rotary(pairs=used, whole=DIM))
    found = query_key_spectra(site, None)
    assert len(found) == HEADS
    assert {None if x is None else len(x.energy) for x in found} == {expected}


# ---- keys ----------------------------------------------------------------------------------------


@torch.no_grad()
def test_even_heads_look_at_all_blocks_by_their_size(two):
    """Causal rows of 7, blocks of 3; the other text has 11 keys, of which the last block has 2."""
    model = copy.deepcopy(two)
    for site in (model.own, model.cross):
        site.query.weight.zero_()
    found = profile(model, pairs(), key_block=3, leave_out=0)
    own, cross = of(found, "own").heads[0].look, of(found, "cross").heads[3].look
    assert own.effective_keys == pytest.approx(sum(range(1, 8)) / 7)
    want = {"own": 0.0, "near": 0.0, "first": 0.0, "far": 0.0}
    for row in range(QUERIES):
        for key in range(row + 1):
            away = row // 3 - key // 3
            kind = ("own", "near")[away] if away < 2 else "first" if key < 3 else "far"
            want[kind] += 1 / (row + 1) / QUERIES
    assert {name: getattr(own, name) for name in want} == pytest.approx(want)
    assert want["first"] > 0
    assert (cross.own, cross.near) == (None, None)
    assert cross.effective_keys == pytest.approx(KEYS)
    assert cross.blocks == pytest.approx((3 / 11, 3 / 11, 3 / 11, 2 / 11))
    assert (cross.first, cross.far) == pytest.approx((3 / 11, 8 / 11))
    assert len(own.blocks) == 3
    assert (own.sink, cross.sink) == (None, None)


@torch.no_grad()
def test_heads_whose_queries_all_ask_the_same_have_sinks(two):
    model = copy.deepcopy(two)
    model.cross.query.weight.zero_()
    model.cross.query.bias.fill_(20.0)
    heads = of(profile(model, pairs(), leave_out=0), "cross").heads
    with probe(model) as p:
        model(*pairs()[0][0])
    found = p.sinks()["cross"]
    for number, head in enumerate(heads):
        sink = head.look.sink
        assert sink.kind == found.kinds[number]
        assert sink.key == found.place[number]
        assert sink.mass == pytest.approx(found.mass[number].item())
        assert sink.value_norm == pytest.approx(found.value_norm[number].item())
        assert sink.output_rank == pytest.approx(found.output_rank[number].item())


def test_masses_add_up(found):
    for name in ("own", "cross"):
        for head in of(found, name).heads:
            look = head.look
            assert sum(look.blocks) == pytest.approx(1)
            near = 0 if look.own is None else look.own + look.near
            assert near + look.first + look.far == pytest.approx(1)
            assert 0 < look.entropy


def test_blocks_beyond_the_last_are_summed_up_in_it(two):
    batch = ((draw(1, QUERIES, WIDTH), draw(1, BLOCKS + 9, WIDTH)),)
    look = of(profile(two, [batch], key_block=1, leave_out=0), "cross").heads[1].look
    assert len(look.blocks) == BLOCKS
    assert sum(look.blocks) == pytest.approx(1)
    assert look.blocks[-1] > 3 / (BLOCKS + 9)


@pytest.mark.parametrize("longest, block", [(0, 1), (7, 1), (40, 5), (511, 63), (9999, 64)])
def test_short_texts_have_small_blocks(longest, block):
    assert default_block(longest) == block


def test_what_is_heard_inside_a_site_is_of_the_site():
    sites = ["a", "b.attention", "c", "d"]
    heard = ["a", "b.attention.self", "c.x", "c.y", "dd"]
    assert site_names(heard, sites) == {"a": "a", "b.attention.self": "b.attention"}


# ---- other models, other forms -------------------------------------------------------------------


def test_fused_layers_come_apart_and_are_heard(kit):
    model = kit.planted(kit.Layers, layers=1)
    found = profile(model, [kit.rows(16)])
    (site,) = found.sites
    assert site.name == "encoder.layers.0.self_attn"
    assert site.share > 0
    assert site.heads[USED].leave_one_out > 0
    assert site.heads[0].look.effective_keys > 1
    assert site.multiply_adds.scores == 16 * 6 * 6 * 16


def test_the_model_stays_as_it_is(two):
    model = copy.deepcopy(two).train()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    profile(model, pairs(1), leave_out=2)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert model.training
    assert model.own.training
    assert not any(x._forward_pre_hooks or "forward" in vars(x) for x in model.modules())
    assert all(x.grad is None for x in model.parameters())


def test_json_comes_back_as_it_was(found, planted):
    for each in (found, planted[1]):
        plain = each.to_json()
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain
        assert plain["summary"] == each.summary
        assert plain["whole"]["speedup_bound"] == each.whole.speedup_bound
        head = plain["sites"][0]["heads"][1]
        assert head["query_key"]["rank_99"] == each.sites[0].heads[1].query_key.rank_99
        assert plain["machine"]["device"] == "cpu"


def test_attention_that_cannot_be_changed_is_listed(two):
    model = copy.deepcopy(two)
    model.idle = Attention(width=WIDTH, heads=HEADS, positions=AlibiPositions(HEADS))
    found = profile(model, pairs(1), leave_out=0)
    assert list(found.not_adaptable) == ["idle"]
    assert "slopes" in found.not_adaptable["idle"]
    assert [site.name for site in found.sites] == ["own", "cross"]
    assert found.summary.startswith("attention that can be changed takes")
    none = nn.Sequential(Attention(width=WIDTH, heads=HEADS, positions=AlibiPositions(HEADS)))
    found = profile(none, [draw(2, 3, WIDTH)])
    assert found.sites == ()
    assert found.whole.speedup_bound == pytest.approx(1)
    assert found.importance.heads == 0


def test_forward_and_outputs_are_handed_on(two):
    def other(model, batch):
        return model(batch, batch)

    found = profile(two, [draw(BATCH, QUERIES, WIDTH)], forward=other, outputs="values")
    assert of(found, "cross").multiply_adds.scores == BATCH * HEADS * QUERIES * QUERIES * DIM


def test_progress_is_told(two):
    told = []
    profile(two, pairs(1), leave_out=2, on_progress=told.append)
    assert told[0] == "timing sites"
    left_out = [x for x in told if x.startswith("leaving out")]
    assert left_out == [f"leaving out heads of {name}" for name in ("own", "idle")]


# ---- a translator --------------------------------------------------------------------------------


def test_a_translator_is_profiled_while_it_writes(digit_run):
    found = profile_run(digit_run, leave_out=4)
    names = [site.name for site in found.sites]
    assert names == [
        "encoder.0.self_attention",
        "decoder.0.self_attention",
        "decoder.0.cross_attention",
    ]
    task = digit_run.task
    work = task.work(digit_run.model, task.encode(digit_run.examples("dev")[:TIMED]))
    assert isinstance(work, ForcedDecoding)
    ends = [end for *_, batch in work.batches for end in batch]
    steps = sum(end + 1 for end in ends)
    seen = sum((end + 1) * (end + 2) // 2 for end in ends)  # the cache grows by one a step
    own = of(found, "decoder.0.self_attention")
    assert own.multiply_adds.scores == seen * 32
    assert own.multiply_adds.projections == steps * 4 * 32 * 32
    assert own.kv_bytes == steps * 2 * 32 * 4
    cross = of(found, "decoder.0.cross_attention")
    assert cross.heads[0].look.own is None
    assert own.heads[0].look.own is not None
    texts = sum(source.numel() for source, *_ in work.batches)
    assert cross.kv_bytes == texts * 2 * 32 * 4
    assert found.importance.heads == 4


def test_only_the_dev_split_is_needed(digit_run):
    problem = problem_to_profile(digit_run, seed=2)
    rows = sum(len(source) for source, *_ in problem.calibration)
    assert rows == len(digit_run.examples("dev"))
    widths = [source.shape[1] for source, *_ in problem.calibration]
    assert all(a <= b for a, b in pairwise(widths))
    for ask in (
        lambda: problem.statistics(problem.model, "test"),
        lambda: problem.training(1),
        unavailable,
    ):
        with pytest.raises(
            UnsupportedError, match="must have data to be fine-tuned and judged, got"
        ):
            ask()


# ---- what cannot be profiled ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"leave_out": -3}, "leave_out must not be negative, got -3"),
        ({"key_block": 0}, "key_block must be at least 1, got 0"),
    ],
)
def test_rejects_bad_settings(two, settings, message):
    with pytest.raises(ConfigError, match=message):
        profile(two, pairs(1), **settings)
    with pytest.raises(ConfigError, match=message):
        profile_run("nowhere", **settings)


def test_says_what_is_missing(two, tmp_path):
    with pytest.raises(DataError, match="batches must hold one at least, got none"):
        profile(two, [])
    with pytest.raises(UnsupportedError, match="must hold attention to be profiled, got none"):
        profile(nn.Linear(WIDTH, 3), [draw(2, WIDTH)])
    with pytest.raises(UnsupportedError, match="model must have parameters"):
        profile(nn.Identity(), [draw(2, WIDTH)])
    with pytest.raises(RunError, match="run must be a folder"):
        profile_run(tmp_path)
