"""Gradients by weights are those of autograd through attention that stores its weights."""

import math
from contextlib import ExitStack
from functools import partial

import pytest
import torch
from torch import nn

from heedful.errors import ConfigError, UnsupportedError
from heedful.mask import Mask
from heedful.nn.aligners import ALIGNERS, aligner
from heedful.nn.attention import Attention
from heedful.nn.co.cross_modal import CrossAttention
from heedful.nn.mechanisms import (
    Differential,
    Entmax,
    Scalable,
    Sigmoid,
    Sink,
    TalkingHeads,
    TopK,
)
from heedful.nn.pooling import AttentionPooling
from heedful.nn.vision import NonLocal, Sagan
from heedful.nn.vision._image import weigh_pixels
from heedful.probing.gradients import WeightGradients
from heedful.probing.probe import probe
from heedful.probing.replace import replaced

MASKS = {
    "none": None,
    "causal": Mask.causal(),
    "lengths": Mask.lengths(torch.tensor([7, 4])),
    "both": Mask.causal() & Mask.lengths(torch.tensor([7, 4])),
}
MECHANISMS = {
    "entmax": Entmax,
    "sigmoid": Sigmoid,
    "sink": Sink,
    "differential": Differential,
    "talking_heads": TalkingHeads,
    "scalable": Scalable,
    "top_k": partial(TopK, kept=3),
}


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def initialised(module, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator).double())
    return module.eval()


def worth(output):
    """A number that nothing is linear in."""
    return (output.tanh() * draw(*output.shape, seed=9)).sum()


