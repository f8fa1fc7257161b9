"""The operators of the native kernel: what torch's own check asks, graphs, counts, gradients."""

import os
import subprocess
import sys

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import heedful
from heedful.kernels.call import Call
from heedful.kernels.cpu import operator
from heedful.mask import Mask
from heedful.testing.masks import MASKS, Sizes

pytestmark = pytest.mark.usefixtures("kernel")
SMALL = Sizes(kv_heads=2)
MASKED = ("none", "both", "segments", "blocks", "either")
COMPILED = """
import torch, heedful

def attend(query, key, value):
    return heedful.attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))

given = [torch.randn(2, 300, 4, 32, requires_grad=True) for _ in range(3)]
found, want = torch.compile(attend)(*given), attend(*given)
torch.testing.assert_close(found, want)
for one, other in zip(*(torch.autograd.grad(x.sum(), given) for x in (found, want))):
    torch.testing.assert_close(one, other)
assert any("heedful" in str(op) for op in torch._inductor.lowering.lowerings)
print("the same")
"""
CHECKED = [("both", torch.float32), ("segments", torch.float32), ("blocks", torch.bfloat16)]


def draw(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tensors(sizes=SMALL, dtype=torch.float32):
    return (
        draw(sizes.batch, sizes.heads, sizes.queries, sizes.dim, dtype=dtype),
        draw(sizes.batch, sizes.kv_heads, sizes.keys, sizes.dim, seed=2, dtype=dtype),
        draw(sizes.batch, sizes.kv_heads, sizes.keys, sizes.value_dim, seed=3, dtype=dtype),
    )


def arguments(call):
    """What the operator takes."""
    low, high, sinks, lengths, query_ids, key_ids, grid, block, dense = call.pattern()
    tables = (lengths, query_ids, key_ids, grid, dense)
    return (*call[:3], call.bias, *tables, low, high, sinks, block, call.scale)


# torch 2.14 looks at gradients of what is no leaf, in its own check
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("kind, dtype", CHECKED)
def test_torch_finds_no_fault(kind, dtype):
    mask, _ = MASKS[kind](SMALL)
    given = [x.requires_grad_() for x in tensors(dtype=dtype)]
    bias = draw(4, 1, 7, seed=4, dtype=dtype).requires_grad_()
    call = Call.of(*given, mask, bias)
    torch.library.opcheck(torch.ops.heedful.attend.default, arguments(call))
    output, sums = (x.detach() for x in operator.attend(call))
    inputs = [None if x is None else x.detach() if torch.is_tensor(x) else x
              for x in arguments(call)]  # fmt: skip
    for by_sums in (None, draw(2, 4, 5)):
        for bias_gradient in (False, True):
            first = (draw(*output.shape, dtype=dtype), by_sums, output, sums, bias_gradient)
            torch.library.opcheck(torch.ops.heedful.attend_backward.default, (*first, *inputs))


def test_a_fake_lies_as_the_real_one():
    query, key, value = tensors()
    turned = query.transpose(1, 2).contiguous().transpose(1, 2)
    for first in (query, turned):
        output, sums = operator.attend(Call.of(first, key, value))
        with FakeTensorMode() as mode:
            fakes = [mode.from_tensor(x) for x in (first, key, value)]
            fake, fake_sums = operator.attend(Call.of(*fakes))
        for one, other in ((output, fake), (sums, fake_sums)):
            assert (one.shape, one.stride(), one.dtype) == (
                other.shape, other.stride(), other.dtype)  # fmt: skip


# ---- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("sizes", [SMALL, Sizes(queries=50, keys=70), Sizes(
    batch=1, heads=2, kv_heads=1, queries=9, keys=2100)])  # fmt: skip
@pytest.mark.parametrize("which", ["output", "sums", "both"])
def test_the_logarithms_have_a_gradient(exact, agree, dtype, sizes, which):
    given = tensors(sizes, dtype)
    bias = draw(sizes.heads, 1, sizes.keys, seed=4)
    # the first row of the batch sees nothing where there are two
    lengths = torch.tensor([0, sizes.keys - 1][-sizes.batch :])
    mask = Mask.lengths(lengths)
    leaves = [x.clone().requires_grad_() for x in (*given, bias)]
    output, sums = operator.attend(Call.of(*leaves[:3], mask, leaves[3]))
    doubles = [x.double().requires_grad_() for x in (*given, bias)]
    want, logarithms = exact(*doubles[:3], mask=mask, bias=doubles[3])
    assert sums.dtype == torch.float32
    assert torch.equal(sums.isinf(), logarithms.isinf())
    agree(sums.to(dtype), logarithms, sizes.dim, sizes.keys)
    seen = lengths > 0
    by, by_sums = draw(*output.shape, seed=6, dtype=dtype), draw(*sums.shape, seed=7)
    parts = {"output": [0], "sums": [1], "both": [0, 1]}[which]
    ends, exact_ends = (
        [pair[i][seen] for i in parts] for pair in ((output, sums), (want, logarithms))
    )
    grads = [(by, by_sums)[i][seen] for i in parts]
    found = torch.autograd.grad(ends, leaves, grads, allow_unused=True)
    wanted = torch.autograd.grad(exact_ends, doubles, [x.double() for x in grads],
                                 allow_unused=True)  # fmt: skip
    rows = sizes.queries * sizes.heads * sizes.batch
    for one, other in zip(found, wanted, strict=True):
        other = torch.zeros_like(one, dtype=torch.float64) if other is None else other
        agree(one.to(dtype), other, sizes.dim, sizes.keys, sizes.keys, rows)


