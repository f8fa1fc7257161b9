"""The map of torch's attention is the one it computed, also in its fused layers."""

import pytest
import torch
from torch import nn

from heedful.probing.probe import probe
from heedful.testing import tolerance

BAND = {"roundings": tolerance.roundings(torch.float32, 24, 6, 9), "largest": 1.0}
PADDING = torch.arange(7) >= torch.tensor([7, 4])[:, None]
CAUSAL = torch.ones(5, 7).triu(1).bool()
DRAW = torch.Generator().manual_seed(4)
EACH = torch.rand(8, 5, 7, generator=DRAW) > 0.6
EACH[..., 0] = False


def tensor(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make(**settings):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(24, 4, batch_first=settings.pop("batch_first", True), **settings)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.eval()


MASKS = {
    "none": {},
    "padding": {"key_padding_mask": PADDING},
    "bool": {"attn_mask": CAUSAL},
    "hint": {"attn_mask": CAUSAL, "is_causal": True},
    "each head": {"attn_mask": EACH, "key_padding_mask": PADDING},
    "float": {"attn_mask": tensor(5, 7, seed=5)},
    "float padding": {"key_padding_mask": torch.zeros(2, 7).masked_fill(PADDING, -torch.inf)},
}


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch_first": False},
        {"kdim": 10, "vdim": 12, "bias": False},
        {"add_bias_kv": True},
        {"add_zero_attn": True},
    ],
    ids=lambda settings: "-".join(settings) or "plain",
)
def test_map_is_what_the_module_returns(settings, mask, needed):
    module = make(**settings)
    inputs = [
        tensor(2, 5, 24),
        tensor(2, 7, module.kdim, seed=1),
        tensor(2, 7, module.vdim, seed=2),
    ]
    if not module.batch_first:
        inputs = [x.transpose(0, 1) for x in inputs]
    want, _ = module(*inputs, **MASKS[mask], need_weights=needed)
    given = {**MASKS[mask], "is_causal": False}
    _, weights = module(*inputs, **given, need_weights=True, average_attn_weights=False)
    if mask == "hint" and not needed and weights.shape[3] > 7:
        # a trap of torch: its causal switch also hides the keys that it added behind the others
        weights = weights[..., :7] / weights[..., :7].sum(-1, keepdim=True)
        weights = nn.functional.pad(weights, (0, 1))
    with probe(module) as p:
        actual, _ = module(*inputs, **MASKS[mask], need_weights=needed)
    assert torch.equal(actual, want)
    tolerance.assert_close(p.maps(""), weights.double(), **BAND)
    assert p.fidelity()[""].error < 1e-5


def test_heads_and_rows_of_one_text_without_batch():
    module, x = make(), tensor(6, 24)
    _, weights = module(x, x, x, average_attn_weights=False)
    with probe(module, heads=[3, 0], rows=slice(1, 6, 2)) as p:
        module(x, x, x)
    tolerance.assert_close(p.maps(""), weights[None, [3, 0], 1:6:2].double(), **BAND)
    assert p.fidelity()[""].error < 1e-6


@pytest.mark.parametrize("needed", [True, False])
def test_a_row_that_sees_nothing_is_0_and_is_left_out(needed):
    module, x = make(), tensor(2, 7, 24)
    drop = torch.ones(2, 7).bool() & (torch.arange(2) == 1)[:, None]
    with probe(module) as p:
        module(x, x + 0, x + 0, key_padding_mask=drop, need_weights=needed)
    assert not p.maps("")[1].any()
    assert p.statistics()[""].empty_rows.tolist() == [7] * 4
    assert p.fidelity()[""].error < 1e-6


@pytest.mark.parametrize("mask", ["src_key_padding_mask", "src_mask"])
def test_fused_rows_that_see_nothing(mask):
    made, x = layer(), tensor(2, 5, 24)
    drop = {
        "src_key_padding_mask": torch.tensor([[False] * 5, [True] * 5]),
        "src_mask": torch.eye(5).bool()[[3]].T.expand(5, 5),
    }[mask]
    with torch.no_grad(), probe(made) as p:
        made(x, **{mask: drop})
    blind = (slice(1, None),) if mask == "src_key_padding_mask" else (slice(None), slice(None), 3)
    assert not p.maps("self_attn")[blind].any()
    assert sum(p.statistics()["self_attn"].empty_rows) == (20 if len(blind) == 1 else 8)
    assert p.fidelity()["self_attn"].error < 1e-5


# ---- the fused layers ----------------------------------------------------------------------------


def layer(**settings):
    torch.manual_seed(0)
    made = nn.TransformerEncoderLayer(24, 4, 32, batch_first=True, **settings).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def slow_weights(made, x, **masks):
    """From torch's path that is not fused."""
    attended = made.norm1(x) if made.norm_first else x
    return made.self_attn(
        attended, attended + 0, attended + 0, average_attn_weights=False, **masks
    )[1]


@pytest.fixture
def fused(monkeypatch):
    """Count how often the fused layer runs."""
    count = []
    plain = torch._transformer_encoder_layer_fwd
    monkeypatch.setattr(
        torch, "_transformer_encoder_layer_fwd", lambda *x: count.append(1) or plain(*x)
    )
    return count


