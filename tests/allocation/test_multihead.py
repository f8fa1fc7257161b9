"""The stand-in of torch's attention gives torch's numbers for every call that torch takes."""

import re

import pytest
import torch
from torch import nn

from heedful.allocation.adapters.torch import TorchAdapter
from heedful.allocation.multihead import SeparableMultihead
from heedful.allocation.projections import Mixing
from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.nn.constant import Constant
from heedful.testing.tolerance import assert_close, roundings

ADAPTER = TorchAdapter()
HEADS, DIM, WIDTH = 4, 3, 12
BAND = roundings(torch.float64, WIDTH, DIM, 7, WIDTH)
PADDING = torch.arange(7) >= torch.tensor([7, 4])[:, None]
HOLES = torch.tensor([[0, 1, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 1, 1]]).bool()
CAUSAL = torch.ones(5, 7).triu(1).bool()
NESTED = "ignore:The PyTorch API of nested tensors"


def draw(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


EACH = draw(2 * HEADS, 5, 7, seed=4) > 0.5
EACH[..., 0] = False
MASKS = {
    "none": {},
    "padding": {"key_padding_mask": PADDING},
    "holes": {"key_padding_mask": HOLES},
    "pairs": {"attn_mask": CAUSAL},
    "hint": {"attn_mask": CAUSAL, "is_causal": True},
    "hint and padding": {"attn_mask": CAUSAL, "is_causal": True, "key_padding_mask": PADDING},
    "each head": {"attn_mask": EACH},
    "each head and padding": {"attn_mask": EACH, "key_padding_mask": PADDING},
    "numbers": {"attn_mask": draw(5, 7, seed=5)},
    "numbers for heads": {"attn_mask": draw(2 * HEADS, 5, 7, seed=6).masked_fill(EACH, -torch.inf)},
    "hiding numbers": {"attn_mask": torch.zeros(5, 7).double().masked_fill(CAUSAL, -torch.inf)},
    "numbers twice": {
        "attn_mask": draw(5, 7, seed=5),
        "key_padding_mask": draw(2, 7, seed=7).masked_fill(PADDING, -torch.inf),
    },
}


def make(**settings):
    module = nn.MultiheadAttention(WIDTH, HEADS, **{"batch_first": True, **settings}).double()
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * 0.4)
    return module


@torch.no_grad()
def separate(module, **changes):
    return ADAPTER.write(module, ADAPTER.read(module).with_(**changes))


def same(actual, want):
    assert_close(actual, want, roundings=4 * BAND, largest=want.abs().max().item())


@pytest.mark.parametrize("needed", ["no", "mean", "each"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "settings",
    [{}, {"batch_first": False}, {"bias": False}, {"kdim": 10, "vdim": 10}],
    ids=lambda settings: "-".join(settings) or "plain",
)
def test_gives_what_torch_gives(settings, mask, needed):
    module = make(**settings)
    inputs = [draw(2, 5, WIDTH), draw(2, 7, module.kdim, seed=2), draw(2, 7, module.vdim, seed=3)]
    if not module.batch_first:
        inputs = [x.transpose(0, 1) for x in inputs]
    asked = {"need_weights": needed != "no", "average_attn_weights": needed == "mean"}
    for training in (True, False):
        module.train(training)
        want, shown = module(*inputs, **MASKS[mask], **asked)
        actual, weights = separate(module)(*inputs, **MASKS[mask], **asked)
        same(actual, want)
        assert (weights is None) == (shown is None)
        if shown is not None:
            same(weights, shown)


@pytest.mark.parametrize("mask", ["none", "padding", "each head", "numbers twice"])
def test_one_text_without_a_batch(mask):
    module = make(batch_first=False)
    rows = {"key_padding_mask": 1, "attn_mask": slice(HEADS, None)}
    given = {
        name: value if value.shape == (5, 7) else value[rows[name]]
        for name, value in MASKS[mask].items()
    }
    inputs = draw(5, WIDTH), draw(7, WIDTH, seed=2), draw(7, WIDTH, seed=3)
    for average in (True, False):
        want, shown = module(*inputs, **given, average_attn_weights=average)
        actual, weights = separate(module)(*inputs, **given, average_attn_weights=average)
        same(actual, want)
        same(weights, shown)


@pytest.mark.parametrize("needed", [True, False])
def test_self_attention_in_evaluation_is_torchs_fused_one(needed):
    module, x = make().eval(), draw(2, 7, WIDTH)
    with torch.no_grad():
        want, shown = module(x, x, x, key_padding_mask=PADDING, need_weights=needed)
        actual, weights = separate(module)(x, x, x, key_padding_mask=PADDING, need_weights=needed)
    same(actual, want)
    if needed:
        same(weights, shown)


def test_the_same_seed_drops_the_same_weights():
    module = make(dropout=0.5)
    stand_in = separate(module)
    x, context = draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2)
    torch.manual_seed(3)
    want, shown = module(x, context, context, average_attn_weights=False)
    torch.manual_seed(3)
    actual, weights = stand_in(x, context, context, average_attn_weights=False)
    assert (shown == 0).any()
    same(weights, shown)
    same(actual, want)


