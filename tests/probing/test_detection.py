"""What a call tells of attention that has no name."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import heedful
from heedful.nn import Attention
from heedful.nn.vision import NonLocal
from heedful.probing.detection import detect_attention

WIDTH = 12


class Own(nn.Module):
    """Attends in the way of a subclass, with a projection that says nothing."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.act = (
            nn.Linear(WIDTH, 3 * WIDTH),
            nn.Linear(WIDTH, WIDTH),
            nn.Softmax(-1),
        )

    def forward(self, x):
        heads = self.a(x).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        return self.b(self.mix(*heads).transpose(1, 2).flatten(2))


class Plain(Own):
    def mix(self, q, k, v):
        weights = functional.softmax(q @ k.transpose(-2, -1) / 3, dim=-1)
        return functional.dropout(weights, 0.1, self.training) @ v


class ByModule(Own):
    def mix(self, q, k, v):
        return torch.matmul(self.act(torch.einsum("bhid,bhjd->bhij", q, k)).to(v.dtype), v)


class Fused(Own):
    def mix(self, q, k, v):
        return functional.scaled_dot_product_attention(q, k, v)


class Ours(Own):
    def mix(self, q, k, v):
        return heedful.attend(q, k, v)


class Linearised(Own):
    def mix(self, q, k, v):
        q, k = functional.elu(q) + 1, functional.elu(k) + 1
        return q @ (k.mT @ v) / (q @ k.sum(2)[..., None])


class Sigmoids(Own):
    def mix(self, q, k, v):
        return torch.sigmoid(q @ k.mT) @ v


class Additive(Own):
    def mix(self, q, k, v):
        scores = torch.tanh(q[:, :, :, None] + k[:, :, None]).sum(-1)
        return (scores.softmax(-1).unsqueeze(-1) * v[:, :, None]).sum(3)


class Frozen(nn.Module):
    """No attention: a gate, a classifier, a router, low ranks of a weight, and a norm."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.low, self.high = nn.Parameter(torch.ones(WIDTH, 2)), nn.Parameter(torch.ones(2, WIDTH))

    def forward(self, x):
        gated = x * self.a(x).sigmoid()
        routed = self.b(x).softmax(-1).topk(2).values.sum(-1, keepdim=True) * gated
        return (routed @ (self.low @ self.high) + x).log_softmax(-1)


REASONS = {
    Plain: "sums up by a softmax",
    ByModule: "sums up by a softmax",
    Fused: "calls scaled_dot_product_attention",
    Ours: "calls heedful.attend",
    Linearised: "multiplies three tensors that depend on its input",
    Sigmoids: "multiplies three tensors that depend on its input",
    Additive: "sums up by a softmax",
}


@pytest.mark.parametrize("kind", REASONS, ids=lambda kind: kind.__name__)
def test_whoever_attends_is_found(kind):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(WIDTH, WIDTH), kind(), Frozen()), torch.randn(2, 5, WIDTH)
    want = model(x)
    found = detect_attention(model, lambda m: m(x))
    assert list(found) == ["1"]
    assert found["1"].startswith(f"{kind.__name__} {REASONS[kind]}")
    assert torch.equal(model(x), want) == (kind is not Plain)  # whose dropout draws


def test_what_is_known_is_left_out():
    model = nn.Sequential(
        Attention(width=WIDTH, heads=2), nn.TransformerEncoderLayer(WIDTH, 2, 16), Plain()
    ).eval()
    x = torch.randn(2, 5, WIDTH)
    found = detect_attention(model, lambda m: m(x), known=["0", "1.self_attn"])
    assert list(found) == ["2"]
    assert detect_attention(model, lambda m: m(x), known=["0", "1", "2"]) == {}
    assert "1.self_attn" in detect_attention(model, lambda m: m(x))


def test_a_function_outside_of_the_model_is_nobody():
    model, x = nn.Linear(WIDTH, WIDTH), torch.randn(5, WIDTH)
    assert detect_attention(model, lambda m: m(x).softmax(-1) @ x.mT) == {}


def test_pixels_attend_as_well():
    model = nn.Sequential(NonLocal(channels=4))
    assert list(detect_attention(model, lambda m: m(torch.randn(1, 4, 3, 3)))) == ["0"]


def test_what_the_run_raises_comes_out():
    with pytest.raises(ZeroDivisionError):
        detect_attention(nn.Linear(1, 1), lambda m: 1 / 0)


def test_compiled_functions_are_seen_through():
    @torch.compile(backend="eager")
    def mix(q, k, v):
        return (q @ k.mT).softmax(-1) @ v

    model, x = nn.Sequential(Own()), torch.randn(2, 5, WIDTH)
    model[0].mix = mix
    assert detect_attention(model, lambda m: m(x)) == {
        "0": "Own sums up by a softmax, and no adapter knows it"
    }