def test_both_ways_give_the_same_bits():
    given = [x.requires_grad_() for x in tensors(Sizes(queries=50, keys=70))]
    bias = draw(4, 1, 70, seed=4).requires_grad_()
    by = draw(2, 4, 50, 6, seed=6)
    mask = Mask.window(20)
    short = heedful.attend(*given, mask=mask, bias=bias, impl="cpu")
    long, _ = operator.attend(Call.of(*given, mask, bias))
    assert torch.equal(short, long)
    first, second = (torch.autograd.grad(x, (*given, bias), by) for x in (short, long))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_a_second_gradient_is_refused():
    leaves = [x.requires_grad_() for x in tensors()]
    output, _ = operator.attend(Call.of(*leaves))
    first = torch.autograd.grad((output**2).sum(), leaves, create_graph=True)
    with pytest.raises(RuntimeError):
        first[0].sum().backward()


# ---- graphs --------------------------------------------------------------------------------------


class Attention(torch.nn.Module):
    """One call."""

    def __init__(self, mask, bias):
        super().__init__()
        self.mask, self.bias = mask, torch.nn.Parameter(bias)

    def forward(self, query, key, value):
        return heedful.attend(
            query, key, value, mask=self.mask, bias=self.bias, scale=0.3, impl="cpu"
        )


@pytest.fixture
def compiled():
    """`torch.compile` without code of a backend's own: the graph is what is looked at."""
    torch.compiler.reset()
    yield lambda module, **how: torch.compile(module, fullgraph=True, backend="aot_eager", **how)
    torch.compiler.reset()


@pytest.mark.parametrize("kind", MASKED)
def test_compiles(compiled, kind):
    sizes = Sizes(kv_heads=2, queries=50, keys=70)
    module = Attention(MASKS[kind](sizes)[0], draw(4, 1, 70, seed=4))
    given = [x.requires_grad_() for x in tensors(sizes)]
    inputs, by = (*given, module.bias), draw(2, 4, 50, 6, seed=6)
    want = module(*given)
    output = compiled(module)(*given)
    assert torch.equal(output, want)
    first, second = (torch.autograd.grad(x, inputs, by) for x in (output, want))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_compiles_for_any_length(compiled):
    def attend(query, key, value):
        return heedful.attend(query, key, value, mask=Mask.causal(), impl="cpu")

    graph = compiled(attend, dynamic=True)
    for queries, keys in ((50, 70), (51, 73), (40, 90)):
        given = tensors(Sizes(queries=queries, keys=keys))
        assert torch.equal(graph(*given), attend(*given))


def test_compiles_under_autocast(compiled):
    def attend(query, key, value):
        with torch.autocast("cpu", torch.bfloat16):
            return heedful.attend(query, key, value, impl="cpu")

    given = tensors(Sizes(queries=50, keys=70))
    output = compiled(attend)(*given)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, attend(*given))


@pytest.mark.parametrize("kind", MASKED)
def test_exports(kind):
    sizes = Sizes(kv_heads=2, queries=50, keys=70)
    module = Attention(MASKS[kind](sizes)[0], draw(4, 1, 70, seed=4)).eval()
    given = tensors(sizes)
    with torch.no_grad():
        program = torch.export.export(module, given, strict=False)
        assert torch.equal(program.module()(*given), module(*given))
    names = {str(node.target) for node in program.graph.nodes}
    assert "heedful.attend.default" in names