def shared(value, heads):
    return value.repeat_interleave(heads // value.shape[1], dim=1)


def softmax_of(query, key, mask=None, bias=None):
    scores = query @ shared(key, query.shape[1]).mT / math.sqrt(query.shape[3])
    scores = scores if bias is None else scores + bias
    size = {"batch": len(query), "queries": query.shape[2], "keys": key.shape[2]}
    if mask is not None:
        scores = scores.masked_fill(~mask.to_bool(heads=query.shape[1], **size), -torch.inf)
    return scores.softmax(-1)


def stored(module, kept):
    """A `mix` that stores its weights, so that autograd knows them."""

    def mix(query, key, value, mask, bias=None):
        mechanism = getattr(module, "mechanism", None)
        if mechanism is None:
            weights = softmax_of(query, key, mask, bias)
        else:
            weights = mechanism.weights(query, key, mask=mask)
        weights.retain_grad()
        kept.append(weights)
        mixed = weights @ shared(value, query.shape[1])
        return mixed if mechanism is None else mechanism.finish(mixed)

    return mix


def by_autograd(module, sites, run):
    kept: dict[str, list] = {name: [] for name in sites}
    with ExitStack() as stack:
        for name in sites:
            site = module.get_submodule(name)
            stack.enter_context(replaced(site, "mix", stored(site, kept[name])))
        worth(run(module)).backward()
    module.zero_grad()
    return {name: [weights.grad for weights in found] for name, found in kept.items()}


def found_by(module, run):
    """Gradients of all calls of all sites."""
    with probe(module, gradients=True) as p:
        worth(run(module)).backward()
    module.zero_grad()
    assert not p.unobservable
    return {
        site: [WeightGradients(call).at(slice(None)) for call in p.calls(site)] for site in p.sites
    }


def same(found, expected):
    assert found.keys() == expected.keys()
    for site in found:
        assert len(found[site]) == len(expected[site])
        for ours, theirs in zip(found[site], expected[site], strict=True):
            assert theirs.abs().max() > 1e-3
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


class Two(nn.Module):
    """Two layers, so that the second one passes on what the first one's weights are worth."""

    def __init__(self, **settings):
        super().__init__()
        self.first = Attention(width=24, heads=4, **settings)
        self.second = Attention(width=24, heads=4, **settings)

    def forward(self, x, mask=None):
        x = x + self.first(x, mask=mask)
        return x + self.second(x, mask=mask).relu()


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attention_of_two_layers(kv_heads, mask):
    model = initialised(Two(kv_heads=kv_heads, value_dim=5))

    def run(model):
        return model(draw(2, 7, 24), MASKS[mask])

    same(found_by(model, run), by_autograd(model, ["first", "second"], run))


@pytest.mark.parametrize("name", MECHANISMS)
def test_mechanisms(name):
    torch.manual_seed(0)
    mechanism = MECHANISMS[name](heads=4, dim=6)
    model = initialised(Attention(width=24, heads=4, mechanism=mechanism))

    def run(model):
        return model(draw(2, 7, 24), mask=MASKS["lengths"])

    same(found_by(model, run), by_autograd(model, [""], run))


@pytest.mark.parametrize(
    "make",
    [
        partial(AttentionPooling, width=24, heads=3, queries=2),
        partial(AttentionPooling, width=24, heads=1, squash=True),
    ],
)
def test_pooling(make):
    model = initialised(make())

    def run(model):
        return model(draw(2, 7, 24), mask=MASKS["lengths"])

    same(found_by(model, run), by_autograd(model, [""], run))


def test_attention_to_another_stream():
    model = initialised(CrossAttention(8, 10, heads=3, dim=4, dropout=0.0))

    def run(model):
        return model(draw(2, 5, 8), draw(2, 7, 10, seed=1), mask=MASKS["lengths"])

    same(found_by(model, run), by_autograd(model, [""], run))


@pytest.mark.parametrize("make", [partial(Sagan, channels=8), partial(NonLocal, channels=8)])
def test_pixels(make):
    torch.manual_seed(0)
    model, kept = initialised(make()), []

    def mix(query, key, value, mask):
        weights = weigh_pixels(query, key, mask)
        weights.retain_grad()
        kept.append(weights)
        return weights @ value

    def run(model):
        return model(draw(2, 8, 4, 3))

    with replaced(model, "mix", mix):
        worth(run(model)).backward()
    same(found_by(model, run), {"": [kept[0].grad[:, None]]})


@pytest.mark.parametrize("name", ALIGNERS)
def test_what_aligners_return(name):
    module = initialised(aligner(name, query_width=4, key_width=8, hidden=7))
    queries, keys = 1 if module.stepwise else 3, draw(2, 5, 8, seed=1)

    def run(module, kept=None):
        weights = module(
            draw(2, queries, 4), module.prepare(keys), mask=Mask.lengths(torch.tensor([5, 3]))
        )
        if kept is not None:
            weights.retain_grad()
            kept.append(weights)
        return weights @ keys

    kept = []
    worth(run(module, kept)).backward()
    same(found_by(module, run), {"": [kept[0].grad[:, None]]})


def explicit_torch(module, inputs, *, padding=None, mask=None):
    """What `nn.MultiheadAttention` computes, from its parameters, and its weights."""
    query, key, value = (
        nn.functional.linear(x, weight, bias)
        for x, weight, bias in zip(
            inputs, module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3), strict=True
        )
    )
    if module.bias_k is not None:
        key = torch.cat([key, module.bias_k.expand(len(key), -1, -1)], 1)
        value = torch.cat([value, module.bias_v.expand(len(value), -1, -1)], 1)
    heads = module.num_heads
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    scores = query @ key.mT / math.sqrt(query.shape[3])
    for hidden in (padding if padding is None else padding[:, None, None], mask):
        if hidden is not None:
            hidden = nn.functional.pad(hidden, (0, key.shape[2] - hidden.shape[-1]))
            scores = scores.masked_fill(hidden, -torch.inf)
    weights = scores.softmax(-1)
    weights.retain_grad()
    return module.out_proj((weights @ value).transpose(1, 2).flatten(2)), weights


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("settings", [{}, {"batch_first": False}, {"add_bias_kv": True}])
def test_attention_of_torch(settings, batched, needed):
    first = settings.get("batch_first", True)
    model = initialised(nn.MultiheadAttention(24, 4, **{"batch_first": True, **settings}))
    batch = 2 if batched else 1
    query, key = draw(batch, 5, 24), draw(batch, 7, 24, seed=1)
    padding = torch.arange(7) >= torch.tensor([7, 4])[:batch, None]
    mask = torch.ones(5, 7).triu(2).bool()

    def laid(x):
        return x if first else x.transpose(0, 1)

    def run(model):
        given = (laid(query), laid(key), laid(key)) if batched else (query[0], key[0], key[0])
        there = padding if batched else padding[0]
        found = model(*given, key_padding_mask=there, attn_mask=mask, need_weights=needed)[0]
        return laid(found) if batched else found[None]

    output, weights = explicit_torch(model, (query, key, key), padding=padding, mask=mask)
    torch.testing.assert_close(output, run(model))
    worth(output).backward()
    model.zero_grad()
    same(found_by(model, run), {"": [weights.grad]})


