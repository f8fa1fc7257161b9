"""The attention module: projections and heads around the op, caches, and what positions touch."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention, KeyValueCache, RelativePositions, RotaryPositions
from heedful.nn.mechanisms import Entmax
from heedful.testing import oracle
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings

WIDTH = 12


def draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def build(*, dtype=torch.float64, **settings):
    """An attention in which every number is random, biases and tables too."""
    attention = Attention(**{"width": WIDTH, "heads": 4, **settings})
    for seed, parameter in enumerate(attention.parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * WIDTH**-0.5)
    return attention.to(dtype)


def expected(attention, x, context, sees):
    """The paper's formulas in numpy: weights, output, and how large a number can get on the way."""
    x, context = (tensor.double().numpy() for tensor in (x, context))
    names = dict(attention.named_parameters())
    weight = {name: parameter.detach().double().numpy() for name, parameter in names.items()}

    def heads(name, source, count):
        flat = source @ weight[f"{name}.weight"].T + weight[f"{name}.bias"]
        return flat.reshape(*flat.shape[:2], count, -1).transpose(0, 2, 1, 3)

    query = heads("query", x, attention.heads)
    key, value = (heads(name, context, attention.kv_heads) for name in ("key", "value"))
    weights, mixed = oracle.scaled_dot(query, key, value, sees)
    flat = mixed.transpose(0, 2, 1, 3).reshape(*x.shape[:2], -1)
    output = flat @ weight["out.weight"].T + weight["out.bias"]
    largest = abs(value).max() * abs(weight["out.weight"]).sum(1).max()
    return torch.from_numpy(weights), torch.from_numpy(output), largest


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["none", "causal", "lengths", "empty_text", "window", "both"])
@pytest.mark.parametrize(
    "kv_heads, dim, value_dim",
    [(4, None, None), (2, None, None), (1, 5, None), (2, 5, 6), (4, None, 1)],
    ids=["all", "grouped", "one", "wider values", "narrow values"],
)
@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
def test_matches_float64_oracle(cross, kv_heads, dim, value_dim, kind, dtype):
    attention = build(kv_heads=kv_heads, dim=dim, value_dim=value_dim, dtype=dtype)
    sizes = Sizes(queries=5 if cross else 7)
    x = draw(sizes.batch, sizes.queries, WIDTH, dtype=dtype)
    context = draw(sizes.batch, sizes.keys, WIDTH, dtype=dtype, seed=2) if cross else x
    mask, sees = MASKS[kind](sizes)
    weights, output, largest = expected(attention, x, context, sees)
    # beyond the op: query, key, value and output are rounded once each, and are sums
    summed = (WIDTH, WIDTH, attention.dim, sizes.keys, 4 * attention.value_dim)
    limit = 4 + roundings(dtype, *summed)
    given = context if cross else None
    with torch.no_grad():
        actual = attention(x, given, mask=mask)
        shown = attention.weights(x, given, mask=mask)
    assert actual.dtype == dtype
    assert_close(actual, output, roundings=limit, largest=largest)
    assert_close(shown, weights, roundings=limit, largest=1.0)


def test_values_are_as_wide_as_heads_unless_told():
    assert (build().dim, build().value_dim) == (3, 3)
    attention = build(dim=5)
    assert (attention.dim, attention.value_dim) == (5, 5)
    attention = build(dim=5, value_dim=6, kv_heads=2)
    shapes = {name: tuple(x.shape) for name, x in attention.named_parameters() if "weight" in name}
    assert shapes == {
        "query.weight": (4 * 5, WIDTH),
        "key.weight": (2 * 5, WIDTH),
        "value.weight": (2 * 6, WIDTH),
        "out.weight": (WIDTH, 4 * 6),
    }


def test_values_of_another_size_go_through_caches_and_gates():
    attention, cache, x = build(value_dim=5, kv_heads=2), KeyValueCache(), draw(2, 7, WIDTH)
    with torch.no_grad():
        pieces = [attention(part, mask=Mask.causal(), cache=cache) for part in x.split([3, 4], 1)]
        same(torch.cat(pieces, 1), attention(x, mask=Mask.causal()))
        gates = draw(2, 4, 7, 5, seed=2)
        mixed = []
        attention.out.register_forward_pre_hook(lambda module, args: mixed.append(args[0]))
        attention(x)
        attention(x, gates=gates)
    same(mixed[1], mixed[0] * gates.transpose(1, 2).flatten(2))


