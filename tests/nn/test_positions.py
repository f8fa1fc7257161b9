"""Where a token stands: the formulas, and that pieces of a text know where they are."""

import math
import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.nn import (
    Attention,
    KeyValueCache,
    LearnedPositions,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
)
from heedful.nn.mechanisms import Window
from heedful.nn.positions import AlibiPositions
from heedful.ops.scaled_dot import scaled_dot_weights
from heedful.testing import oracle
from heedful.testing.tolerance import assert_close, roundings

WIDTH = 6


def draw(*shape, dtype=torch.float32, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def rotations(position):
    """How often an angle of float32 is rounded, in units of a number of size 1.

    Power, division and product are off by a few roundings of the angle, which grows with the
    position; sine, product and sum add some of size 1.
    """
    return 4 * position + 8


# ---- sinusoidal


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("offset, length", [(0, 5), (3, 5), (60, 9), (1000, 2)])
def test_sinusoidal_is_the_formula(offset, length, dtype):
    added = SinusoidalPositions(WIDTH)(torch.zeros(2, length, WIDTH, dtype=dtype), offset=offset)
    want = torch.zeros(length, WIDTH, dtype=torch.float64)
    for row in range(length):
        for i in range(0, WIDTH, 2):
            angle = (offset + row) / 10_000 ** (i / WIDTH)
            want[row, i], want[row, i + 1] = math.sin(angle), math.cos(angle)
    assert added.dtype == dtype
    assert_close(added, want.expand(2, -1, -1), roundings=rotations(offset + length), largest=1.0)


@pytest.mark.parametrize(
    "positions",
    [SinusoidalPositions(WIDTH), LearnedPositions(WIDTH, max_length=500)],
    ids=["sinusoidal", "learned"],
)
def test_a_piece_of_a_text_knows_where_it_is(positions):
    x = draw(2, 200, WIDTH)
    whole = positions(x)
    assert not torch.equal(whole, x)
    for start, stop in ((0, 3), (3, 100), (63, 65), (100, 200)):
        assert torch.equal(positions(x[:, start:stop], offset=start), whole[:, start:stop])


def test_sinusoidal_rejects_an_odd_width():
    with pytest.raises(ConfigError, match="width must be even for sinusoidal positions, got 7"):
        SinusoidalPositions(7)


# ---- learned


def test_learned_adds_its_rows():
    positions = LearnedPositions(WIDTH, max_length=9)
    assert torch.equal(positions(torch.zeros(2, 5, WIDTH), offset=3)[1], positions.table[3:8])
    positions(torch.zeros(2, 5, WIDTH), offset=4)  # the last row exists


def test_learned_rejects_a_position_that_was_not_learned():
    positions = LearnedPositions(WIDTH, max_length=9)
    message = "length must be at most 9 positions, got 10"
    with pytest.raises(ShapeError, match=message):
        positions(torch.zeros(2, 5, WIDTH), offset=5)


# ---- rotary


@pytest.mark.parametrize("base", [10_000.0, 50.0])
def test_rotary_is_the_formula(base):
    x = draw(2, 3, 5, WIDTH, dtype=torch.float64)
    actual = RotaryPositions(WIDTH, base=base)(x, offset=4)
    half = WIDTH // 2
    want = torch.empty_like(x)
    for row in range(5):
        for i in range(half):
            angle = (4 + row) * base ** (-2 * i / WIDTH)
            turned = torch.complex(x[:, :, row, i], x[:, :, row, i + half]) * complex(
                math.cos(angle), math.sin(angle)
            )
            want[:, :, row, i], want[:, :, row, i + half] = turned.real, turned.imag
    assert_close(actual, want, roundings=rotations(9), largest=x.abs().max().item())


def test_rotary_keeps_norms():
    x = draw(2, 3, 50, WIDTH, dtype=torch.float64)
    turned = RotaryPositions(WIDTH)(x, offset=7)
    assert not torch.allclose(turned, x)
    norm = x.norm(dim=-1)
    assert_close(turned.norm(dim=-1), norm, roundings=2 * WIDTH, largest=norm.max().item())


@pytest.mark.parametrize("pairs", [(0, 2), (2, 0), (1,), (0, 1, 2, 3)], ids=str)
def test_some_pairs_turn_as_they_did_among_all(pairs):
    whole, half = RotaryPositions(8, base=50.0), len(pairs)
    some = RotaryPositions(2 * half, base=50.0, pairs=pairs, whole=8)
    x = draw(2, 3, 5, 8, dtype=torch.float64)
    columns = [*pairs, *(pair + 4 for pair in pairs)]
    assert torch.equal(some(x[..., columns], offset=3), whole(x, offset=3)[..., columns])
    assert (some.dim, some.whole, some.pairs) == (2 * half, 8, pairs)


@pytest.mark.parametrize(
    "dim, settings, message",
    [
        (4, {"pairs": (0,), "whole": 8}, "pairs must be 2 different ones below 4, got (0,)"),
        (4, {"pairs": (1, 1), "whole": 8}, "pairs must be 2 different ones below 4, got (1, 1)"),
        (4, {"pairs": (0, 4), "whole": 8}, "pairs must be 2 different ones below 4, got (0, 4)"),
        (4, {"pairs": (0, -1), "whole": 8}, "pairs must be 2 different ones below 4, got (0, -1)"),
        (4, {"pairs": (0, 2)}, "pairs must be 2 different ones below 2, got (0, 2)"),
        (6, {"whole": 4}, "pairs must be 3 different ones below 2, got (0, 1, 2)"),
    ],
)
def test_rotary_rejects_pairs_that_are_not_there(dim, settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        RotaryPositions(dim, **settings)


def test_rotary_products_depend_on_the_distance_only():
    rotary = RotaryPositions(WIDTH)
    query, key = draw(1, 1, 1, WIDTH, dtype=torch.float64), draw(1, 1, 1, WIDTH, seed=2).double()

    def product(at, other):
        return (rotary(query, offset=at) * rotary(key, offset=other)).sum()

    for distance in (0, 1, 30):
        want = product(distance, 0)
        for place in (1, 9, 500):
            actual = product(place + distance, place)
            largest = (query.norm() * key.norm()).item()
            assert_close(actual, want, roundings=rotations(place + distance), largest=largest)
    assert abs(product(1, 0) - product(0, 1)) > 0.01  # before is not behind


def test_a_piece_of_rotary_is_a_slice_of_the_whole():
    rotary, x = RotaryPositions(WIDTH), draw(2, 3, 80, WIDTH)
    whole = rotary(x)
    for start, stop in ((0, 3), (3, 70), (79, 80)):
        assert torch.equal(rotary(x[:, :, start:stop], offset=start), whole[:, :, start:stop])


@pytest.mark.parametrize("kind", [RotaryPositions, SinusoidalPositions])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_rounds_once_also_far_out(kind, dtype):
    positions = kind(WIDTH).to(dtype)  # converting the model must not touch its wavelengths
    x = draw(2, 4, WIDTH, dtype=dtype)
    x = x[:, None] if kind is RotaryPositions else x
    actual, want = positions(x, offset=1000), kind(WIDTH)(x.double(), offset=1000)
    assert actual.dtype == dtype
    # two roundings: of what is added, and of the sum
    assert_close(actual, want, roundings=2, largest=want.abs().max().item())


def test_rotary_rejects_an_odd_dim():
    with pytest.raises(ConfigError, match="dim must be even for rotary positions, got 5"):
        RotaryPositions(5)


def test_rotary_rejects_vectors_of_another_size():
    with pytest.raises(ShapeError, match="x must have dim 2, got 6"):
        RotaryPositions(2)(draw(2, 3, 5, WIDTH))


# ---- relative


def bucket(distance, buckets, max_distance):
    """T5's rule for encoders; `distance = key - query`. In whole numbers, with no logarithm."""
    half = buckets // 2
    start = half if distance > 0 else 0
    distance, near = abs(distance), half // 2
    if distance < near:
        return start + distance
    # the largest step with (distance / near) ** wide >= (max_distance / near) ** step
    wide, step = half - near, 0
    while (
        step + 1 < wide
        and distance**wide * near ** (step + 1) >= max_distance ** (step + 1) * near**wide
    ):
        step += 1
    return start + near + step


@pytest.mark.parametrize("buckets, max_distance", [(32, 128), (8, 20), (4, 3), (20, 6)])
def test_relative_shares_buckets_as_t5_does(buckets, max_distance):
    positions = RelativePositions(3, buckets=buckets, max_distance=max_distance)
    with torch.no_grad():  # what is looked up is the bucket's number; each head adds its own
        numbers = torch.arange(buckets)[:, None] + 100.0 * torch.arange(3)
        positions.table.copy_(numbers)
    bias = positions(queries=150, keys=200)
    assert bias.shape == (1, 3, 150, 200)
    for query in (0, 1, 70, 149):
        for key in range(200):
            want = bucket(key - (query + 50), buckets, max_distance)
            assert bias[0, :, query, key].tolist() == [want, want + 100, want + 200]


def test_relative_agrees_with_known_numbers():
    """From T5's rule by hand: 32 buckets, 16 a side, 8 near; 128 and beyond share the last."""
    known = {0: 0, -1: 1, -7: 7, -8: 8, -11: 8, -12: 9, -16: 10, -32: 12, -64: 14, -128: 15}
    known |= {-9999: 15, 1: 17, 7: 23, 16: 26, 500: 31}
    positions = RelativePositions(1)
    with torch.no_grad():
        positions.table.copy_(torch.arange(32.0)[:, None])
    for distance, want in known.items():
        keys = abs(distance) + 1
        first_and_last = positions(keys if distance > 0 else 1, keys)[0, 0, 0]
        assert first_and_last[-1 if distance > 0 else 0] == want, distance


def test_a_decoding_row_is_the_last_row():
    positions = RelativePositions(3, buckets=8, max_distance=20)
    with torch.no_grad():
        positions.table.copy_(draw(8, 3))
    for keys in (1, 2, 40):
        assert torch.equal(positions(1, keys)[:, :, 0], positions(keys, keys)[:, :, -1])


def test_every_relative_bucket_can_learn():
    positions = RelativePositions(3, buckets=8, max_distance=20)
    positions(40, 40).sum().backward()
    used = positions.table.grad.abs().sum(1) > 0
    assert used.tolist() == [True] * 4 + [False] + [True] * 3  # a key ahead is never at distance 0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"buckets": 7}, "buckets must be even and at least 4, got 7"),
        ({"buckets": 2}, "buckets must be even and at least 4, got 2"),
        (
            {"buckets": 40, "max_distance": 10},
            "max_distance must be above buckets // 4, got max_distance=10, buckets=40",
        ),
    ],
)
def test_relative_rejects_buckets_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        RelativePositions(3, **settings)


