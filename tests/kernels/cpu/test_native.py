"""What the library computes: every size, layout, mask and thread count, against float64."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from heedful.errors import KernelError
from heedful.kernels.cpu import build, native
from heedful.kernels.cpu.isa import ISAS
from heedful.mask import Mask, Pattern
from heedful.testing.masks import MASKS, Sizes

pytestmark = pytest.mark.usefixtures("kernel")
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SECONDS = 60  # that a child may take


def draw(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tensors(sizes, dtype=torch.float32):
    return (
        draw(sizes.batch, sizes.heads, sizes.queries, sizes.dim, dtype=dtype),
        draw(sizes.batch, sizes.kv_heads, sizes.keys, sizes.dim, seed=2, dtype=dtype),
        draw(sizes.batch, sizes.kv_heads, sizes.keys, sizes.value_dim, seed=3, dtype=dtype),
    )


def attend(query, key, value, *, mask=None, bias=None, scale=None):
    """The output and the logarithms."""
    batch, heads, queries, dim = query.shape
    found = Pattern()
    if mask is not None:
        found = mask.pattern(queries, key.shape[2], batch=batch, heads=heads)
    scale = dim**-0.5 if scale is None else scale
    return native.forward(query, key, value, bias, found, scale, log_sum=True)[:2]


def compare(exact, agree, given, **settings):
    output, sums = attend(*given, **settings)
    want, logarithms = exact(*given, **settings)
    dim, keys = given[0].shape[3], given[1].shape[2]
    agree(output, want, dim, keys, keys)
    assert torch.equal(sums.isinf(), logarithms.isinf())
    # half precision is an error of the weights; the logarithm of their sum has no more than that
    agree(sums.to(output.dtype), logarithms, dim, keys)
    return output, sums


# ---- sizes ---------------------------------------------------------------------------------------

# few queries in all (decoding) and many, of one head or of several that share their keys
QUERIES = {"one": (4, 4, 1), "most_of_few": (2, 2, 8), "shared": (8, 2, 2), "many": (4, 2, 5)}
QUERIES |= {"tiles": (2, 2, 150), "all_share": (8, 1, 1), "first_of_many": (3, 3, 9)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.parametrize("keys", [1, 31, 300])
def test_gives_what_doubles_give(exact, agree, dtype, queries, keys):
    heads, kv_heads, count = QUERIES[queries]
    sizes = Sizes(heads=heads, kv_heads=kv_heads, queries=count, keys=keys, dim=24, value_dim=40)
    compare(exact, agree, tensors(sizes, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 80, 129, 255, 256])
def test_every_head_size(exact, agree, dtype, dim):
    for value_dim in (dim, 257 - dim):
        for queries in (2, 30):
            sizes = Sizes(queries=queries, keys=37, dim=dim, value_dim=value_dim)
            compare(exact, agree, tensors(sizes, dtype))


@pytest.mark.parametrize("isa", list(ISAS)[1:])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_instruction_set(exact, agree, use, isa, dtype):
    use(isa)
    for queries, keys, dim in ((1, 70, 1), (2, 300, 64), (3, 33, 65), (50, 70, 17), (140, 530, 40)):
        sizes = Sizes(queries=queries, keys=keys, dim=dim, value_dim=dim + 3, kv_heads=2)
        mask = Mask.window(100, sinks=3) & Mask.lengths(torch.tensor([keys - 1, keys]))
        compare(exact, agree, tensors(sizes, dtype), mask=mask, bias=draw(4, 1, keys, seed=4))


# ---- masks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("queries, keys", [(2, 290), (50, 70), (290, 290)])
@pytest.mark.parametrize("kind", MASKS)
def test_every_mask(exact, agree, dtype, queries, keys, kind):
    sizes = Sizes(heads=2, kv_heads=2, queries=queries, keys=keys, dim=8, value_dim=20)
    mask, _ = MASKS[kind](sizes)
    compare(exact, agree, tensors(sizes, dtype), mask=mask)


@pytest.mark.parametrize("align", ["end", "start"])
@pytest.mark.parametrize("queries, keys", [(40, 300), (300, 40), (3, 1500), (200, 200)])
def test_bands_with_sinks(exact, agree, align, queries, keys):
    sizes = Sizes(heads=2, kv_heads=1, queries=queries, keys=keys, dim=8, value_dim=20)
    given = tensors(sizes)
    # sinks also just before the borders of tiles
    for window, ahead, sinks in (
        *((1, 0, 0), (5, 3, 0), (33, 0, 1), (64, 70, 40), (7, 0, 600)),
        *((1, 0, 31), (1, 0, 127), (1, 0, 255), (32, 31, 256), (33, 32, 257)),
    ):
        mask = Mask.window(window, ahead=ahead, sinks=sinks, align=align)
        compare(exact, agree, given, mask=mask)


@pytest.mark.parametrize("block", [1, 3, 16, 20, 32, 64, 100, 128, 200])
def test_blocks_of_every_size(exact, agree, block):
    sizes = Sizes(heads=2, kv_heads=1, queries=270, keys=300, dim=8, value_dim=20)
    shape = (2, 2, -(-270 // block), -(-300 // block))
    grid = torch.rand(shape, generator=torch.Generator().manual_seed(block)) < 0.4
    mask = Mask.blocks(grid, block=block)
    lengths = Mask.lengths(torch.tensor([299, 120]))
    for whole in (
        mask,
        mask & Mask.causal(),
        mask & lengths,
        mask & Mask.blocks(grid, block=block),
    ):
        compare(exact, agree, tensors(sizes), mask=whole)


@pytest.mark.parametrize("shape", [(1, 1, 1, 70), (2, 1, 50, 1), (1, 4, 1, 1), (2, 4, 50, 70)])
@pytest.mark.parametrize("queries", [2, 50])
def test_a_dense_mask_broadcasts(exact, agree, queries, shape):
    shape = tuple(min(size, queries) if axis == 2 else size for axis, size in enumerate(shape))
    table = torch.rand(shape, generator=torch.Generator().manual_seed(5)) < 0.5
    sizes = Sizes(queries=queries, keys=70, dim=8, value_dim=20)
    compare(exact, agree, tensors(sizes), mask=Mask.dense(table))


def test_segments_that_are_not_sorted(exact, agree):
    generator = torch.Generator().manual_seed(5)
    ids, others = (torch.randint(0, 3, (2, n), generator=generator) for n in (50, 300))
    sizes = Sizes(queries=50, keys=300, dim=8, value_dim=20)
    compare(exact, agree, tensors(sizes), mask=Mask.segments(ids, others))
    compare(exact, agree, tensors(sizes), mask=Mask.segments(ids, others.sort(1).values - 1))


@pytest.mark.parametrize("queries", [1, 2, 30])
@pytest.mark.parametrize("first, last", [(0, 10), (1030, 2047), (2500, 3000), (900, 2100)])
def test_masks_that_hide_whole_parts_of_many_keys(exact, agree, queries, first, last):
    sizes = Sizes(batch=1, heads=4, kv_heads=2, queries=queries, keys=3000, dim=8, value_dim=20)
    position = torch.arange(3000)
    inside = (position >= first) & (position < last)
    for mask in (Mask.dense(inside[None]), Mask.dense(~inside[None])):
        compare(exact, agree, tensors(sizes), mask=mask)
    compare(exact, agree, tensors(sizes), mask=Mask.lengths(torch.tensor([last])))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("queries", [2, 30])
@pytest.mark.parametrize("keys", [7, 2100])
def test_rows_that_see_nothing(dtype, queries, keys):
    given = tensors(Sizes(queries=queries, keys=keys, dim=8, value_dim=20), dtype)
    table = torch.rand(1, 1, queries, keys, generator=torch.Generator().manual_seed(5)) < 0.5
    table[:, :, 1] = False
    for mask in (Mask.lengths(torch.tensor([0, keys])), Mask.dense(table)):
        output, sums = attend(*given, mask=mask)
        lost = torch.zeros(2, 4, queries, dtype=torch.bool)
        if mask == Mask.dense(table):
            lost[:, :, 1] = True
        else:
            lost[0] = True
        assert (output[lost] == 0).all()
        assert (sums[lost] == -torch.inf).all()
        assert output[~lost].isfinite().all()
        assert sums[~lost].isfinite().all()


# ---- numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [-0.7, 0.0, 3.0])
@pytest.mark.parametrize("queries", [2, 30])
@pytest.mark.parametrize("bias", [None, draw(30, seed=4)])
def test_any_scale(exact, agree, scale, queries, bias):
    given = tensors(Sizes(queries=queries, keys=30, dim=8, value_dim=20))
    compare(exact, agree, given, scale=scale, bias=bias)
    compare(exact, agree, given, scale=scale, bias=bias, mask=Mask.causal())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("queries", [2, 30])
@pytest.mark.parametrize("scale", [1e3, -1e3, 1e8, -1e8])
def test_huge_scores(exact, agree, dtype, queries, scale):
    query, key, value = tensors(Sizes(queries=queries, keys=300, dim=8, value_dim=20), dtype)
    query, key = query.round(), (key * 100).round()  # so that scores are whole and far apart
    for mask in (None, Mask.lengths(torch.tensor([0, 211]))):
        output, sums = attend(query, key, value, mask=mask, scale=scale)
        want, _ = exact(query, key, value, mask=mask, scale=scale)
        agree(output, want, 8)
        assert not sums.isnan().any()


@pytest.mark.parametrize("queries", [2, 30])
@pytest.mark.parametrize("keys", [7, 300, 2100])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_no_number_shows(queries, keys, dtype):
    query, key, value = tensors(Sizes(queries=queries, keys=keys, dim=8, value_dim=20), dtype)
    for tensor in (query, key, value):
        broken = [x.clone() for x in (query, key, value)]
        which = next(i for i, x in enumerate((query, key, value)) if x is tensor)
        broken[which][1, 2, queries // 2 if which == 0 else keys // 2, 3] = torch.nan
        output, _ = attend(*broken)
        wrong = output.isnan()
        assert wrong[1, 2, queries // 2, 3]
        assert not wrong[0].any()
        assert not wrong[1, [0, 1, 3]].any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("queries", [2, 30])
@pytest.mark.parametrize("keys, length", [(8, 6), (300, 256), (300, 37), (2100, 1101)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_padding_may_hold_anything(bad, queries, keys, length, dtype):
    query, key, value = tensors(Sizes(queries=queries, keys=keys, dim=8, value_dim=20), dtype)
    mask = Mask.lengths(torch.tensor([length, 0]))
    want, _ = attend(query, key, value, mask=mask)
    for tensor in (key, value):
        tensor[0, :, length:] = bad
        tensor[1] = bad
    output, _ = attend(query, key, value, mask=mask)
    assert torch.equal(output, want)


# ---- layouts -------------------------------------------------------------------------------------


def projected(x):
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def every_other(x):
    wide = x.new_full((*x.shape[:-1], 2 * x.shape[-1]), torch.nan)
    return wide[..., ::2].copy_(x)


def sliced(x):
    batch, heads, length, dim = x.shape
    whole = x.new_full((batch + 1, heads + 1, length + 2, dim + 5), torch.nan)
    return whole[1:, 1:, 1:-1, 3:-2].copy_(x)


def turned(x):
    return x.mT.contiguous().mT


LAYOUTS = {f.__name__: f for f in (projected, every_other, sliced, turned)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("queries", [2, 30])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(dtype, queries, layout):
    lay = LAYOUTS[layout]
    given = tensors(Sizes(kv_heads=2, queries=queries, keys=40, dim=16, value_dim=19), dtype)
    want, sums = attend(*given)
    for which in range(3):
        moved = [lay(x) if i == which else x for i, x in enumerate(given)]
        output, others = attend(*moved)
        assert torch.equal(output, want)
        assert torch.equal(others, sums)
    lie = lay(given[0])
    assert lie.stride() != given[0].stride()
    assert torch.equal(lie, given[0])


def test_expanded_heads_are_repeated_heads():
    query, key, value = tensors(Sizes(kv_heads=1, queries=30, keys=40, dim=16, value_dim=19))
    wide = [x.expand(2, 4, 40, -1) for x in (key, value)]
    assert wide[0].stride(1) == 0
    want, _ = attend(query, *(x.repeat(1, 4, 1, 1) for x in (key, value)))
    assert torch.equal(attend(query, *wide)[0], want)
    one = query[:1, :1].expand(2, 4, -1, -1)
    assert torch.equal(attend(one, *wide)[0], attend(one.contiguous(), *wide)[0])


def test_the_output_lies_as_the_query():
    query, key, value = tensors(Sizes(queries=30, keys=40, dim=16, value_dim=19))
    assert attend(query, key, value)[0].is_contiguous()
    output, _ = attend(projected(query), key, value)
    assert output.transpose(1, 2).is_contiguous()
    assert native.like_query(projected(query), 5).shape == (2, 4, 30, 5)
    assert native.like_query(query).stride() == query.stride()


# ---- bias ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(7,), (1, 1, 1, 7), (4, 1, 7), (4, 5, 1), (1,), (2, 1, 5, 7), (2, 4, 1, 1), (5, 7)]
)
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64])
def test_every_bias(exact, agree, shape, dtype):
    bias = draw(*shape, seed=4, dtype=dtype)
    for factor in (1, 7):  # 5 queries are few, 35 are many
        given = tensors(Sizes(queries=5 * factor, keys=7 * factor, dim=8, value_dim=20))
        wide = bias.repeat([factor if n in (5, 7) else 1 for n in shape])
        for mask in (None, Mask.causal()):
            compare(exact, agree, given, mask=mask, bias=wide)


@pytest.mark.parametrize("queries", [2, 30])
def test_a_bias_of_any_layout(queries):
    given = tensors(Sizes(queries=queries, keys=40, dim=8, value_dim=20), torch.bfloat16)
    bias = draw(2, 4, queries, 40, seed=4, dtype=torch.bfloat16)
    want, _ = attend(*given, bias=bias)
    for layout in LAYOUTS.values():
        assert torch.equal(attend(*given, bias=layout(bias))[0], want)
    row = draw(40, seed=4)
    want, _ = attend(*given, bias=row.repeat(2, 4, queries, 1))
    assert torch.equal(attend(*given, bias=row.expand(2, 4, queries, 40))[0], want)


# ---- threads and processes -----------------------------------------------------------------------


def gradients(given, mask, threads):
    sizes = given[0].shape
    found = mask.pattern(sizes[2], given[1].shape[2], batch=sizes[0], heads=sizes[1])
    output, sums, _ = native.forward(*given, None, found, 0.3, log_sum=True)
    by = draw(*output.shape, seed=6, dtype=output.dtype)
    inputs, result = (*given, None), (output, sums)
    back = native.backward((by, sums), inputs, found, 0.3, result, bias_gradient=True)
    return output, sums, *back[:4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "sizes",
    [
        Sizes(heads=8, kv_heads=8, queries=1, keys=3000, dim=16, value_dim=20),
        Sizes(batch=1, heads=2, kv_heads=1, queries=50, keys=2500, dim=16, value_dim=20),
        Sizes(batch=3, heads=4, kv_heads=4, queries=300, keys=300, dim=16, value_dim=20),
    ],
    ids=["few_queries", "few_heads", "many"],
)
def test_not_one_bit_depends_on_threads(threads, dtype, sizes):
    given = tensors(sizes, dtype)
    mask = Mask.window(1000)
    threads(1)
    want = gradients(given, mask, 1)
    for count in (2, 4, 1, 3, 2):
        threads(count)
        for one, other in zip(gradients(given, mask, count), want, strict=True):
            assert torch.equal(one, other)


def test_several_python_threads_at_once(threads):
    threads(2)
    every = [tensors(Sizes(queries=q, keys=k, dim=16)) for q, k in ((1, 2000), (90, 300), (5, 9))]
    want = [attend(*given) for given in every]

    def work(number):
        which = number % len(every)
        found = attend(*every[which])
        return all(torch.equal(a, b) for a, b in zip(found, want[which], strict=True))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(60)))


def busy():
    """Enough work for all threads."""
    return attend(*tensors(Sizes(heads=8, kv_heads=8, queries=200, keys=300, dim=32)))[0]


def ended(child):
    """How a child ended; it is killed when it takes too long."""
    limit = time.monotonic() + SECONDS
    while time.monotonic() < limit:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "it took too long"


# newer Pythons warn about what is wanted here: to fork while there are threads
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_computes(threads):
    threads(2)
    want = busy()
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if torch.equal(busy(), want) else 2
        finally:
            os._exit(code)
    assert ended(child) == 0
    assert torch.equal(busy(), want)


def answer(queue):
    queue.put(float(busy().double().sum()))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_of_a_pool_computes(threads):
    threads(2)
    want = float(busy().double().sum())
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    children = [context.Process(target=answer, args=(queue,)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(SECONDS)
    codes = [child.exitcode for child in children]
    for child in children:
        child.kill()
    assert codes == [0, 0]
    assert [queue.get(), queue.get()] == [want, want]


SCRIPT = """
import torch
from heedful.kernels.cpu import native
from heedful.mask import Pattern
torch.set_num_threads({threads})
x = torch.randn(2, 8, 200, 32, generator=torch.Generator().manual_seed(1))
print(native.forward(x, x, x, None, Pattern(), 0.3)[0].double().sum().item().hex())
"""


def test_another_process_with_other_threads_gives_the_same():
    path = os.pathsep.join(sys.path)
    found = set()
    for threads in (1, 2, 4):
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-c", SCRIPT.format(threads=threads)]
        ran = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=True
        )
        found.add(ran.stdout)
    assert len(found) == 1


# ---- the library ---------------------------------------------------------------------------------


def test_a_library_of_another_version_is_refused(monkeypatch):
    class Other:
        def heedful_call_size(self):
            return native.SIZE - 8

    monkeypatch.setattr(native, "_library", [])
    monkeypatch.setattr(build, "load", Other)
    words = f"the library must take calls of {native.SIZE} bytes, got {native.SIZE - 8}"
    with pytest.raises(KernelError, match=words):
        native.library()
    assert not native.ready()


def test_switched_off_while_loaded(monkeypatch):
    native.library()
    assert native.ready()
    monkeypatch.setenv("HEEDFUL_KERNELS", "off")
    assert not native.ready()
    with pytest.raises(KernelError, match="got HEEDFUL_KERNELS=off"):
        native.library()


@pytest.mark.parametrize(
    "code, words", [(1, "a call of another size"), (2, "no memory left"), (3, "an unknown dtype")]
)
def test_what_the_library_answers_is_told(monkeypatch, code, words):
    broken = native._Library(lambda call: code, lambda call: code, None)
    monkeypatch.setattr(native, "_library", [broken])
    with pytest.raises(KernelError, match=f"the native kernel must be able to run, got {words}"):
        attend(*tensors(Sizes()))


def test_a_call_that_is_cut_short_is_refused(kernel):
    head = native._head(*tensors(Sizes()), None, Pattern(), 1.0, draw(2, 4, 5, 6), None)
    wrong = (native.SIZE - 8).to_bytes(8, "little") + head[8:] + native._NO_TAIL
    assert kernel.forward(wrong) == 1
    assert kernel.backward(wrong) == 1


def test_reading_reads_every_number(threads):
    for count in (1, 2):
        threads(count)
        ones = torch.ones(64 * 64 * 5)
        assert native.read_all(ones) == ones.numel()
