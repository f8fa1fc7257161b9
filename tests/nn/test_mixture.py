"""Chosen heads: the gates by hand, attention itself when all are equal, and an even choice."""

import re
from math import exp

import pytest
import torch

from heedful.errors import ConfigError
from heedful.mask import Mask
from heedful.nn import Attention, KeyValueCache, RotaryPositions
from heedful.nn.mechanisms.cosine import Cosine
from heedful.nn.mixture import MixtureAttention
from heedful.testing.masks import MASKS, Sizes
from heedful.testing.tolerance import assert_close, roundings

WIDTH = 12


def draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def build(*, shared=2, chosen=2, dtype=torch.float64, **settings):
    """A mixture of six heads in which every number is random."""
    attention = Attention(**{"width": WIDTH, "heads": 6, "kv_heads": 2, "dim": 4, **settings})
    mixture = MixtureAttention(attention, shared=shared, chosen=chosen)
    for seed, parameter in enumerate(mixture.parameters()):
        with torch.no_grad():
            parameter.copy_(draw(*parameter.shape, seed=seed + 10) * WIDTH**-0.5)
    return mixture.to(dtype)


def shares(scores):
    total = sum(exp(s) for s in scores)
    return [exp(s) / total for s in scores]


def expected_gates(mixture, x):
    """The rule, one token at a time, in plain Python."""
    weight = {name: p.detach().tolist() for name, p in mixture.named_parameters()}
    heads, shared, chosen = mixture.attention.heads, mixture.shared, mixture.chosen

    def scores(name, token):
        return [
            sum(w * t for w, t in zip(row, token, strict=True)) for row in weight[f"{name}.weight"]
        ]

    gates = torch.zeros(len(x), heads, x.shape[1], 1, dtype=torch.float64)
    for b in range(len(x)):
        for i in range(x.shape[1]):
            token = x[b, i].tolist()
            always, others = shares(scores("kind", token)) if shared else (0, 0.5)
            first = shares(scores("share", token)) if shared > 1 else [1.0] * shared
            for h in range(shared):
                gates[b, h, i] = 2 * always * shared * first[h]
            rank = scores("router", token)
            best = sorted(range(heads - shared), key=lambda h: -rank[h])[:chosen]
            for h, part in zip(best, shares([rank[h] for h in best]), strict=True):
                gates[b, shared + h, i] = 2 * others * chosen * part
    return gates


def same(actual, want, *, roundings=300):
    assert_close(actual, want, roundings=roundings, largest=want.abs().max().item())


CHOICES = [(0, 1), (0, 6), (1, 2), (2, 2), (2, 4), (5, 1)]


@pytest.mark.parametrize("shared, chosen", CHOICES)
def test_gates_are_those_of_the_rule(shared, chosen):
    mixture, x = build(shared=shared, chosen=chosen), draw(2, 7, WIDTH)
    gates = mixture.gates(x)
    same(gates, expected_gates(mixture, x))
    assert ((gates > 0).sum(1) == shared + chosen).all()
    assert (gates[:, :shared] > 0).all()