# ---- linear biases


def slopes(heads):
    """The rule of the paper's code: a geometric series, and every other term of the next one."""

    def series(count):
        ratio = 2 ** (-8 / count)
        return [ratio * ratio**i for i in range(count)]

    whole = 1
    while 2 * whole <= heads:
        whole *= 2
    return (series(whole) + series(2 * whole)[::2])[:heads]


def test_alibi_slopes_by_hand():
    assert AlibiPositions(8)(1, 2)[0, :, 0, 0].tolist() == [-(2**-n) for n in range(1, 9)]
    three = AlibiPositions(3)(2, 2)[0, :, 1, 0]  # those of two heads, and the first of four
    assert three.tolist() == [-1 / 16, -1 / 256, -1 / 4]


@pytest.mark.parametrize("heads", [1, 2, 3, 4, 6, 7, 8, 12, 16, 20, 33])
@pytest.mark.parametrize("queries, keys", [(5, 7), (7, 5), (1, 9)])
def test_alibi_is_the_formula(queries, keys, heads):
    bias = AlibiPositions(heads)(queries, keys)
    want = torch.tensor(
        [
            [[-slope * abs(i + keys - queries - j) for j in range(keys)] for i in range(queries)]
            for slope in slopes(heads)
        ],
        dtype=torch.float64,
    )
    # exponent, power and product round, and the exponent by up to 8 units
    assert_close(bias, want[None], roundings=12, largest=float(keys))


