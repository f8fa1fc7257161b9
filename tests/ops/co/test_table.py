"""What holds for every co-attention; none can be forgotten."""

from pathlib import Path

import pytest
import torch
from torch import nn

import heedful.ops.co
from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.mask import Mask
from heedful.ops.co import CO_OPS, Step
from heedful.testing.tolerance import assert_close

FOLDER = Path(heedful.ops.co.__file__).parent
CONTEXTS, QUERIES, WIDTH, QUERY_WIDTH, HIDDEN = 7, 5, 3, 4, 6

# (context_mask, query_mask) by what they hide
MASKS = {
    "none": (None, None),
    "full": (Mask.full(), Mask.full()),
    "context": (Mask.lengths(torch.tensor([5, 7])), None),
    "query": (None, Mask.lengths(torch.tensor([5, 2]))),
    "both": (Mask.lengths(torch.tensor([7, 3])), Mask.lengths(torch.tensor([3, 5]))),
    "inside": (
        Mask.dense(torch.tensor([[[[1, 0, 1, 1, 0, 1, 1]]], [[[0, 1, 1, 1, 1, 0, 0]]]]).bool()),
        Mask.dense(torch.tensor([[[[1, 0, 1, 1, 0]]]]).bool()),
    ),
    "no_query": (None, Mask.lengths(torch.tensor([0, 5]))),
    "no_context": (Mask.lengths(torch.tensor([7, 0])), None),
    "nothing": (Mask.lengths(torch.tensor([0, 7])), Mask.lengths(torch.tensor([0, 4]))),
}