@pytest.mark.parametrize("before", [True, False])
def test_layers_of_torch(before):
    layer = nn.TransformerEncoderLayer(24, 4, 32, batch_first=True, norm_first=before)
    model = initialised(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    kept = {}

    def attend(module, name, *inputs, **_):
        output, kept[name] = explicit_torch(module, inputs, padding=padding)
        return output, None

    padding = torch.arange(7) >= torch.tensor([7, 4])[:, None]

    def run(model):
        return model(draw(2, 7, 24), src_key_padding_mask=padding)

    names = [f"layers.{number}.self_attn" for number in range(2)]
    found = found_by(model, run)
    for name in names:
        module = model.get_submodule(name)
        module.forward = partial(attend, module, name)
    worth(run(model)).backward()
    same(found, {name: [kept[name].grad] for name in names})


def foreign(name, implementation):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    small = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "vocab_size": 64,
        "attn_implementation": implementation,
    }
    if name == "bert":
        return transformers.BertModel(transformers.BertConfig(**small))
    config = transformers.LlamaConfig(**small, num_key_value_heads=2, use_cache=False)
    return transformers.LlamaModel(config)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["bert", "llama"])
def test_models_of_transformers(name, implementation):
    model, explicit = (initialised(foreign(name, how)) for how in (implementation, "eager"))
    numbers = torch.arange(14).view(2, 7)
    there = torch.ones(2, 7, dtype=torch.long)
    there[1, 4:] = 0

    def run(model):
        return model(numbers, attention_mask=there).last_hidden_state * there[..., None]

    every = explicit(numbers, attention_mask=there, output_attentions=True)
    for weights in every.attentions:
        weights.retain_grad()
    worth(every.last_hidden_state * there[..., None]).backward()
    found = found_by(model, run)
    # llama takes the softmax, and both of its rotations, in float32 whatever the model is
    band = {"rtol": 1e-9, "atol": 1e-11} if name == "bert" else {"rtol": 1e-4, "atol": 1e-6}
    for (ours,), weights in zip(found.values(), every.attentions, strict=True):
        torch.testing.assert_close(ours, weights.grad.to(ours), **band)


def test_some_rows_and_none_that_anything_depends_on():
    model = initialised(Two(kv_heads=2))
    with probe(model, gradients=True) as p:
        worth(model(draw(2, 7, 24))).backward()
    slopes = WeightGradients(p.calls("first")[0])
    assert torch.equal(slopes.at([5, 1]), slopes.at(slice(None))[:, :, [5, 1]])
    with probe(model, gradients=True) as p:
        model(draw(2, 7, 24))
    nothing = WeightGradients(p.calls("first")[0])
    assert nothing.at([3, 0, 1]).tolist() == torch.zeros(2, 4, 3, 7).tolist()
    assert nothing.at(slice(2, None)).shape == (2, 4, 5, 7)


def test_gradients_of_two_backward_passes_add_up():
    model = initialised(Two(kv_heads=2))
    with probe(model, gradients=True) as p:
        output = model(draw(2, 7, 24))
        worth(output).backward(retain_graph=True)
        once = WeightGradients(p.calls("first")[0]).at(slice(None))
        worth(output).backward()
    torch.testing.assert_close(WeightGradients(p.calls("first")[0]).at(slice(None)), 2 * once)


def test_half_precision_is_computed_in_float32():
    model = initialised(Two(kv_heads=2)).bfloat16()
    with probe(model, gradients=True) as p:
        model(draw(2, 7, 24, dtype=torch.bfloat16)).float().sum().backward()
    assert WeightGradients(p.calls("second")[0]).at([0]).dtype == torch.float32


@pytest.mark.parametrize("chosen", [{"heads": [0, 2]}, {"rows": [1]}])
def test_rejects_a_part_of_a_call(chosen):
    model = initialised(nn.MultiheadAttention(24, 4, batch_first=True))
    with probe(model, gradients=True, **chosen) as p:
        worth(model(*[draw(2, 7, 24)] * 3)[0]).backward()
    with pytest.raises(ConfigError, match="of all heads and rows, got some of them"):
        WeightGradients(p.calls("")[0])


def test_rejects_dropout():
    model = initialised(Attention(width=24, heads=4, dropout=0.5)).train()
    with probe(model, gradients=True) as p:
        worth(model(draw(2, 7, 24))).backward()
    with pytest.raises(UnsupportedError, match="of an exact map, got: dropout was active"):
        WeightGradients(p.calls("")[0])
