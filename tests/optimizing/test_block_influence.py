"""Block influence against angles that are measured by hand."""

import torch
from torch import nn

from heedful.optimizing.block_influence import block_influence


class Turn(nn.Module):
    """Turns pairs of components; returns a tuple, as layers of transformers may."""

    def __init__(self, angle, *, several=False):
        super().__init__()
        self.cos, self.sin = torch.tensor(angle).cos(), torch.tensor(angle).sin()
        self.several = several

    def forward(self, hidden_states):
        x, y = hidden_states.unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack([self.cos * x - self.sin * y, self.sin * x + self.cos * y], -1)
        return (turned.flatten(-2), None) if self.several else turned.flatten(-2)


class Chain(nn.Module):
    def __init__(self, angles):
        super().__init__()
        self.layers = nn.ModuleList(Turn(x, several=i % 2 == 1) for i, x in enumerate(angles))
        self.out = nn.Linear(4, 3)
        self.spare = nn.Linear(4, 4)

    def forward(self, x):
        for layer in self.layers:
            x = layer(hidden_states=x)
            x = x[0] if isinstance(x, tuple) else x
        return self.out(x)


def test_it_is_one_minus_the_cosine_of_the_angle():
    angles = [0.1, 0.7, 1.5]
    model = Chain(angles)
    names = [f"layers.{number}" for number in range(3)]
    batches = [
        torch.randn(2, size, 4, generator=torch.Generator().manual_seed(size)) for size in (3, 5)
    ]
    runs = [lambda x=x: model(x) for x in batches]
    found = block_influence(model, [*names, "out", "spare"], runs)
    want = 1 - torch.tensor(angles, dtype=torch.float64).cos()
    torch.testing.assert_close(
        torch.tensor([found[name] for name in names]).double(), want, atol=1e-6, rtol=0
    )
    assert found.keys() == set(names)  # `out` changes the shape, and `spare` never runs
    assert not any(layer._forward_hooks for layer in model.modules())


def test_what_runs_twice_is_left_out():
    model = Chain([0.1, 0.2])
    model.layers.append(model.layers[0])
    x = torch.ones(1, 2, 4)
    assert block_influence(model, ["layers.0", "layers.1"], [lambda: model(x)]).keys() == {
        "layers.1"
    }