LAYER_MASKS = {
    "none": ({}, {}),
    "bool": ({"src_mask": CAUSAL[:, :5]}, {"attn_mask": CAUSAL[:, :5]}),
    "padding": (
        {"src_key_padding_mask": PADDING[:, :5]},
        {"key_padding_mask": PADDING[:, :5]},
    ),
    "both": (
        {"src_mask": CAUSAL[:, :5], "src_key_padding_mask": PADDING[:, :5]},
        {"attn_mask": CAUSAL[:, :5], "key_padding_mask": PADDING[:, :5]},
    ),
    # a trap of torch: what is added there is only asked whether it is 0, where it drops nothing
    "float": ({"src_mask": CAUSAL[:, :5] * 1.0}, {"attn_mask": CAUSAL[:, :5]}),
}


@pytest.mark.parametrize("mask", LAYER_MASKS)
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_fused_layer_stays_fused_and_is_heard(fused, mask, norm_first, activation):
    made, x = layer(norm_first=norm_first, activation=activation), tensor(2, 5, 24)
    given, meant = LAYER_MASKS[mask]
    with torch.no_grad():
        want = made(x, **given)
        with probe(made, rows=[4, 1, 2]) as p:
            assert torch.equal(made(x, **given), want)
    assert len(fused) == 2
    tolerance.assert_close(
        p.maps("self_attn"), slow_weights(made, x, **meant)[:, :, [4, 1, 2]].double(), **BAND
    )
    assert p.fidelity()["self_attn"].compared == "the layer's output"
    assert p.fidelity()["self_attn"].error < 1e-5


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_texts_of_an_encoder(fused):
    encoder = nn.TransformerEncoder(layer(), 2).eval()
    x = tensor(3, 8, 24)
    padding = torch.arange(8) >= torch.tensor([4, 6, 1])[:, None]
    with torch.no_grad():
        want = encoder(x, src_key_padding_mask=padding)
        with probe(encoder) as p:
            assert torch.equal(encoder(x, src_key_padding_mask=padding), want)
    assert len(fused) == 4
    assert p.sites == ["layers.0.self_attn", "layers.1.self_attn"]
    actual = p.maps("layers.0.self_attn")
    assert actual.shape == (3, 4, 6, 6)  # the longest text has 6
    weights = slow_weights(encoder.layers[0], x, key_padding_mask=padding)
    present = ~padding[:, None, :6, None]
    tolerance.assert_close(actual, (weights[:, :, :6, :6] * present).double(), **BAND)
    assert p.statistics()["layers.0.self_attn"].empty_rows.tolist() == [7] * 4
    assert max(x.error for x in p.fidelity().values()) < 1e-5


def test_slow_layer_is_heard_once():
    made, x = layer().train(), tensor(2, 5, 24)
    made.dropout1.p = made.dropout2.p = made.dropout.p = made.self_attn.dropout = 0.0
    want = made(x)
    with probe(made) as p:
        assert torch.equal(made(x), want)
    assert len(p.calls("self_attn")) == 1
    assert p.fidelity()["self_attn"].compared == "the module's output"
    tolerance.assert_close(p.maps("self_attn"), slow_weights(made, x).double(), **BAND)


def test_decoder_layers_have_two_sites():
    torch.manual_seed(0)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(24, 4, 32, batch_first=True), 2)
    decoder.eval()
    x, memory = tensor(2, 5, 24), tensor(2, 7, 24, seed=1)
    given = {"tgt_mask": CAUSAL[:, :5], "memory_key_padding_mask": PADDING, "tgt_is_causal": True}
    for gradient in (True, False):
        with torch.set_grad_enabled(gradient):
            want = decoder(x, memory, **given)
            with probe(decoder, sites="*.multihead_attn") as p:
                assert torch.equal(decoder(x, memory, **given), want)
        assert p.sites == ["layers.0.multihead_attn", "layers.1.multihead_attn"]
        assert not p.maps(p.sites[1])[1, ..., 4:].any()
        with probe(decoder) as p:
            decoder(x, memory, **given)
        assert len(p.sites) == 4
        assert max(x.error for x in p.fidelity().values()) < 1e-5


def test_a_text_is_its_own_also_where_it_is_made_twice():
    module, x = nn.MultiheadAttention(24, 4, batch_first=True), tensor(2, 5, 24)
    with probe(module) as p:
        for key in (x, x.clone(), x + 1):
            module(x, key, key)
    told = [p.statistics(call=call)[""].distance.isfinite().all().item() for call in range(3)]
    assert told == [True, True, False]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_call_of_the_attention_alone_is_named():
    module = make()
    nested = torch.nested.nested_tensor([tensor(3, 24), tensor(5, 24)])
    with torch.no_grad(), probe(module) as p:
        module(nested, nested, nested, need_weights=False)
    assert "must not be nested tensors" in p.unobservable[""]
    assert p.sites == []
    assert p.fidelity() == p.statistics() == {}


def test_a_subclass_with_its_own_forward_is_not_claimed():
    class Mine(nn.MultiheadAttention):
        def forward(self, x):
            return x

    with probe(nn.Sequential(Mine(24, 4), make())) as p:
        pass
    assert p.unobservable["0"] == "Mine is attention that no adapter knows"


def test_mixed_precision():
    module, x = make(), tensor(2, 5, 24)
    for gradient in (True, False):
        with torch.set_grad_enabled(gradient), torch.autocast("cpu", dtype=torch.bfloat16):
            want = module(x, x, x)[0]
            with probe(module) as p:
                assert torch.equal(module(x, x, x)[0], want)
            weights = p.maps("")
        assert weights.dtype == torch.float32
        assert p.fidelity()[""].error < 8 * torch.finfo(torch.bfloat16).eps