def test_a_query_that_sees_nothing_gives_the_bias_and_no_gradient():
    module, x = make(), draw(2, 7, WIDTH).requires_grad_()
    stand_in = separate(module)
    output, _ = stand_in(x, x, x, key_padding_mask=torch.ones(2, 7).bool(), need_weights=False)
    assert torch.equal(output, stand_in.out_proj.bias.expand(2, 7, WIDTH))
    output.sum().backward()
    assert x.grad.abs().max() == 0


def test_gradients_are_torchs():
    module = make()
    stand_in, mask = separate(module), torch.zeros(5, 7).double()
    gradients = []
    for attention in (module, stand_in):
        x, added = draw(2, 5, WIDTH).requires_grad_(), mask.clone().requires_grad_()
        context = draw(2, 7, WIDTH, seed=2).requires_grad_()
        attention(x, context, context, attn_mask=added, need_weights=False)[
            0
        ].square().sum().backward()
        gradients.append((x.grad, context.grad, added.grad))
    for actual, want in zip(gradients[1], gradients[0], strict=True):
        assert want.abs().max() > 0
        assert_close(actual, want, roundings=100 * BAND, largest=want.abs().max().item())


@pytest.mark.parametrize("rows", ["original", "left"])
def test_masks_of_every_head_follow_the_heads_that_are_left(rows):
    module, kept = make(), (3, 1)
    projections = ADAPTER.read(module)
    fields = ("query", "key", "value", "out", "query_bias", "key_bias", "value_bias")
    changes = {name: getattr(projections, name)[list(kept)] for name in fields}
    stand_in = separate(module, **changes, origin=kept)
    again = ADAPTER.write(stand_in, ADAPTER.read(stand_in))
    inputs = draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2), draw(2, 7, WIDTH, seed=3)
    mask = MASKS["numbers for heads"]["attn_mask"]
    with torch.no_grad():
        for head in {0, 1, 2, 3} - set(kept):
            module.out_proj.weight[:, head * DIM : (head + 1) * DIM] = 0
    want, shown = module(*inputs, attn_mask=mask, average_attn_weights=False)
    if rows == "left":
        mask = mask.unflatten(0, (2, HEADS))[:, list(kept)].flatten(0, 1)
    for attention in (stand_in, again):
        assert attention.num_heads == 2
        actual, weights = attention(*inputs, attn_mask=mask, average_attn_weights=False)
        same(actual, want)
        same(weights, shown[:, list(kept)])


# ---- nested texts


@pytest.mark.filterwarnings(NESTED)
def test_every_nested_text_looks_at_itself():
    stand_in = separate(make())
    texts = [draw(3, WIDTH), draw(5, WIDTH, seed=2), draw(1, WIDTH, seed=3)]
    nested = torch.nested.as_nested_tensor(texts)
    rows = []
    stand_in.out_proj.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    output, weights = stand_in(nested, nested, nested, need_weights=False)
    assert weights is None
    assert rows == [9]  # padding was not even projected
    for actual, text in zip(output.unbind(), texts, strict=True):
        same(actual, stand_in(text, text, text)[0])


@pytest.mark.filterwarnings(NESTED)
@pytest.mark.parametrize("what", ["weights", "padding", "pairs", "key", "value"])
def test_nested_texts_take_nothing_else(what):
    stand_in = separate(make())
    x, other = (torch.nested.nested_tensor([draw(3, WIDTH), draw(5, WIDTH)]) for _ in range(2))
    given = {"need_weights": what == "weights"}
    if what == "padding":
        given["key_padding_mask"] = torch.zeros(2, 5).bool()
    if what == "pairs":
        given["attn_mask"] = torch.zeros(5, 5).bool()
    key, value = other if what == "key" else x, other if what == "value" else x
    with pytest.raises(UnsupportedError, match="nested queries must look at themselves without"):
        stand_in(x, key, value, **given)


# ---- no heads, other mixing


