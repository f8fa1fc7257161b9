"""Models made of torch's Transformer layers come apart, and give the same numbers as before."""

import copy
import re

import pytest
import torch
from torch import nn

from heedful.allocation.adapters import TorchAdapter
from heedful.allocation.moments import collect_moments
from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.multihead import SeparableMultihead
from heedful.allocation.plan import Plan, unfused
from heedful.allocation.projections import Mixing
from heedful.allocation.sites import find_sites
from heedful.allocation.stored import load_model, save_model
from heedful.errors import UnsupportedError
from heedful.nn.constant import Constant
from heedful.testing.tolerance import assert_close

ADAPTER = TorchAdapter()
WIDTH, HEADS, DIM = 12, 4, 3
TOKENS = torch.randint(0, 11, (3, 7), generator=torch.Generator().manual_seed(1))
PADDING = torch.arange(7) >= torch.tensor([7, 4, 5])[:, None]
CAUSAL = torch.ones(7, 7).triu(1).bool()
MASKS = {
    "none": {},
    "padding": {"src_key_padding_mask": PADDING},
    "pairs": {"mask": CAUSAL},
    "both": {"mask": CAUSAL, "src_key_padding_mask": PADDING},
    "square": {"mask": nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64)},
}
pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomised(module):
    module = module.double()
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.3)
    return module


def make(**settings):
    return randomised(nn.MultiheadAttention(WIDTH, HEADS, **settings))


class Encoder(nn.Module):
    """Some twenty lines that anybody could have written."""

    def __init__(self, *, batch_first=True, norm_first=False, bias=True):
        super().__init__()
        self.embedding = nn.Embedding(11, WIDTH)
        self.batch_first = batch_first
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 16, 0.0, batch_first=batch_first, norm_first=norm_first, bias=bias
        )
        nested = batch_first and bias and not norm_first
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, tokens, **masks):
        x = self.embedding(tokens)
        return self.head(self.encoder(x if self.batch_first else x.transpose(0, 1), **masks))


class Writer(nn.Module):
    """A decoder that reads the embeddings of the same text."""

    def __init__(self, norm_first=False):
        super().__init__()
        self.embedding = nn.Embedding(11, WIDTH)
        layer = nn.TransformerDecoderLayer(
            WIDTH, HEADS, 16, 0.0, batch_first=True, norm_first=norm_first
        )
        self.decoder = nn.TransformerDecoder(layer, 2)

    def forward(self, tokens):
        x = self.embedding(tokens)
        return self.decoder(
            x[:, :5],
            x,
            tgt_mask=CAUSAL[:5, :5],
            memory_key_padding_mask=PADDING,
            tgt_is_causal=True,
        )


class Both(nn.Module):
    """The whole Transformer, length first."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, WIDTH)
        self.transformer = nn.Transformer(WIDTH, HEADS, 1, 1, 16, 0.0, batch_first=True)

    def forward(self, tokens):
        x = self.embedding(tokens)
        mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=x.dtype)
        return self.transformer(x, x[:, :5], tgt_mask=mask, src_key_padding_mask=PADDING)


class Stepwise(nn.Module):
    """Writes a text by another, as it comes or token by token: the vectors themselves are kept."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(11, WIDTH), nn.Linear(WIDTH, 11)
        self.read, self.own, self.other = (
            nn.MultiheadAttention(WIDTH, HEADS, batch_first=True) for _ in range(3)
        )

    def source(self, tokens):
        x = self.embedding(tokens)
        return x + self.read(x, x, x, key_padding_mask=PADDING)[0]

    def step(self, x, seen, memory, mask=None):
        x = x + self.own(x, seen, seen, attn_mask=mask, is_causal=mask is not None)[0]
        return self.head(x + self.other(x, memory, memory, key_padding_mask=PADDING)[0])

    def forward(self, tokens, stepwise=False):
        memory, x = self.source(tokens), self.embedding(tokens[:, :5])
        if not stepwise:
            return self.step(x, x, memory, CAUSAL[:5, :5])
        steps = [self.step(x[:, i : i + 1], x[:, : i + 1], memory) for i in range(5)]
        return torch.cat(steps, 1)


def same(actual, want):
    assert_close(actual, want, roundings=2000, largest=want.abs().max().item())