def test_a_query_that_sees_nothing_gives_the_bias_and_no_gradient():
    attention = build(kv_heads=2)
    x = draw(2, 7, WIDTH).requires_grad_()
    output = attention(x, mask=Mask.lengths(torch.tensor([0, 6])))
    assert torch.equal(output[0], attention.out.bias.expand(7, WIDTH))
    output.sum().backward()
    assert x.grad[0].abs().max() == 0
    assert x.grad[1].abs().max() > 0


@pytest.mark.parametrize("kind", ["none", "causal", "empty_text"])
@pytest.mark.parametrize("positions", [None, "rotary", "relative"])
@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
def test_weights_times_value_is_the_output(cross, positions, kind):
    attention = build(dim=6, positions=make(positions, 4, 6))
    sizes = Sizes(queries=5 if cross else 7)
    x, context = draw(2, sizes.queries, WIDTH), draw(2, 7, WIDTH, seed=2) if cross else None
    mask, _ = MASKS[kind](sizes)
    value = attention.value(x if context is None else context).unflatten(-1, (4, 6)).transpose(1, 2)
    mixed = attention.weights(x, context, mask=mask) @ value
    want = attention.out(mixed.transpose(1, 2).flatten(2))
    same(attention(x, context, mask=mask), want)


def make(positions, heads, dim):
    if positions == "rotary":
        return RotaryPositions(dim)
    return RelativePositions(heads, buckets=4, max_distance=5) if positions else None


def same(actual, want, *, roundings=300):
    largest = want.abs().max().item()
    assert_close(actual, want, roundings=roundings, largest=largest)


@pytest.mark.parametrize("split", [(1,) * 7, (3, 4), (1, 5, 1), (6, 1), (7,)], ids=str)
@pytest.mark.parametrize("positions", [None, "rotary", "relative"])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_decoding_in_pieces_equals_one_pass(kv_heads, positions, split):
    attention = build(dim=6, kv_heads=kv_heads, positions=make(positions, 4, 6))
    x, cache = draw(2, 7, WIDTH), KeyValueCache()
    with torch.no_grad():
        pieces = [attention(part, mask=Mask.causal(), cache=cache) for part in x.split(split, 1)]
        same(torch.cat(pieces, 1), attention(x, mask=Mask.causal()))
    assert cache.length == 7


def test_a_cached_context_is_projected_once():
    attention, cache = build(kv_heads=2), KeyValueCache()
    x, context = draw(2, 5, WIDTH), draw(2, 7, WIDTH, seed=2)
    mask = Mask.lengths(torch.tensor([7, 4]))
    with torch.no_grad():
        first = attention(x[:, :2], context, mask=mask, cache=cache)
        other = torch.full_like(context, torch.nan)  # from now on the cache counts
        second = attention(x[:, 2:], other, mask=mask, cache=cache)
        same(torch.cat([first, second], 1), attention(x, context, mask=mask))
    assert cache.length == 7


@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
def test_asking_for_weights_leaves_the_cache_as_it_is(cross):
    attention = build(positions=None if cross else RelativePositions(4))
    x, context = draw(2, 6, WIDTH), draw(2, 7, WIDTH, seed=2) if cross else None
    asked, cache = KeyValueCache(), KeyValueCache()
    mask = None if cross else Mask.causal()
    with torch.no_grad():
        for part in x.split([4, 1, 1], 1):
            shown = attention.weights(part, context, mask=mask, cache=asked)
            assert shown.shape == (2, 4, part.shape[1], 7 if cross else asked.length + len(part[0]))
            actual = attention(part, context, mask=mask, cache=asked)
            same(actual, attention(part, context, mask=mask, cache=cache))
        same(shown, attention.weights(x, context, mask=mask)[:, :, -1:])