@pytest.mark.parametrize("kind", ["none", "causal", "empty_text", "dense", "both"])
@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
def test_the_output_is_a_sum_over_gated_heads(cross, kind):
    mixture = build()
    attention, sizes = mixture.attention, Sizes(heads=6, queries=5 if cross else 7)
    x, context = draw(2, sizes.queries, WIDTH), draw(2, 7, WIDTH, seed=2) if cross else None
    mask, _ = MASKS[kind](sizes)
    value = attention.value(x if context is None else context).unflatten(-1, (2, 4))
    weights, gates = mixture.weights(x, context, mask=mask), expected_gates(mixture, x)
    want = attention.out.bias.expand(2, sizes.queries, WIDTH)
    for h in range(6):
        mixed = gates[:, h] * (weights[:, h] @ value[:, :, h // 3])
        want = want + mixed @ attention.out.weight[:, 4 * h : 4 * h + 4].T
    same(mixture(x, context, mask=mask), want)


@pytest.mark.parametrize("shared", [0, 1, 3])
@pytest.mark.parametrize("extra", ["plain", "rotary", "mechanism"])
def test_all_heads_with_equal_gates_are_the_wrapped_attention(extra, shared):
    settings = {
        "plain": {},
        "rotary": {"positions": RotaryPositions(4)},
        "mechanism": {"mechanism": Cosine(heads=6, dim=4)},
    }[extra]
    mixture = build(shared=shared, chosen=6 - shared, **settings)
    x, mask = draw(2, 7, WIDTH), Mask.causal()
    want = mixture.attention(x, mask=mask)
    assert not torch.allclose(mixture(x, mask=mask), want)
    for router in (mixture.router, mixture.share, mixture.kind):
        if router is not None:
            torch.nn.init.zeros_(router.weight)
    same(mixture(x, mask=mask), want)
    assert torch.equal(mixture.weights(x, mask=mask), mixture.attention.weights(x, mask=mask))


def test_heads_that_are_not_chosen_cannot_matter():
    mixture, x = build(), draw(1, 1, WIDTH)
    left_out = (mixture.gates(x)[0, :, 0, 0] == 0).nonzero()[:, 0]
    assert len(left_out) == 2
    before = mixture(x)
    with torch.no_grad():
        for h in left_out:
            mixture.attention.out.weight[:, 4 * h : 4 * h + 4] = 1e6
            mixture.attention.query.weight[4 * h : 4 * h + 4] = -7.0
    assert torch.equal(mixture(x), before)


def test_gradients_reach_the_router():
    mixture, x = build(), draw(2, 7, WIDTH)
    mixture(x, mask=Mask.causal()).square().sum().backward()
    for router in (mixture.router, mixture.share, mixture.kind):
        assert router.weight.grad.isfinite().all()
        assert router.weight.grad.abs().max() > 0


def test_a_query_that_sees_nothing_gives_the_bias_and_no_gradient():
    mixture = build()
    x = draw(2, 7, WIDTH).requires_grad_()
    output = mixture(x, mask=Mask.lengths(torch.tensor([0, 6])))
    assert torch.equal(output[0], mixture.attention.out.bias.expand(7, WIDTH))
    output.sum().backward()
    assert x.grad[0].abs().max() == 0
    assert x.grad[1].abs().max() > 0


def test_balance_is_that_of_the_rule():
    mixture, x = build(), draw(2, 7, WIDTH)
    scores = (x @ mixture.router.weight.T).detach()
    chosen = mixture.gates(x)[:, 2:, :, 0].transpose(1, 2) > 0
    often, likely = [0.0] * 4, [0.0] * 4
    for b in range(2):
        for i in range(7):
            for h, share in enumerate(shares(scores[b, i].tolist())):
                often[h] += chosen[b, i, h].item() / 14
                likely[h] += share / 14
    want = torch.tensor(4 / 2 * sum(f * p for f, p in zip(often, likely, strict=True)))
    same(mixture.balance(x).float(), want.float())
    assert mixture.balance(x).item() == pytest.approx(want.item())


def test_balance_leaves_padding_out():
    mixture, x = build(), draw(2, 7, WIDTH)
    tokens = torch.zeros(2, 7, dtype=torch.bool)
    tokens[0, :3] = tokens[1, 4:] = True
    changed = x.masked_fill(~tokens[..., None], 100.0)
    same(mixture.balance(changed, tokens), mixture.balance(x[tokens][None]))
    nothing = mixture.balance(x, torch.zeros_like(tokens))
    assert nothing.item() == 0
    nothing.backward()
    assert mixture.router.weight.grad.abs().max() == 0


def test_balance_is_one_when_even_and_most_when_one_choice_takes_all():
    mixture = build(shared=2, chosen=2, width=4)
    x = torch.eye(4, dtype=torch.float64)[None]
    with torch.no_grad():
        # token t likes heads t and t + 1
        wheel = torch.eye(4, dtype=torch.float64)
        mixture.router.weight.copy_(30 * (wheel + wheel.roll(1, 0)))
    same(mixture.balance(x), torch.tensor(1.0, dtype=torch.float64))
    with torch.no_grad():
        mixture.router.weight.copy_(torch.tensor([30.0, 30.0, -30.0, -30.0])[:, None].expand(4, 4))
    same(mixture.balance(x), torch.tensor(2.0, dtype=torch.float64))


def test_descending_the_balance_evens_out_the_choice():
    mixture = build(shared=1, chosen=1)
    with torch.no_grad():
        mixture.router.weight[0] += 0.5
    x = draw(4, 16, WIDTH).abs()
    before = mixture.balance(x).item()
    optimizer = torch.optim.SGD([mixture.router.weight], lr=1.0)
    for _ in range(100):
        optimizer.zero_grad()
        mixture.balance(x).backward()
        optimizer.step()
    assert before > 2
    assert mixture.balance(x).item() < 1.5


def test_nothing_is_kept_between_calls():
    mixture, x = build(), draw(2, 7, WIDTH)
    before = dict(vars(mixture))
    mixture(x)
    mixture.balance(x)
    assert vars(mixture) == before
    assert not list(mixture.buffers())


def test_decoding_in_pieces_equals_one_pass():
    mixture = build(positions=RotaryPositions(4))
    x, cache, mask = draw(2, 7, WIDTH), KeyValueCache(), Mask.causal()
    with torch.no_grad():
        pieces = [mixture(part, mask=mask, cache=cache) for part in x.split([3, 1, 1, 2], 1)]
        same(torch.cat(pieces, 1), mixture(x, mask=mask))


def test_half_precision_stays_close():
    mixture, exact = build(dtype=torch.bfloat16), build()
    exact.load_state_dict(mixture.state_dict())
    x = draw(2, 7, WIDTH, dtype=torch.bfloat16)
    with torch.no_grad():
        actual, want = mixture(x, mask=Mask.causal()), exact(x.double(), mask=Mask.causal())
        gates = exact.gates(x.double())
        value = exact.attention.value(x.double())
    assert torch.equal(mixture.gates(x) > 0, gates > 0)
    assert actual.dtype == torch.bfloat16
    largest = value.abs().max() * gates.max() * exact.attention.out.weight.abs().sum(1).max()
    # query, key, value, output, router, gate and its product are rounded, beyond the op
    limit = 7 + roundings(x.dtype, WIDTH, WIDTH, 4, 7, 24)
    assert_close(actual, want, roundings=limit, largest=largest.item())


@pytest.mark.parametrize("shared", [0, 1, 2])
def test_gradients(shared):
    mixture = build(width=4, heads=4, kv_heads=1, dim=2, shared=shared, chosen=2)
    x = draw(2, 3, 4).requires_grad_()
    names, values = zip(*mixture.named_parameters(), strict=True)

    def attend(x, *values):
        named = dict(zip(names, values, strict=True))
        mask = Mask.lengths(torch.tensor([2, 3]))
        return torch.func.functional_call(mixture, named, (x,), {"mask": mask})

    assert torch.autograd.gradcheck(attend, (x, *values))


def test_compiles_into_one_graph():
    mixture, x = build(), draw(2, 7, WIDTH)
    compiled = torch.compile(mixture, backend="aot_eager", fullgraph=True)
    same(compiled(x, mask=Mask.causal()), mixture(x, mask=Mask.causal()))


@pytest.mark.parametrize(
    "shared, chosen, message",
    [
        (-1, 2, "shared must not be negative, got -1"),
        (
            2,
            0,
            "chosen must be at least 1 and at most the heads that are not shared, "
            "got chosen=0, shared=2, heads=6",
        ),
        (
            3,
            4,
            "chosen must be at least 1 and at most the heads that are not shared, "
            "got chosen=4, shared=3, heads=6",
        ),
    ],
)
def test_rejects_settings_that_do_not_fit(shared, chosen, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(shared=shared, chosen=chosen)