# ---- whole models


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_an_encoder_gives_the_same_numbers(batch_first, norm_first, bias, training, gradients):
    model = Encoder(batch_first=batch_first, norm_first=norm_first, bias=bias)
    model = randomised(model).train(training)
    new = unfused(model)
    assert isinstance(new.encoder.layers[1].self_attn, SeparableMultihead)
    with torch.set_grad_enabled(gradients):
        for masks in MASKS.values():
            same(new(TOKENS, **masks), model(TOKENS, **masks))


@torch.no_grad()
def test_padding_stays_0_where_torchs_encoder_goes_through_nested_texts():
    model = randomised(Encoder()).eval()
    model.head = nn.Identity()
    new = unfused(model)
    for each in (model, new):
        output = each(TOKENS, src_key_padding_mask=PADDING)
        assert not output[PADDING].any()
        assert output[~PADDING].all()


@torch.no_grad()
def test_layers_that_stay_fused_go_with_layers_that_do_not():
    model = randomised(Encoder()).eval()
    for name in ("encoder.layers.0.self_attn", "encoder.layers.1.self_attn"):
        new = copy.deepcopy(model)
        (site,) = (site for site in find_sites(model)[0] if site.name == name)
        site.write(new, site.read(new))
        for masks in MASKS.values():
            same(new(TOKENS, **masks), model(TOKENS, **masks))


@torch.no_grad()
def test_numbers_are_added_where_torchs_fused_layer_hides():
    model = randomised(Encoder())
    new, numbers = unfused(model), draw(7, 7, seed=3)
    want = model(TOKENS, mask=numbers)  # in training torch adds them
    same(new(TOKENS, mask=numbers), want)
    same(new.eval()(TOKENS, mask=numbers), want)
    assert not torch.allclose(model.eval()(TOKENS, mask=numbers), want)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make_model", [Writer, lambda: Writer(norm_first=True), Both])
@torch.no_grad()
def test_decoders_give_the_same_numbers(make_model, training):
    model = randomised(make_model()).train(training)
    sites, unknown = find_sites(model)
    assert not unknown
    assert len(sites) == (3 if isinstance(model, Both) else 4)
    same(unfused(model)(TOKENS), model(TOKENS))


def zeroed(model, name, heads):
    """The same model in which what these heads mixed does not count."""
    masked = copy.deepcopy(model)
    with torch.no_grad():
        for head in heads:
            masked.get_submodule(name).out_proj.weight[:, head * DIM : (head + 1) * DIM] = 0
    return masked


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mask", MASKS)
@torch.no_grad()
def test_dropping_heads_is_zeroing_their_columns(mask, training):
    model, name = randomised(Encoder()).train(training), "encoder.layers.0.self_attn"
    new = Plan(moves={name: (KeepHeads(heads=(1, 2)),)}).apply(model)
    want = zeroed(model, name, (0, 3))(TOKENS, **MASKS[mask])
    same(new(TOKENS, **MASKS[mask]), want)


@pytest.mark.parametrize("stepwise", [True, False])
@torch.no_grad()
def test_what_writes_token_by_token_does_so_with_fewer_heads(stepwise, tmp_path):
    model, kept = randomised(Stepwise()).eval(), {"read": (1, 2), "own": (0,), "other": (1, 3)}
    plan = Plan(moves={name: (KeepHeads(heads=heads),) for name, heads in kept.items()})
    new, want = plan.apply(model), model
    for name, heads in kept.items():
        want = zeroed(want, name, set(range(HEADS)) - set(heads))
    same(new(TOKENS, stepwise), want(TOKENS))
    save_model(tmp_path / "saved", new, plan)
    again = load_model(tmp_path / "saved", into=randomised(Stepwise()))
    assert torch.equal(again(TOKENS, stepwise), new(TOKENS, stepwise))


@pytest.mark.parametrize("training", [True, False])
@torch.no_grad()
def test_dropping_a_site_is_zeroing_all_of_it(training):
    model, name = randomised(Encoder()).train(training), "encoder.layers.0.self_attn"
    new = Plan(moves={name: (DropSite(),)}).apply(model)
    for masks in MASKS.values():
        same(new(TOKENS, **masks), zeroed(model, name, range(4))(TOKENS, **masks))