@pytest.mark.parametrize("positions", ["rotary", "relative"])
def test_positions_act_in_self_attention_only(positions):
    plain, attention = build(dim=6), build(dim=6, positions=make(positions, 4, 6))
    attention.load_state_dict(plain.state_dict(), strict=False)
    x, context = draw(2, 7, WIDTH), draw(2, 7, WIDTH, seed=2)
    assert torch.equal(attention(x, context), plain(x, context))
    cache = KeyValueCache()
    assert torch.equal(attention(x, context, cache=cache), plain(x, context))
    assert not torch.allclose(attention(x), plain(x))


@pytest.mark.parametrize("positions", [None, "rotary", "relative"])
@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
def test_gradients(cross, positions):
    attention = build(width=4, heads=2, kv_heads=1, positions=make(positions, 2, 2))
    x, context = draw(2, 3, 4).requires_grad_(), draw(2, 4, 4, seed=2).requires_grad_()
    mask = Mask.lengths(torch.tensor([2, 3]))
    names, values = zip(*attention.named_parameters(), strict=True)

    def attend(x, context, *values):
        arguments = (x, context) if cross else (x,)
        named = dict(zip(names, values, strict=True))
        return torch.func.functional_call(attention, named, arguments, {"mask": mask})

    assert torch.autograd.gradcheck(attend, (x, context, *values))


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    attention = build(dropout=0.5)
    x = draw(2, 7, WIDTH)
    first, second = attention(x), attention(x)
    assert not torch.equal(first, second)
    attention.eval()
    assert torch.equal(attention(x), attention(x))
    same(attention(x), build()(x))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_into_one_graph(backend):
    attention = build(kv_heads=2, positions=RelativePositions(4))
    x = draw(2, 7, WIDTH)
    compiled = torch.compile(attention, backend=backend, fullgraph=True)
    same(compiled(x, mask=Mask.causal()), attention(x, mask=Mask.causal()))


@pytest.mark.parametrize("positions", [None, "rotary", "relative"])
def test_exports_with_any_length(positions):
    class Causal(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = build(dim=6, kv_heads=2, positions=make(positions, 4, 6))

        def forward(self, x):
            return self.attention(x, mask=Mask.causal())

    model = Causal().eval()
    length = torch.export.Dim("length", min=2, max=99)
    exported = torch.export.export(
        model, (draw(2, 5, WIDTH),), dynamic_shapes=({1: length},), strict=False
    )
    x = draw(2, 7, WIDTH, seed=2)
    same(exported.module()(x), model(x))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"heads": 5}, "heads must divide width, got heads=5, width=12"),
        ({"heads": 0}, "heads must divide width, got heads=0, width=12"),
        ({"heads": 0, "dim": 3}, "heads, dim and value_dim must be at least 1, got heads=0, dim=3"),
        ({"dim": 0}, "heads, dim and value_dim must be at least 1, got heads=4, dim=0"),
        (
            {"value_dim": 0},
            "heads, dim and value_dim must be at least 1, got heads=4, dim=3, value_dim=0",
        ),
        ({"kv_heads": 3}, "kv_heads must divide heads, got kv_heads=3, heads=4"),
        ({"kv_heads": 0}, "kv_heads must divide heads, got kv_heads=0, heads=4"),
        ({"heads": 4.0}, "heads must be a whole number, got 4.0"),
        ({"width": "12"}, "width must be a whole number, got '12'"),
        ({"dropout": 2}, "dropout must be at least 0 and below 1, got 2"),
        ({"dropout": float("nan")}, "dropout must be at least 0 and below 1, got nan"),
        ({"mechanism": "entmax"}, "mechanism must be a module of heedful.nn.mechanisms, such as"),
        ({"mechanism": Entmax}, "mechanism must be a module of heedful.nn.mechanisms, such as"),
        ({"positions": RotaryPositions(2)}, "positions must have dim 3 like a head, got 2"),
        ({"positions": RelativePositions(1)}, "positions must have 4 heads, got 1"),
    ],
)
def test_rejects_settings_that_do_not_fit(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Attention(**{"width": WIDTH, "heads": 4, **settings})
