"""An `attend` that needs no native kernel, and says what it was asked."""

import time
from types import SimpleNamespace

import pytest
from torch.nn.functional import scaled_dot_product_attention

from heedful.bench.attention import rates
from heedful.bench.attention.row import Row
from heedful.errors import KernelError


@pytest.fixture
def attend(monkeypatch):
    """Replaces `heedful.kernels.attend.attend`; `delay` seconds slower than SDPA."""
    import heedful.kernels.attend as module

    asked = SimpleNamespace(impl=[], mask=[], delay=0.0)

    def stub(query, key, value, *, mask=None, impl="auto"):
        asked.impl.append(impl)
        asked.mask.append(mask)
        time.sleep(asked.delay)
        batch, heads, queries, _ = query.shape
        seen = None
        if mask is not None:
            seen = mask.to_bool(queries, key.shape[2], batch=batch, heads=heads)
        return scaled_dot_product_attention(query, key, value, attn_mask=seen)

    monkeypatch.setattr(module, "attend", stub)
    return asked


@pytest.fixture
def read_all(monkeypatch):
    """Replaces `heedful.kernels.cpu.native.read_all`; set `there` to False to take it away."""
    import sys
    from types import ModuleType

    fake = ModuleType("heedful.kernels.cpu.native")
    state = SimpleNamespace(there=True, bytes=[])

    def stub(tensor):
        if not state.there:
            raise KernelError("a compiler must be there, got none")
        state.bytes.append(tensor.numel() * tensor.element_size())
        return float(tensor.sum())

    fake.read_all = stub
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    return state


@pytest.fixture
def small_matrices(monkeypatch):
    """The matrix products that are measured beside take no time."""
    monkeypatch.setattr(rates.MatrixRates.__init__, "__defaults__", (time.monotonic, 16))


@pytest.fixture
def row():
    """Another value for every field."""
    return Row(
        case="causal",
        dtype="bf16",
        batch=2,
        heads=3,
        queries=5,
        keys=7,
        dim=4,
        density=0.5,
        causal=True,
        backward=False,
        threads=2,
        ours_ms=1.5,
        sdpa_ms=6.0,
        flex_ms=None,
        speedup=4.0,
        error=0.002,
        sdpa_error=0.001,
        matrix_fraction=0.75,
    )