@torch.no_grad()
def test_a_dropped_first_layer_whose_parameters_are_frozen_goes_through_nested_texts():
    model, name = randomised(Encoder()).eval().requires_grad_(False), "encoder.layers.0.self_attn"
    new = Plan(moves={name: (DropSite(),)}).apply(model)
    want = zeroed(model, name, range(4))(TOKENS, src_key_padding_mask=PADDING)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            same(new(TOKENS, src_key_padding_mask=PADDING), want)


@pytest.mark.parametrize("bias", [True, False])
def test_parameters_become_fewer_by_what_heads_have(bias):
    model, name = randomised(Encoder(bias=bias)), "encoder.layers.0.self_attn"

    def count(model):
        return sum(parameter.numel() for parameter in model.parameters())

    assert count(unfused(model)) == count(model)
    extra = 0 if bias else WIDTH  # the output of the changed site has a bias now
    kept = Plan(moves={name: (KeepHeads(heads=(3,)),)}).apply(model)
    assert count(kept) == count(model) + extra - 3 * (4 * DIM * WIDTH + 3 * DIM * bias)
    dropped = Plan(moves={name: (DropSite(),)}).apply(model)
    assert count(dropped) == count(model) + extra - 4 * (4 * DIM * WIDTH + 3 * DIM * bias)


@torch.no_grad()
def test_what_went_through_is_seen_without_the_padding_of_nested_texts():
    model = unfused(randomised(Encoder()).eval())
    sites = find_sites(model)[0]
    seen = collect_moments(model, sites, [lambda: model(TOKENS, src_key_padding_mask=PADDING)])
    for site in sites:
        assert seen[site.name].rows == 7 + 4 + 5
        assert seen[site.name].query[-1, -1] == 7 + 4 + 5
    x = model.embedding(TOKENS)[~PADDING]
    got = seen["encoder.layers.0.self_attn"]
    # the sums are of float32
    torch.testing.assert_close(got.query[:-1, :-1], x.T @ x, rtol=1e-5, atol=1e-5)
    assert torch.equal(got.query, got.context)


# ---- one module


@pytest.mark.parametrize(
    "settings",
    [{}, {"bias": False}, {"kdim": 10, "vdim": 10}, {"batch_first": True, "dropout": 0.25}],
    ids=lambda settings: "-".join(settings) or "plain",
)
def test_what_is_written_is_read_again(settings):
    module = make(**settings)
    first = ADAPTER.read(module)
    assert first.geometry.context == module.kdim
    assert (first.query_bias is None) == (not settings.get("bias", True))
    written = ADAPTER.write(module, first)
    again = ADAPTER.read(ADAPTER.write(written, ADAPTER.read(written)))
    for name, want in vars(first).items():
        actual = getattr(again, name)
        if isinstance(want, torch.Tensor):
            same(actual, want)
        else:
            assert actual == want, name


def test_sizes_and_the_scale_may_change():
    module = make(batch_first=True)
    first = ADAPTER.read(module)
    changed = first.with_(
        query=first.query[:, :2],
        query_bias=first.query_bias[:, :2],
        key=first.key[:2, :2],
        key_bias=first.key_bias[:2, :2],
        value=torch.cat([first.value, first.value], 1)[:2],
        value_bias=torch.cat([first.value_bias, first.value_bias], 1)[:2],
        out=torch.cat([first.out, first.out], 1),
        scale=0.7,
    )
    with torch.no_grad():
        new = ADAPTER.write(module, changed)
    again, x = ADAPTER.read(new), draw(2, 5, WIDTH)
    assert str(again.geometry) == "4 on 2 x 2/6"
    same(again.scale * again.query, changed.scale * changed.query)
    scores = 0.7 * (x @ changed.query[3].T + changed.query_bias[3])
    scores = scores @ (x @ changed.key[1].T + changed.key_bias[1]).mT
    _, weights = new(x, x, x, average_attn_weights=False)
    same(weights[:, 3], scores.softmax(-1))


@pytest.mark.parametrize("dropped", [False, True])
def test_dtype_mode_and_gradients_stay(dropped):
    module = make().to(torch.bfloat16).eval().requires_grad_(False)
    projections = ADAPTER.read(module)
    assert projections.query.dtype == torch.float32
    projections = DropSite().edit(projections, None) if dropped else projections
    new = ADAPTER.write(module, projections)
    assert {parameter.dtype for parameter in new.parameters()} == {torch.bfloat16}
    assert not any(parameter.requires_grad for parameter in new.parameters())
    assert not any(part.training for part in new.modules())
    assert ADAPTER.write(make(), projections).training
    assert all(
        parameter.requires_grad for parameter in ADAPTER.write(make(), projections).parameters()
    )