@pytest.mark.filterwarnings(NESTED)
def test_without_heads_it_is_a_constant_and_looks_at_nothing():
    core = Constant(WIDTH).double()
    core.vector.data = draw(WIDTH)
    nothing = SeparableMultihead(core, width=WIDTH, batch_first=True, origin=(), original_heads=4)
    x, context = draw(2, 5, WIDTH), torch.full((2, 7, WIDTH), torch.nan, dtype=torch.float64)
    output, weights = nothing(x, context, context, attn_mask=EACH, key_padding_mask=PADDING)
    assert weights is None
    assert torch.equal(output, core.vector.expand(2, 5, WIDTH))
    assert torch.equal(nothing(x[0], x[0], x[0])[0], core.vector.expand(5, WIDTH))
    texts = torch.nested.nested_tensor([x[0], x[1, :3]])
    output, _ = nothing(texts, texts, texts, need_weights=False)
    assert [tuple(text.shape) for text in output.unbind()] == [(5, WIDTH), (3, WIDTH)]
    assert torch.equal(output.unbind()[1], core.vector.expand(3, WIDTH))
    assert nothing.num_heads == 0
    assert list(nothing.state_dict()) == ["core.vector"]


@torch.no_grad()
def test_a_mechanism_gets_what_hides():
    module, x = make(), draw(2, 7, WIDTH)
    window = separate(module, mixing=Mixing(name="window", settings={"window": 2, "ahead": 1}))
    hidden = ~Mask.window(2, ahead=1).to_bool(7, 7)[0, 0]
    want, shown = module(x, x, x, attn_mask=hidden, key_padding_mask=HOLES)
    none = torch.zeros(7, 7).double()
    actual, weights = window(x, x, x, attn_mask=none, key_padding_mask=HOLES)
    rows = ~shown.isnan().any(-1)  # torch gives NaN where nothing is seen
    assert rows.sum() >= 12
    same(actual[rows], want[rows])
    same(weights[rows], shown[rows])
    with pytest.raises(UnsupportedError, match="a mask must only hide where Window mixes"):
        window(x, x, x, attn_mask=none + 1)


# ---- what torch asks


def test_has_what_torch_reads_and_a_reason_to_leave_the_fast_path():
    stand_in = separate(make(dropout=0.25))
    assert stand_in.embed_dim == WIDTH
    assert stand_in.num_heads == HEADS
    assert stand_in.dropout == 0.25
    assert not stand_in._qkv_same_embed_dim
    assert stand_in.bias_k is stand_in.bias_v is None
    assert not stand_in.add_zero_attn
    assert stand_in.in_proj_weight is stand_in.out_proj.weight
    assert stand_in.in_proj_bias is stand_in.out_proj.bias
    assert stand_in.out_proj.weight.shape == (WIDTH, WIDTH)


@pytest.mark.parametrize("mask", ["none", "padding", "pairs", "hiding numbers", "numbers"])
def test_compiles_into_one_graph(mask):
    stand_in = separate(make())
    inputs = draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2), draw(2, 7, WIDTH, seed=3)
    compiled = torch.compile(stand_in, backend="eager", fullgraph=True)
    want, _ = stand_in(*inputs, **MASKS[mask], need_weights=False)
    same(compiled(*inputs, **MASKS[mask], need_weights=False)[0], want)


# ---- what it refuses


@pytest.mark.parametrize(
    "shapes",
    [((2, 5, 12), (2, 7, 12), (7, 12)), ((5, 12), (2, 7, 12), (2, 7, 12)), ((1, 2, 5, 12),) * 3],
    ids=["value", "query", "four axes"],
)
def test_rejects_axes_that_do_not_fit(shapes):
    got = ", ".join(map(str, shapes))
    message = f"query, key and value must all be 2-D or all be 3-D, got {got}"
    with pytest.raises(ShapeError, match=re.escape(message)):
        separate(make())(*(draw(*shape) for shape in shapes))


@pytest.mark.parametrize(
    "given, message",
    [
        (
            {"attn_mask": EACH[:6]},
            "attn_mask must be 2-D, or 3-D with 4 rows for each of 2 texts, "
            "got a tensor of shape (6, 5, 7)",
        ),
        (
            {"attn_mask": EACH[None]},
            "attn_mask must be 2-D, or 3-D with 4 rows for each of 2 texts, "
            "got a tensor of shape (1, 8, 5, 7)",
        ),
        (
            {"key_padding_mask": PADDING[:1]},
            "key_padding_mask must have one row for each of 2 texts, got a tensor of shape (1, 7)",
        ),
        (
            {"key_padding_mask": PADDING[0]},
            "key_padding_mask must have one row for each of 2 texts, got a tensor of shape (7,)",
        ),
    ],
)
def test_rejects_masks_that_do_not_fit(given, message):
    x, context = draw(2, 5, WIDTH), draw(2, 7, WIDTH)
    with pytest.raises(ShapeError, match=re.escape(message)):
        separate(make())(x, context, context, **given)


def test_rejects_a_hint_without_a_mask():
    x = draw(2, 5, WIDTH)
    with pytest.raises(ConfigError, match="attn_mask must be given with is_causal, got None"):
        separate(make())(x, x, x, is_causal=True)