def draw(*shape, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def weights_of(name, dtype=torch.float64):
    """The parameters of an op, as flat tensors and as what turns them into keywords."""
    shapes = {
        "bidaf": [(3, WIDTH)],
        "parallel": [(QUERY_WIDTH, WIDTH), (HIDDEN, WIDTH), (HIDDEN, QUERY_WIDTH), (2, HIDDEN)],
        "alternating": [
            (HIDDEN, QUERY_WIDTH),
            (HIDDEN,),
            (HIDDEN, WIDTH),
            (HIDDEN,),
            (HIDDEN, QUERY_WIDTH),
            (HIDDEN, QUERY_WIDTH),
            (HIDDEN,),
            (HIDDEN, WIDTH),
        ],
    }[name]
    return [draw(*shape, seed=seed + 10, dtype=dtype) for seed, shape in enumerate(shapes)]


def keywords(name, weights):
    if name == "alternating":
        a, b, *rest = weights
        return {"first": Step(a, b), "second": Step(*rest[:3]), "third": Step(*rest[3:])}
    names = {
        "bidaf": ["score_weight"],
        "parallel": ["affinity_weight", "context_weight", "query_weight", "score_weight"],
    }[name]
    return dict(zip(names, weights, strict=True))


def texts(name, *, dtype=torch.float64):
    query_width = WIDTH if name == "bidaf" else QUERY_WIDTH
    return draw(2, CONTEXTS, WIDTH, dtype=dtype), draw(2, QUERIES, query_width, seed=2, dtype=dtype)


def run(name, context, query, masks=(None, None), weights=None):
    context_mask, query_mask = masks
    given = keywords(name, weights_of(name, context.dtype) if weights is None else weights)
    return CO_OPS[name](context, query, context_mask=context_mask, query_mask=query_mask, **given)


def hidden(mask, batch, length):
    if mask is None or (table := mask.to_bool(1, length, batch=batch)) is None:
        return torch.zeros(batch, length, dtype=torch.bool)
    return ~table[:, 0, 0].expand(batch, length)


def same(actual, want):
    for one, other in zip(actual, want, strict=True):
        largest = max(1.0, other.abs().max().item())
        assert_close(one, other, roundings=200, largest=largest)


# ---- the table -----------------------------------------------------------------------------------


def test_table_lists_every_file():
    files = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")}
    assert list(CO_OPS) == sorted(files)


@pytest.mark.parametrize("name", CO_OPS)
def test_row_has_its_function_its_docstring_and_its_tests(name):
    assert CO_OPS[name] is getattr(heedful.ops.co, f"{name}_attention")
    assert (Path(__file__).parent / f"test_{name}.py").exists()
    text = CO_OPS[name].__doc__
    places = [text.find(f"\n    {h}:\n") for h in ("Args", "Returns", "Raises", "Source", "Cost")]
    assert min(places) > 0
    assert places == sorted(places)
    assert "arXiv:" in text


# ---- what is hidden does not exist ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in MASKS if kind not in ("none", "full")])
@pytest.mark.parametrize("worth", [1e6, float("nan")])
@pytest.mark.parametrize("name", CO_OPS)
def test_hidden_positions_cannot_matter(name, kind, worth):
    context, query = texts(name)
    masks = MASKS[kind]
    before = run(name, context, query, masks)
    context = context.masked_fill(hidden(masks[0], 2, CONTEXTS)[..., None], worth)
    query = query.masked_fill(hidden(masks[1], 2, QUERIES)[..., None], worth)
    after = run(name, context, query, masks)
    assert all(torch.equal(one, other) for one, other in zip(after, before, strict=True))


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("name", CO_OPS)
def test_hidden_positions_get_no_gradient_and_others_a_finite_one(name, kind):
    inputs = [x.requires_grad_() for x in texts(name)]
    masks = MASKS[kind]
    weights = [x.requires_grad_() for x in weights_of(name)]
    sum(x.sum() for x in run(name, *inputs, masks, weights)).backward()
    for x, mask in zip(inputs, masks, strict=True):
        assert (x.grad[hidden(mask, 2, x.shape[1])] == 0).all()
    assert all(x.grad.isfinite().all() for x in (*inputs, *weights) if x.grad is not None)


@pytest.mark.parametrize("name", CO_OPS)
def test_a_mask_in_the_middle_is_the_text_without_those_positions(name):
    context, query = (x[:1] for x in texts(name))
    masks = [mask.select(torch.tensor([0])) for mask in MASKS["inside"]]
    whole = run(name, context, query, masks)
    there, asked = ~hidden(masks[0], 1, CONTEXTS)[0], ~hidden(masks[1], 1, QUERIES)[0]
    short = run(name, context[:, there], query[:, asked])
    for one, other in zip(whole, short, strict=True):
        for axis in range(1, one.ndim):
            kept = {CONTEXTS: there, QUERIES: asked}.get(one.shape[axis])
            one = one if kept is None else one.index_select(axis, kept.nonzero()[:, 0])
        same([one], [other])


@pytest.mark.parametrize(
    "mask",
    [
        Mask.causal(),
        Mask.window(2),
        Mask.segments(torch.zeros(2, QUERIES).long(), torch.zeros(2, CONTEXTS).long()),
        Mask.dense(torch.ones(QUERIES, CONTEXTS).bool().tril()),
        Mask.lengths(torch.tensor([5, 7])) | Mask.window(2),
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", CO_OPS)
def test_a_mask_of_pairs_is_refused(name, mask):
    match = "context_mask must hide the same positions from every position of the other text, "
    with pytest.raises(UnsupportedError, match=match):
        run(name, *texts(name), (mask, None))


@pytest.mark.parametrize("name", CO_OPS)
def test_a_causal_query_mask_is_refused(name):
    match = "query_mask must hide the same positions .* got Mask.causal"
    with pytest.raises(UnsupportedError, match=match):
        run(name, *texts(name), (None, Mask.causal(align="start")))


# ---- order, layout, types ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("name", CO_OPS)
def test_batch_rows_do_not_meet(name, kind):
    context, query = texts(name)
    rows = torch.tensor([1, 0, 1])
    masks = [None if mask is None else mask.select(rows) for mask in MASKS[kind]]
    actual = run(name, context[rows], query[rows], masks)
    same(actual, [x[rows] for x in run(name, context, query, MASKS[kind])])
    alone = [None if mask is None else mask.select(rows[:1]) for mask in MASKS[kind]]
    same(run(name, context[1:], query[1:], alone), [x[:1] for x in actual])


@pytest.mark.parametrize("name", CO_OPS)
def test_order_inside_a_text_does_not_matter(name):
    context, query = texts(name)
    order = torch.tensor([3, 0, 4, 1, 2])
    want = run(name, context, query)
    actual = run(name, context, query[:, order])
    same(actual[:1], want[:1])
    turned = [x[..., order] if x.shape[-1] == QUERIES else x for x in want]
    same(actual, turned)


@pytest.mark.parametrize("name", CO_OPS)
def test_memory_layout_does_not_matter(name):
    context, query = texts(name)
    wide = [
        torch.empty(*x.shape[:-1], 2 * x.shape[-1]).double().transpose(0, 1) for x in texts(name)
    ]
    views = [
        x.transpose(0, 1)[..., ::2].copy_(y) for x, y in zip(wide, (context, query), strict=True)
    ]
    assert not views[0].is_contiguous()
    same(run(name, *views, MASKS["both"]), run(name, context, query, MASKS["both"]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", CO_OPS)
def test_the_dtype_is_kept_and_rounded_to_once(name, dtype):
    context, query = texts(name, dtype=dtype)
    weights = weights_of(name, dtype)
    actual = run(name, context, query, MASKS["both"], weights)
    exact = [x.double() for x in weights]
    want = run(name, context.double(), query.double(), MASKS["both"], exact)
    assert {x.dtype for x in actual} == {dtype}
    limit = 1 if dtype != torch.float32 else 200
    for one, other in zip(actual, want, strict=True):
        assert_close(one, other, roundings=limit, largest=max(1.0, other.abs().max().item()))


@pytest.mark.parametrize("name", CO_OPS)
def test_huge_scores_stay_finite(name):
    context, query = (1e4 * x for x in texts(name, dtype=torch.float32))
    inputs = [context.requires_grad_(), query.requires_grad_()]
    output = run(name, *inputs, MASKS["both"])
    assert all(x.isfinite().all() for x in output)
    sum(x.sum() for x in output).backward()
    assert all(x.grad.isfinite().all() for x in inputs)


# ---- gradients and graphs ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["none", "both", "no_query", "nothing"])
@pytest.mark.parametrize("name", CO_OPS)
def test_gradients_are_quotients_of_differences(name, kind):
    def call(context, query, *weights):
        return tuple(run(name, context, query, MASKS[kind], weights))

    inputs = [x.requires_grad_() for x in (*texts(name), *weights_of(name))]
    assert torch.autograd.gradcheck(call, inputs)


class Call(nn.Module):
    def __init__(self, name, masks):
        super().__init__()
        self.name, self.masks = name, masks

    def forward(self, context, query, *weights):
        return tuple(run(self.name, context, query, self.masks, weights))


@pytest.mark.parametrize("kind", ["none", "both"])
@pytest.mark.parametrize("name", CO_OPS)
def test_export_and_compile_are_eager(name, kind):
    inputs = (*texts(name), *weights_of(name))
    call = Call(name, MASKS[kind])
    want = call(*inputs)
    same(torch.export.export(call, inputs).module()(*inputs), want)
    torch.compiler.reset()
    same(torch.compile(call, fullgraph=True, backend="aot_eager")(*inputs), want)
    torch.compiler.reset()


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, error, message",
    [
        (
            lambda c, q: (c[0], q),
            ShapeError,
            r"context must be 3-D \(batch, length, width\), got a tensor of shape \(7, 3\)",
        ),
        (
            lambda c, q: (c, q[:, None]),
            ShapeError,
            r"query must be 3-D \(batch, length, width\), got a tensor of shape \(2, 1, 5, ",
        ),
        (
            lambda c, q: (c, q.long()),
            ConfigError,
            "query must be floating-point, got torch.int64",
        ),
        (
            lambda c, q: (c[:, :0], q),
            ShapeError,
            r"context must have at least one position, got \(2, 0, 3\)",
        ),
        (
            lambda c, q: (c[:1], q),
            ShapeError,
            "context and query must have the same batch size, got 1 and 2",
        ),
    ],
)
@pytest.mark.parametrize("name", CO_OPS)
def test_rejects_texts_that_do_not_fit(name, change, error, message):
    context, query = change(*texts(name))
    with pytest.raises(error, match=message):
        run(name, context, query, weights=weights_of(name))


@pytest.mark.parametrize("name", CO_OPS)
def test_rejects_masks_that_do_not_fit(name):
    with pytest.raises(ConfigError, match="lengths must not exceed keys, got 6 for keys=5"):
        run(name, *texts(name), (None, Mask.lengths(torch.tensor([6, 2]))))
    with pytest.raises(ShapeError, match="lengths must have one entry per batch row, got 3 for"):
        run(name, *texts(name), (Mask.lengths(torch.tensor([6, 2, 1])), None))