def test_a_constant_is_read_as_no_heads():
    constant = Constant(WIDTH)
    constant.vector.data = draw(WIDTH).float()
    new = SeparableMultihead(constant, width=WIDTH, batch_first=True, origin=(), original_heads=4)
    projections = ADAPTER.read(new)
    assert projections.geometry.heads == 0
    assert projections.origin == ()
    assert torch.equal(projections.out_bias, constant.vector)
    bare = ADAPTER.write(make(), projections.with_(out_bias=None))
    assert not bare.core.vector.any()


def test_taps_are_the_projections():
    new = ADAPTER.write(make(), ADAPTER.read(make()))
    hook_points = ADAPTER.hook_points(new)
    assert (hook_points.query, hook_points.context, hook_points.out) == (
        new.core.query,
        new.core.key,
        new.core.out,
    )


class Own(nn.MultiheadAttention):
    """A subclass that computes something else."""

    def forward(self, query, key, value):
        return value, None


def test_claims_what_computes_as_torch_does():
    assert ADAPTER.claims(make())
    assert ADAPTER.claims(ADAPTER.write(make(), ADAPTER.read(make())))
    assert not ADAPTER.claims(Own(WIDTH, HEADS))
    assert not ADAPTER.claims(nn.Linear(2, 3))


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"add_bias_kv": True}, "it adds keys of its own, which belong to its heads"),
        ({"add_zero_attn": True}, "it adds keys of its own, which belong to its heads"),
        ({"kdim": 10}, "its keys are 10 wide and its values 12"),
        ({"vdim": 8}, "its keys are 12 wide and its values 8"),
        ({"kdim": 10, "vdim": 10}, None),
        ({}, None),
    ],
)
def test_says_why_not(settings, reason):
    assert ADAPTER.reason_against(make(**settings)) == reason


@pytest.mark.parametrize(
    "mixing, reason",
    [
        (None, None),
        (Mixing(name="window"), None),
        (Mixing(name="entmax"), "Entmax has parameters that belong to its heads"),
    ],
)
def test_says_why_not_again(mixing, reason):
    module = make()
    new = ADAPTER.write(module, ADAPTER.read(module).with_(mixing=mixing))
    assert ADAPTER.reason_against(new) == reason
    assert ADAPTER.read(new).mixing == mixing


def test_what_was_dropped_cannot_be_changed():
    module = make()
    dropped = ADAPTER.write(module, DropSite().edit(ADAPTER.read(module), None))
    assert ADAPTER.reason_against(dropped) == "it was dropped already"


def test_refuses_what_it_cannot_write():
    module = make(dropout=0.25)
    window = ADAPTER.read(module).with_(mixing=Mixing(name="window"))
    message = "its dropout is 0.25, and no mechanism drops weights"
    assert ADAPTER.why_not(module, window) == message
    assert ADAPTER.why_not(ADAPTER.write(module, ADAPTER.read(module)), window) == message
    assert ADAPTER.why_not(make(), window) is None
    assert ADAPTER.why_not(module, ADAPTER.read(module)) is None
    dropped = DropSite().edit(window, None)
    assert ADAPTER.why_not(module, dropped) is None
    convolution = dropped.with_(mixing=Mixing(name="local_convolution", settings={"kernel": 3}))
    assert ADAPTER.why_not(make(), convolution) == "nothing but heads can mix positions there"
    pages = dropped.with_(mixing=Mixing(name="paged_decoding"))
    assert ADAPTER.why_not(make(), pages) == "nothing but heads can mix positions there"
    pages = window.with_(mixing=Mixing(name="paged_decoding"))
    kept = "paged_decoding chooses by what only the cache of heedful keeps"
    assert ADAPTER.why_not(make(), pages) == kept
    model = nn.Sequential(module)
    (site,) = find_sites(model)[0]
    with pytest.raises(
        UnsupportedError, match=re.escape(f"0 cannot become 4 x 3, window, {message}")
    ):
        site.write(model, window)
