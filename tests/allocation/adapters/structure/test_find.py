"""Heads are told apart by what they depend on, and what cannot be told apart is refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from heedful.allocation.adapters.structure import find as find_module
from heedful.allocation.adapters.structure.find import find
from heedful.errors import UnsupportedError

from .toy import DIM, HEADS, WIDTH, Toy

pytest.importorskip("transformers")
ROWS = torch.arange(HEADS * DIM).unflatten(0, (HEADS, DIM))


def rows_of(part):
    return part.rows.tolist()


def test_finds_the_rows_of_each_head():
    found = find(Toy())
    assert [found.query.path, found.key.path, found.value.path, found.out.path] == list("qkvo")
    for part in (found.query, found.key, found.value, found.out):
        assert rows_of(part) == ROWS.tolist()
    assert (found.rotary, found.fixed, found.gates, found.companions) == (None, False, (), ())
    assert found.scale == pytest.approx(DIM**-0.5)
    assert found.beside is None


def test_finds_keys_that_all_heads_share():
    assert rows_of(find(Toy(kv_heads=1)).key) == [list(range(DIM))]


class Fused(Toy):
    """Rows one by one: of every component all heads, of every head query, key and value."""

    def __init__(self):
        super().__init__()
        self.q = nn.Linear(WIDTH, 3 * HEADS * DIM)
        del self.k, self.v

    def made(self, x):
        return self.q(x).unflatten(-1, (DIM, HEADS, 3)).permute(4, 0, 3, 1, 2).unbind(0)


def test_finds_rows_in_any_order():
    found = find(Fused())
    place = torch.arange(3 * HEADS * DIM).unflatten(0, (DIM, HEADS, 3))
    for i, part in enumerate((found.query, found.key, found.value)):
        assert part.path == "q"
        assert rows_of(part) == place[:, :, i].T.tolist()


class Gated(Toy):
    def __init__(self):
        super().__init__()
        self.g = nn.Linear(WIDTH, HEADS * DIM)

    def between(self, mixed, x):
        return mixed * self.g(x).sigmoid()


class Biased(Toy):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(7, HEADS))

    def scores(self, scores):
        return scores + self.bias.mean(0)[:, None, None]


class Normed(Toy):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(DIM)

    def split(self, x):
        return self.norm(super().split(x))


def test_finds_gates_and_companions_and_norms():
    (gate,) = find(Gated()).gates
    assert (gate.path, rows_of(gate)) == ("g", ROWS.tolist())
    (companion,) = find(Biased()).companions
    assert (companion.path, companion.axis) == ("bias", 1)
    assert rows_of(companion) == [[0], [1], [2]]
    assert find(Normed()).fixed


class NormedOverAll(Toy):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(HEADS * DIM)

    def made(self, x):
        return self.split(self.norm(self.q(x))), self.split(self.k(x)), self.split(self.v(x))


class TwoMakers(Toy):
    def __init__(self):
        super().__init__()
        self.p = nn.Linear(WIDTH, HEADS * DIM)

    def made(self, x):
        query, *rest = super().made(x)
        return query + self.split(self.p(x)), *rest


class NoLayer(Toy):
    def made(self, x):
        _, *rest = super().made(x)
        return self.split(x.mean(-1, keepdim=True) * torch.ones(HEADS * DIM)), *rest


class Mixing(Toy):
    def between(self, mixed, x):
        return mixed.cumsum(-1)


class NoOutput(Toy):
    def given(self, mixed):
        return mixed


class TwoOutputs(Toy):
    def __init__(self):
        super().__init__()
        self.p = nn.Linear(HEADS * DIM, WIDTH)

    def given(self, mixed):
        return self.o(mixed) + self.p(mixed)


class OneGate(Toy):
    def __init__(self):
        super().__init__()
        self.g = nn.Linear(WIDTH, 1)

    def between(self, mixed, x):
        return mixed * self.g(x)


class Leftover(Toy):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(WIDTH, HEADS * DIM + 1)

    def made(self, x):
        return self.split(self.q(x)[..., :-1]), self.split(self.k(x)), self.split(self.v(x))


class Crossed(Toy):
    def __init__(self):
        super().__init__(kv_heads=2)
        self.num_heads = 4
        self.q, self.o = nn.Linear(WIDTH, 4 * DIM), nn.Linear(4 * DIM, WIDTH)

    def made(self, x):
        query, key, value = super().made(x)
        return query, key.repeat(1, 2, 1, 1), value.repeat(1, 2, 1, 1)


class Uneven(Toy):
    def __init__(self):
        super().__init__()
        self.k = nn.Linear(WIDTH, DIM)

    def made(self, x):
        query, key, value = super().made(x)
        return query, key.expand_as(query), value


class Twice(Toy):
    def made(self, x):
        return self.split(self.q(x)), self.split(self.q(x)), self.split(self.v(x))


class Tangled(Toy):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(HEADS + 1))

    def scores(self, scores):
        return scores + (self.bias[1:] * self.bias[:-1])[:, None, None]


class OutsideOut(Toy):
    def given(self, mixed):
        return functional.linear(mixed, self.o.weight, self.o.bias)


class OutsideAgain(Toy):
    def made(self, x):
        query = functional.linear(2 * x, self.q.weight, self.q.bias)
        return self.split(query), self.split(self.k(x)), self.split(self.v(x))


class Plain(Toy):
    def forward(self, hidden_states):
        return self.o(self.q(hidden_states))


class Broken(Toy):
    def forward(self, hidden_states):
        raise ValueError("not today")


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.o, self.mlp = NoOutput(), nn.Linear(HEADS * DIM, 9), nn.Linear(9, WIDTH)
        self.inner.o = nn.Identity()

    def forward(self, hidden_states):
        return self.mlp(self.o(self.inner(hidden_states)))


@pytest.mark.parametrize(
    "kind, reason",
    [
        (NormedOverAll, "its queries have no rows of their own in q: each head needs all heads"),
        (TwoMakers, "its queries are made by 2 layers: q, p"),
        (NoLayer, "no linear layer makes its queries"),
        (Mixing, "what stands between its heads and its output mixes them"),
        (NoOutput, "no linear layer follows its heads"),
        (TwoOutputs, "several layers follow its heads: o, p"),
        (OneGate, "its g weighs all heads together"),
        (Leftover, "its q has rows that belong to no head, or to several"),
        (Crossed, "its heads must share keys with their neighbours"),
        (Uneven, "its heads must come in equal groups, got"),
        (Twice, "its q works twice in one call"),
        (Tangled, "its bias belongs to heads in a way that cannot be cut"),
        (Plain, "it ran, and no softmax of products of queries and keys was heard"),
        (Broken, "it could not be called alone, ValueError: not today"),
        (Nested, "its output stands among others: mlp"),
    ],
)
def test_refuses(kind, reason):
    with pytest.raises(UnsupportedError, match=reason):
        find(kind())


@pytest.mark.parametrize("kind, path", [(OutsideOut, "o"), (OutsideAgain, "q")])
def test_layers_that_never_run_are_found_by_products_with_their_weights(kind, path):
    found, plain = find(kind()), find(Toy())
    assert found.around == (path,)
    assert (found.query.path, found.out.path) == ("q", "o")
    assert torch.equal(found.out.rows, plain.out.rows)


def test_what_goes_wrong_in_modules_of_others_is_no_fault_of_the_caller(monkeypatch):
    monkeypatch.setattr(find_module, "traced", lambda *_: 1 / 0)
    with pytest.raises(UnsupportedError, match="it was not understood, ZeroDivisionError"):
        find(Toy())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_finds_heads_whatever_the_caller_does_about_gradients(mode):
    with mode():
        assert rows_of(find(Toy()).out) == ROWS.tolist()