class Masked(torch.nn.Module):
    """Attention whose mask is made of an input."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x, given):
        masks = {
            "lengths": Mask.lengths,
            "segments": Mask.segments,
            "dense": lambda table: Mask.dense(table[:, None, None] > 0),
        }
        x = x.unflatten(-1, (4, -1)).transpose(1, 2)
        return heedful.attend(x, x, x, mask=masks[self.kind](given) & Mask.causal())

    def inputs(self, batch, length, dtype=torch.float32):
        """The first text is whole, the second empty."""
        x, lengths = draw(batch, length, 32, dtype=dtype), torch.tensor([length, 0, 3, 2])[:batch]
        there = torch.arange(length) < lengths[:, None]
        table = there.long() if self.kind == "dense" else torch.arange(length) // 2 * there
        return x, lengths if self.kind == "lengths" else table

    def exported(self, dtype):
        batch = torch.export.Dim("batch", min=2, max=64)
        length = torch.export.Dim("length", min=2, max=512)
        shapes = (
            {0: batch, 1: length},
            {0: batch} | ({} if self.kind == "lengths" else {1: length}),
        )
        with torch.no_grad():
            return torch.export.export(self, self.inputs(3, 9, dtype), dynamic_shapes=shapes)


def agree_for_other_sizes(run, module, dtype):
    for batch, length in ((2, 5), (4, 12)):
        given = module.inputs(batch, length, dtype)
        torch.testing.assert_close(run(*given), module(*given))


LEAF = "ignore:.*LeafSpec:FutureWarning"  # which torch itself raises


@pytest.mark.filterwarnings(LEAF)
@pytest.mark.parametrize(
    "kind, dtype",
    [("lengths", torch.float32), ("segments", torch.float32), ("dense", torch.float64)],
)
def test_exports_for_any_batch_and_length(kind, dtype):
    module = Masked(kind)
    program = module.exported(dtype)
    agree_for_other_sizes(program.module(), module, dtype)
    plain = {**torch.export.default_decompositions()}
    plain |= torch._decomp.get_decompositions([torch.ops.heedful.attend])
    program = program.run_decompositions(plain)
    assert not any("heedful" in str(node.target) for node in program.graph.nodes)
    agree_for_other_sizes(program.module(), module, dtype)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_onnx_runtime_gives_the_same(tmp_path, dtype):
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name)
    runtime = pytest.importorskip("onnxruntime")
    module = Masked("lengths")
    torch.onnx.export(module.exported(dtype), dynamo=True).save(tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    names = [x.name for x in session.get_inputs()]

    def run(*given):
        found = session.run(None, {n: x.numpy() for n, x in zip(names, given, strict=True)})
        return torch.from_numpy(found[0])

    agree_for_other_sizes(run, module, dtype)
    assert bool((run(*module.inputs(2, 5, dtype))[1] == 0).all())


@pytest.mark.slow  # compiled in a process of its own, without what was compiled before
def test_it_compiles_where_the_environment_says_ci():
    environment = {**os.environ, "CI": "true", "TORCHINDUCTOR_FX_GRAPH_CACHE": "0"}
    environment["TORCHINDUCTOR_AUTOGRAD_CACHE"] = "0"
    found = subprocess.run(
        [sys.executable, "-c", COMPILED], env=environment, capture_output=True, text=True
    )
    assert (found.returncode, found.stdout) == (0, "the same\n"), found.stderr


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_decomposition_is_the_operator(kind, dtype):
    call = Call.of(*tensors(dtype=dtype), MASKS[kind](SMALL)[0], draw(4, 1, 7, seed=4))
    turned = call.query.transpose(1, 2).contiguous().transpose(1, 2)
    for query in (call.query, turned):
        want = operator.attend(call._replace(query=query))
        found = operator._composed(query, *arguments(call)[1:])
        for a, b in zip(found, want, strict=True):
            torch.testing.assert_close(a, b)
            assert a.stride() == b.stride()


# ---- counting ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mask, skips",
    [
        (None, False),
        (Mask.causal(), True),
        (Mask.causal(align="start"), True),
        (Mask.window(2, ahead=1, sinks=2), True),
        (Mask.window(2, sinks=9) & Mask.anticausal(), True),
        (Mask.blocks(torch.tensor([[[[True, False], [False, False]]]]), block=4), True),
        (Mask.lengths(torch.tensor([3, 0])), False),
        (Mask.dense(torch.zeros(1, 1, dtype=torch.bool)), False),
    ],
)
def test_counts_operations(mask, skips):
    sizes = Sizes(kv_heads=2, queries=8, keys=8)
    given = [x.requires_grad_() for x in tensors(sizes)]
    pairs = 2 * 4 * 8 * 8  # batch, heads, queries, keys
    if skips:
        pairs = int(mask.to_bool(8, 8, batch=2, heads=4).expand(2, 4, 8, 8).sum())
    with FlopCounterMode(display=False) as counted:
        output = heedful.attend(*given, mask=mask, impl="cpu")
        assert counted.get_total_flops() == 2 * pairs * (3 + 6)
        output.sum().backward()
    # backward: scores again, and two gradients along dim; weights' and values' along value_dim
    assert counted.get_total_flops() == 2 * pairs * (3 + 6) + 2 * pairs * (3 * 3 + 2 * 6)
    assert set(counted.get_flop_counts()["Global"]) == {
        torch.ops.heedful.attend,
        torch.ops.heedful.attend_backward,
    }
