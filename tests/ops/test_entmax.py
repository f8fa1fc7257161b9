"""Entmax attention keeps the contract for any `alpha`, with derivatives of any order and kind."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError
from heedful.mask import Mask
from heedful.ops import _entmax
from heedful.ops.entmax import entmax_attention, entmax_weights, masked_entmax
from heedful.testing.claim import Claim
from heedful.testing.claims import CLAIMS
from heedful.testing.contracts import AttentionContract
from heedful.testing.oracle import normalisers
from heedful.testing.tolerance import assert_close, roundings

# torch loads a scripted file of its own when a forward-mode derivative is first asked for
forward_mode = pytest.mark.filterwarnings("ignore:.torch.jit.script")


class TestEntmax(AttentionContract):
    @pytest.fixture(autouse=True)
    def small_pieces(self, monkeypatch):
        monkeypatch.setattr(_entmax, "PIECE", 16)  # two rows of seven keys

    @pytest.fixture
    def claim(self):
        return CLAIMS["entmax"]


class TestLearnedAlpha(AttentionContract):
    @pytest.fixture
    def claim(self):
        return Claim(
            attention=entmax_attention,
            weights=entmax_weights,
            oracle=normalisers.entmax,
            extras={"alpha": "heads"},
            domains={"alpha": lambda x: 1 + torch.sigmoid(x)},
            steps=(7, 7),  # in the search the weights are added up once more, and in the slope
        )


def draw(*shape, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def everyone(b, h, i, j):
    return True


def rows(keys):
    """Rows that are hard in different ways: flat, peaked, falling slowly, two cliffs, all equal."""
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(4, keys, generator=generator, dtype=torch.float64)
    fall = torch.arange(keys, dtype=torch.float64) / keys
    cliff = torch.where(fall < 0.5, 0.0, -0.9)
    return torch.stack(
        [*noise * torch.tensor([[0.01], [0.5], [4.0], [1000.0]]), -3 * fall, cliff, 0 * fall]
    )


# ---- the weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("alpha", [1.0, 1.0001, 1.1, 1.5, 1.9, 2.0, 2.5, 4.0])
def test_every_alpha_matches_the_oracle(alpha, dtype):
    query, key, value = draw(1, 2, 3, 4), 2 * draw(1, 1, 30, 4), draw(1, 1, 30, 2)
    want, _ = normalisers.entmax(
        *(x.numpy() for x in (query, key, value)), everyone, alpha=alpha, scale=0.9
    )
    actual = entmax_weights(query.to(dtype), key.to(dtype), alpha=alpha, scale=0.9)
    # above 2 a weight that has just become positive grows faster than its score
    slope = 2 if alpha <= 2 else 1 / actual[actual > 0].min().item() ** (alpha - 2)
    largest = slope * key.abs().max().item() ** 2
    assert_close(
        actual, torch.from_numpy(want), roundings=2 * roundings(dtype, 4, 30), largest=largest
    )
    if alpha > 1.1:
        assert (actual == 0).any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("alpha", [1.0, 1.001, 1.3, 1.5, 1.99, 2.0, 3.0])
@pytest.mark.parametrize("keys", [1, 2, 33, 4096])
def test_the_search_ends(keys, alpha, dtype):
    """The weights sum to one, and one threshold explains all of them."""
    scores = rows(keys)[None, None].to(dtype)
    below = scores - scores.amax(-1, keepdim=True)
    one = torch.ones_like(scores[..., 0])
    limit = 2 * roundings(dtype, keys)
    for given in (alpha, torch.tensor([alpha])) if alpha <= 2 else (alpha,):
        weights = masked_entmax(scores, alpha=given)
        assert_close(weights.sum(-1), one, roundings=limit, largest=1.0)
        steepness = float(given) - 1
        if steepness == 0:
            continue
        threshold = steepness * below - weights.pow(steepness)
        high = threshold.masked_fill(weights <= 0, -2).amax(-1)
        low = threshold.masked_fill(weights <= 0, 2).amin(-1)
        assert_close(high, low, roundings=limit, largest=1.0)
        # of what was left out nothing reaches above it, but for what is too small for the dtype
        left_out = (steepness * below).masked_fill(weights > 0, -2).amax(-1)
        reach = (left_out - high).clamp_min(0).pow(max(1.0, 1 / steepness))
        assert_close(reach, 0 * one, roundings=limit, largest=1.0)


def test_one_is_softmax_and_not_uniform():
    scores = 3 * draw(2, 4, 5, 7)
    assert torch.equal(masked_entmax(scores, alpha=1.0), scores.softmax(-1))
    learned = masked_entmax(scores, alpha=torch.ones(4, dtype=torch.float64))
    assert_close(learned, scores.softmax(-1), roundings=roundings(torch.float64, 7), largest=1.0)


def test_each_head_has_its_own_alpha():
    scores = draw(2, 4, 5, 7)
    alpha = torch.tensor([1.0, 1.25, 1.5, 2.0], dtype=torch.float64)
    weights = masked_entmax(scores, alpha=alpha)
    for head, one in enumerate(alpha.tolist()):
        want = masked_entmax(scores[:, head : head + 1], alpha=one)
        limit = 2 * roundings(torch.float64, 7)
        assert_close(weights[:, head : head + 1], want, roundings=limit, largest=1.0)


@pytest.mark.parametrize("alpha", [1.5, 1.3, 2.0, torch.tensor([1.2, 1.9])])
def test_pieces_are_the_whole(alpha, monkeypatch):
    scores, gradient = draw(3, 2, 11, 9), draw(3, 2, 11, 9, seed=2)

    def both(piece):
        monkeypatch.setattr(_entmax, "PIECE", piece)
        given = scores.clone().requires_grad_()
        weights = masked_entmax(given, alpha=alpha)
        return weights.detach(), torch.autograd.grad(weights, given, gradient)[0]

    want = both(10**6)
    for piece in (1, 9, 40):
        for one, other in zip(both(piece), want, strict=True):
            limit = roundings(torch.float64, 9)
            assert_close(one, other, roundings=limit, largest=other.abs().max().item())


# ---- masks and precision -------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [1.0, 1.5, 1.3, 2.0, 2.5, torch.tensor([1.0, 1.7])])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_hidden_scores_may_be_anything(bad, alpha):
    mask = Mask.lengths(torch.tensor([0, 3]))
    clean = draw(2, 2, 5, 4)
    scores = clean.masked_fill(~mask.to_bool(5, 4, batch=2, heads=2), bad).requires_grad_()
    weights = masked_entmax(scores, alpha=alpha, mask=mask)
    assert (weights[0] == 0).all()
    assert (weights[1, ..., 3] == 0).all()
    assert torch.equal(weights, masked_entmax(clean, alpha=alpha, mask=mask))
    weights.square().sum().backward()
    assert scores.grad.isfinite().all()
    assert (scores.grad[0] == 0).all()


@pytest.mark.parametrize("alpha", [1.0, 1.5, 1.3, 2.0, 2.5, torch.tensor([1.0, 1.7])])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_wide(dtype, alpha):
    scores = (1e4 * draw(2, 2, 5, 40)).to(dtype)
    scores[:, :, 0] = draw(2, 2, 40).to(dtype)
    weights = masked_entmax(scores, alpha=alpha)
    assert weights.dtype == dtype
    assert torch.equal(weights, masked_entmax(scores.float(), alpha=alpha).to(dtype))
    assert weights.isfinite().all()
    assert weights.float().sum(-1).sub(1).abs().max() < 0.1


@pytest.mark.parametrize("alpha", [1.5, torch.tensor([1.0, 1.7])])
def test_no_keys_are_no_weights(alpha):
    assert masked_entmax(torch.zeros(2, 2, 5, 0), alpha=alpha).shape == (2, 2, 5, 0)


# ---- derivatives ---------------------------------------------------------------------------------


@forward_mode
@pytest.mark.parametrize("alpha", [1.0, 1.1, 1.5, 1.8, 2.0, 2.5])
def test_first_and_second_derivatives(alpha):
    scores = draw(1, 2, 2, 5).requires_grad_()

    def weigh(scores):
        return masked_entmax(scores, alpha=alpha)

    assert torch.autograd.gradcheck(weigh, scores, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(weigh, scores, check_fwd_over_rev=True)


@forward_mode
def test_first_and_second_derivatives_of_alpha():
    scores = draw(1, 4, 2, 5).requires_grad_()
    alpha = torch.tensor([1.001, 1.1, 1.5, 1.9], dtype=torch.float64, requires_grad=True)

    def weigh(scores, alpha):
        return masked_entmax(scores, alpha=alpha)

    assert torch.autograd.gradcheck(weigh, (scores, alpha), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(weigh, (scores, alpha), check_fwd_over_rev=True)


def by_alpha(scores, alpha):
    """The derivative of every weight with respect to `alpha`, one at a time."""
    given = torch.tensor([alpha], dtype=torch.float64, requires_grad=True)
    weights = masked_entmax(scores, alpha=given).flatten()
    return torch.stack([torch.autograd.grad(p, given, retain_graph=True)[0][0] for p in weights])


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.9])
def test_gradient_of_alpha_is_that_of_the_paper(alpha):
    scores = draw(1, 1, 1, 9)
    p = masked_entmax(scores, alpha=alpha).flatten()
    tilted = torch.where(p > 0, p ** (2 - alpha), 0.0)
    tilted = tilted / tilted.sum()
    entropy = torch.special.entr(p)
    want = (p - tilted) / (alpha - 1) ** 2 + (entropy - tilted * entropy.sum()) / (alpha - 1)
    largest = 1 / (alpha - 1) ** 2
    actual = by_alpha(scores, alpha)
    assert_close(actual, want, roundings=roundings(torch.float64, 9), largest=largest)


def test_gradient_of_alpha_at_one_is_the_limit():
    scores = draw(1, 1, 1, 9)
    p = scores.softmax(-1).flatten()
    squares = p * p.log().square()
    want = (p * squares.sum() - squares) / 2
    limit = 4 * roundings(torch.float64, 9)
    assert_close(by_alpha(scores, 1.0), want, roundings=limit, largest=squares.max().item())


@forward_mode
@pytest.mark.parametrize("alpha", [1.5, 1.3, 2.0])
def test_transforms_of_torch_func(alpha):
    scores = draw(6, 2, 1, 3, 5)

    def loss(scores):
        return masked_entmax(scores, alpha=alpha).pow(3).sum()

    def second(scores):
        return torch.autograd.functional.hessian(loss, scores)

    limit, first = roundings(torch.float64, 5, 5), scores[0]
    one_by_one = torch.stack([masked_entmax(x, alpha=alpha) for x in scores])
    weights = torch.func.vmap(lambda x: masked_entmax(x, alpha=alpha))(scores)
    assert_close(weights, one_by_one, roundings=limit, largest=1.0)
    each = torch.func.vmap(torch.func.grad(loss), in_dims=1, out_dims=1)
    gradients = each(scores.movedim(0, 1)).movedim(1, 0)
    wants = torch.stack([torch.autograd.functional.jacobian(loss, x) for x in scores])
    assert_close(gradients, wants, roundings=limit, largest=1.0)
    for hessian in (torch.func.hessian(loss), torch.func.jacrev(torch.func.jacrev(loss))):
        assert_close(hessian(first), second(first), roundings=limit, largest=10.0)


@pytest.mark.parametrize("piece", [16, 10**6])
def test_many_alphas_at_once(piece, monkeypatch):
    monkeypatch.setattr(_entmax, "PIECE", piece)
    scores, alphas = draw(2, 3, 4, 5), 1 + draw(6, 3).sigmoid()
    weights = torch.func.vmap(lambda a: masked_entmax(scores, alpha=a))(alphas)
    want = torch.stack([masked_entmax(scores, alpha=a) for a in alphas])
    assert_close(weights, want, roundings=roundings(torch.float64, 5), largest=1.0)


def test_a_compiled_graph_has_second_derivatives():
    scores, alpha = draw(1, 1, 1, 5), torch.tensor([1.4], dtype=torch.float64)

    def loss(scores, alpha):
        return masked_entmax(scores, alpha=alpha).pow(2).sum()

    both = (0, 1)
    second = torch.func.jacrev(torch.func.jacrev(loss, argnums=both), argnums=both)
    torch.compiler.reset()
    compiled = torch.compile(second, fullgraph=True, backend="aot_eager", dynamic=False)
    for actual, want in zip(compiled(scores, alpha), second(scores, alpha), strict=True):
        for one, other in zip(actual, want, strict=True):
            limit = roundings(torch.float64, 5, 5)
            assert_close(one, other, roundings=limit, largest=other.abs().max().item())
    torch.compiler.reset()


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.5, 0.99, float("nan"), float("inf")])
def test_rejects_an_alpha_out_of_range(alpha):
    x = draw(2, 4, 5, 3)
    with pytest.raises(ConfigError, match=f"alpha must be finite and at least 1, got {alpha}"):
        entmax_attention(x, x, x, alpha=alpha)


@pytest.mark.parametrize("low, high", [(0.5, 1.5), (1.25, 2.5), (float("nan"), float("nan"))])
def test_rejects_alphas_out_of_range(low, high):
    x, alpha = draw(2, 4, 5, 3), torch.tensor([1.5, low, high, 1.5], dtype=torch.float64)
    message = f"alpha must be from 1 to 2 where it is a tensor, got {low} to {high}"
    with pytest.raises(ConfigError, match=message):
        entmax_weights(x, x, alpha=alpha)


def test_rejects_alphas_that_do_not_fit():
    x = draw(2, 4, 5, 3)
    message = re.escape("alpha must have shape (heads=4), got (2,)")
    with pytest.raises(ShapeError, match=message):
        entmax_weights(x, x, alpha=torch.ones(2))
    with pytest.raises(
        ConfigError, match=re.escape("alpha must be floating-point, got torch.int64")
    ):
        entmax_weights(x, x, alpha=torch.ones(4, dtype=torch.int64))