def test_alibi_is_as_exact_in_a_model_of_half_precision():
    positions = AlibiPositions(12)
    assert not positions.state_dict()
    want = positions(3, 500)
    assert torch.equal(positions.bfloat16()(3, 500), want)
    assert positions.to("meta")(3, 5).is_meta


def test_alibi_in_attention_is_the_oracle_with_its_bias():
    attention = Attention(width=12, heads=3, positions=AlibiPositions(3)).double()
    x = draw(2, 7, 12, dtype=torch.float64)
    query, key = (
        part(x).unflatten(-1, (3, 4)).transpose(1, 2) for part in (attention.query, attention.key)
    )
    bias = AlibiPositions(3)(7, 7).double()
    arrays = [tensor.detach().numpy() for tensor in (query, key, key)]
    weights, _ = oracle.scaled_dot(
        *arrays, sees=lambda b, h, i, j: j <= i, bias=bias.expand(2, -1, -1, -1).numpy()
    )
    actual = attention.weights(x, mask=Mask.causal())
    limit = roundings(x.dtype, 12, 4, 7, 7)
    assert_close(actual, torch.from_numpy(weights), roundings=limit, largest=1.0)
    plain = scaled_dot_weights(query, key, mask=Mask.causal())
    assert (actual - plain).abs().max() > 0.01


@pytest.mark.parametrize("split", [(1,) * 9, (4, 5)], ids=str)
def test_decoding_with_alibi_is_the_whole_text(split):
    attention = Attention(width=12, heads=6, kv_heads=2, positions=AlibiPositions(6)).double()
    x, cache = draw(2, 9, 12, dtype=torch.float64), KeyValueCache()
    whole = attention(x, mask=Mask.causal())
    with torch.no_grad():
        steps = [attention(part, mask=Mask.causal(), cache=cache) for part in x.split(split, 1)]
    limit = 2 * roundings(x.dtype, 12, 2, 9, 9, 12)
    assert_close(torch.cat(steps, 1), whole, roundings=limit, largest=whole.abs().max().item())


def test_alibi_leaves_cross_attention_alone():
    attention = Attention(width=12, heads=3, positions=AlibiPositions(3))
    plain = Attention(width=12, heads=3)
    plain.load_state_dict(attention.state_dict())
    x, context = draw(2, 5, 12), draw(2, 7, 12, seed=2)
    assert torch.equal(attention(x, context), plain(x, context))
    assert not torch.equal(attention(x), plain(x))


def test_alibi_rejects_what_does_not_fit():
    with pytest.raises(ConfigError, match="heads must be at least 1, got 0"):
        AlibiPositions(0)
    with pytest.raises(ConfigError, match="positions must have 3 heads, got 4"):
        Attention(width=12, heads=3, positions=AlibiPositions(4))
    message = "positions must not add to the scores of a mechanism, got AlibiPositions"
    with pytest.raises(UnsupportedError, match=message):
        Attention(width=12, heads=3, positions=AlibiPositions(3), mechanism=Window(heads=3, dim=4))
