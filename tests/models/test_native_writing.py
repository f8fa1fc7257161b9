"""Writing in one call: the model itself, step by step in float64, says what must come out."""

import copy
import gc
import random
import re
import weakref

import pytest
import torch
from torch import nn

from heedful.errors import KernelError, ShapeError
from heedful.kernels.cpu import build
from heedful.kernels.writing import network
from heedful.models import Limits, RnnSeq2Seq, Transformer, beam, decoding, greedy, native_writing
from heedful.nn import Attention
from heedful.nn.compact import compact_weights, widen
from heedful.nn.constant import Constant
from heedful.nn.fusion.gated_recurrence import GatedRecurrence
from heedful.nn.fusion.local_convolution import LocalConvolution
from heedful.nn.low_precision import LowPrecisionLinear
from heedful.nn.mechanisms import MECHANISMS
from heedful.nn.positions import RelativePositions, RotaryPositions
from heedful.probing.probe import probe
from heedful.testing.tolerance import assert_close, roundings

WIDTH, SOURCES, TARGETS, STEPS = 24, 37, 29, 9
LENGTHS = (7, 1, 4, 0, 6, 3, 5)
LONG = (7, 1, 4, 2, 6, 3, 5)  # recurrent networks read no text without tokens
POSITIONS = ("sinusoidal", "learned", "rotary", "relative", "rotary+sinusoidal")
LIMITS = Limits(max_length=STEPS)


@pytest.fixture(autouse=True)
def kernel(loaded):
    """The library, loaded."""
    loaded(network.library)


def attention(draw, **settings):
    heads = draw.choice([1, 2, 3])
    kv_heads = draw.choice([1, heads])
    dim, value_dim = draw.choice([2, 6, 16, 18]), draw.choice([1, 5, 16, 20])
    if settings.pop("rotary", False):
        pairs = tuple(sorted(draw.sample(range(10), dim // 2)))
        settings["positions"] = RotaryPositions(dim, pairs=pairs, whole=20)
    if settings.pop("relative", False):
        settings["positions"] = RelativePositions(heads, buckets=8, max_distance=5)
    if "mechanism" in settings:
        name, more = settings["mechanism"]
        settings["mechanism"] = MECHANISMS[name](heads=heads, dim=dim, **more)
    sizes = {"heads": heads, "kv_heads": kv_heads, "dim": dim, "value_dim": value_dim}
    return Attention(width=WIDTH, **sizes, **settings)


def own_site(draw):
    """What may stand where a text looks at itself."""
    near = {"window": draw.choice([1, 2, 4]), "ahead": draw.choice([0, 2]), "sinks": 2}
    return draw.choice(
        [
            lambda: attention(draw),
            lambda: attention(draw, rotary=True),
            lambda: attention(draw, relative=True),
            lambda: attention(draw, mechanism=("window", near)),
            lambda: attention(draw, mechanism=("scaled_dot", {"scale": 0.3}), rotary=True),
            lambda: GatedRecurrence(width=WIDTH, heads=2, dim=5),
            lambda: LocalConvolution(width=WIDTH, kernel=draw.choice([1, 3, 5])),
            lambda: Constant(WIDTH),
        ]
    )()


def filled(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def plain(seed=0, **settings):
    made = {"width": WIDTH, "heads": 2, "feedforward": 10, "max_length": 40} | settings
    return filled(Transformer(source_size=SOURCES, target_size=TARGETS, **made), seed)


def planned(seed):
    """A Transformer of which every site is something else."""
    draw = random.Random(seed)
    model = plain(
        positions=draw.choice(POSITIONS),
        norm=draw.choice(["pre", "post"]),
        tie_embeddings=draw.random() < 0.5,
        feedforward=draw.choice([3, 16, 33]),
        encoder_layers=draw.choice([1, 2]),
        decoder_layers=draw.choice([1, 3]),
    )
    for layer in model.encoder:
        layer.self_attention = own_site(draw)
    for layer in model.decoder:
        layer.self_attention = own_site(draw)
        layer.cross_attention = draw.choice([attention(draw), attention(draw), Constant(WIDTH)])
    return filled(model, seed)


def recurrent(seed, **settings):
    draw = random.Random(seed)
    made = {
        "width": draw.choice([5, 16]),
        "hidden": draw.choice([3, 18]),
        "cell": ["gru", "lstm"][seed % 2],
        "encoder_layers": draw.choice([1, 2]),
        "attention": ["additive", "dot", "scaled_dot", "general", "none"][seed % 5],
        "input_feeding": draw.random() < 0.5,
    }
    made |= settings
    return filled(RnnSeq2Seq(source_size=SOURCES, target_size=TARGETS, **made), seed)


def in_8_bits(model):
    for module in list(model.modules()):
        for name, part in list(module.named_children()):
            if type(part) is nn.Linear:
                new = LowPrecisionLinear(
                    part.in_features,
                    part.out_features,
                    bias=part.bias is not None,
                    precision="int8",
                )
                new.weight, new.bias = part.weight, part.bias
                setattr(module, name, new)
    return model.eval()


def sources(seed=1, lengths=LENGTHS):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(SOURCES, (len(lengths), max(lengths) + 1), generator=generator)
    return tokens, torch.tensor(lengths)


def by_torch(model, source, lengths, limits=LIMITS):
    """What the model writes without the library."""

    def pick(logits):
        return decoding._without_bos(logits, limits).argmax(-1)

    state, rows = model.start(source, lengths), torch.arange(len(source))
    texts, tokens = [[] for _ in source], torch.full((len(source),), limits.bos)
    for _ in range(limits.max_length):
        tokens = pick(model.step(tokens, state))
        alive = tokens != limits.eos
        rows, tokens = rows[alive], tokens[alive]
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            texts[row].append(token)
        if not len(rows):
            break
        state.select(alive.nonzero()[:, 0])
    return texts


def by_library(model, source, lengths, limits=LIMITS):
    written = native_writing.write(
        *(model, source, lengths), bos=limits.bos, eos=limits.eos, most=limits.max_length
    )
    assert written is not None
    return written


def falls_back(model, source, lengths):
    limits = {"bos": 1, "eos": 2, "most": STEPS}
    written = native_writing.write(model, source, lengths, **limits)
    started = native_writing.start(model, source, lengths, most=STEPS)
    assert (written is None) == (started is None)
    return written is None


@torch.inference_mode()
def scores(model, source, lengths, tokens, select):
    """The scores of each step, of rows that are taken anew after the first half."""
    state, step = model.start(source, lengths), model.step
    return stepped(state, lambda now: step(now, state), tokens, select)


def stepped(state, step, tokens, select):
    found = []
    for number, now in enumerate(tokens):
        if number == len(tokens) // 2:
            state.select(select)
        if number >= len(tokens) // 2:
            now = now[select]
        found.append(step(now))
    return found


def both(model, exact, seed, lengths=LENGTHS):
    """The scores of the library and those of another model, at every step."""
    source, lengths = sources(seed, lengths)
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(TARGETS, (STEPS, len(lengths)), generator=generator)
    select = torch.tensor([0, 0, 5, 1, 3, 5])
    state = native_writing.start(model, source, lengths, most=STEPS)
    assert state is not None
    got = stepped(state, state.step, tokens, select)
    return got, scores(exact, source, lengths, tokens, select)


def band(model):
    """How often a score is rounded: the sums of all layers on its way."""
    sums = [part.shape[-1] for part in model.parameters() if part.ndim > 1]
    return roundings(torch.float32, *sums, max(LENGTHS), STEPS)


# ---- what comes out ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(24))
def test_every_plan_gives_the_scores_of_the_model_in_float64(seed):
    model = planned(seed)
    got, want = both(model, copy.deepcopy(model).double(), seed)
    for ours, exact in zip(got, want, strict=True):
        assert_close(ours, exact, roundings=band(model), largest=float(exact.abs().max()))


@pytest.mark.parametrize("seed", range(10))
def test_every_recurrent_network_gives_its_scores_in_float64(seed):
    model = recurrent(seed)
    got, want = both(model, copy.deepcopy(model).double(), seed, LONG)
    for ours, exact in zip(got, want, strict=True):
        assert_close(ours, exact, roundings=band(model), largest=float(exact.abs().max()))


@pytest.mark.parametrize("isa", build.supported())
@pytest.mark.parametrize("low", [False, True], ids=["float32", "int8"])
def test_every_instruction_set_gives_the_same(isa, low, monkeypatch):
    load = build.load
    monkeypatch.setattr(build, "load", lambda **settings: load(isa, **settings))
    monkeypatch.setattr(network, "_library", [])
    model = plain(heads=3, kv_heads=1, positions="rotary+sinusoidal", feedforward=150)
    exact = copy.deepcopy(model).double()
    if low:
        model = in_8_bits(model)
        exact = copy.deepcopy(model)
    got, want = both(model, exact, 3)
    close = [
        bool((ours - row).abs().max() <= band(model) * 1.2e-7 * row.abs().max())
        for ours, many in zip(got, want, strict=True)
        for row, ours in zip(many, ours, strict=True)
    ]
    # a number that lies between two of 8 bits may be rounded to either
    assert sum(close) >= (0.9 if low else 1) * len(close)


@pytest.mark.parametrize("seed", range(8))
def test_texts_are_those_of_the_model(seed):
    model = planned(seed)
    source, lengths = sources(seed)
    assert by_library(model, source, lengths) == by_torch(model, source, lengths)


@pytest.mark.parametrize("seed", range(5))
def test_texts_are_those_of_the_recurrent_network(seed):
    model = recurrent(seed)
    source, lengths = sources(seed, LONG)
    assert by_library(model, source, lengths) == by_torch(model, source, lengths)


def test_texts_end_where_the_model_ends_them():
    model = plain()
    source, lengths = sources()
    free = by_library(model, source, lengths)
    ends = Limits(eos=free[0][3], max_length=STEPS)
    written = by_library(model, source, lengths, ends)
    assert written[0] == free[0][: free[0].index(ends.eos)]
    assert written == by_torch(model, source, lengths, ends)


def test_the_first_token_is_never_written_unless_it_is_the_last_one_too():
    model = plain()
    source, lengths = sources()
    first = by_library(model, source, lengths)[0][0]
    banned = by_library(model, source, lengths, Limits(bos=first, max_length=STEPS))
    assert all(first not in text for text in banned)
    both_ends = Limits(bos=first, eos=first, max_length=STEPS)
    assert by_library(model, source, lengths, both_ends) == by_torch(
        model, source, lengths, both_ends
    )


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("low", [False, True], ids=["float32", "int8"])
def test_nobody_depends_on_who_else_is_in_the_batch_nor_on_threads(low, threads):
    model = in_8_bits(plain()) if low else plain()
    source, lengths = sources(lengths=LENGTHS * 3)
    together = by_library(model, source, lengths)
    alone = [
        by_library(model, source[i : i + 1], lengths[i : i + 1])[0] for i in range(len(lengths))
    ]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        shared = by_library(model, source, lengths)
    finally:
        torch.set_num_threads(before)
    assert together == alone == shared


@pytest.mark.parametrize("width", [1, 3])
def test_beams_are_those_of_the_model(width, monkeypatch):
    model = plain(norm="post")
    source, lengths = sources()
    found = beam(model, source, lengths, width=width, limits=LIMITS)
    monkeypatch.setattr(native_writing, "start", lambda *_, **__: None)
    assert found == beam(model, source, lengths, width=width, limits=LIMITS)


def test_a_text_may_be_long():
    model = plain(positions="rotary+sinusoidal")
    source, lengths = sources(lengths=(150,))
    limits = Limits(eos=-1, max_length=140)
    assert by_library(model, source, lengths, limits) == by_torch(model, source, lengths, limits)


# ---- models that change --------------------------------------------------------------------------


def write_past_the_counter(model):
    model.decoder[0].feedforward.outer.weight.data.mul_(-3)


def set_other_numbers(model):
    linear = model.decoder[0].self_attention.query
    linear.weight.data = -2 * linear.weight


def put_another_tensor(model):
    model.decoder[0].feedforward.inner.bias = nn.Parameter(torch.ones(10))


def put_another_part(model):
    model.decoder[1].cross_attention = Constant(WIDTH).eval()


def step_of_an_optimiser(model):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
    source, lengths = sources()
    model(source, lengths, source[:, :3] % TARGETS).square().sum().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimiser.step()


@pytest.mark.parametrize(
    "change",
    [
        write_past_the_counter,
        set_other_numbers,
        put_another_tensor,
        put_another_part,
        step_of_an_optimiser,
    ],
)
def test_changes_are_noticed(change):
    model = plain()
    source, lengths = sources()
    before = by_library(model, source, lengths)
    change(model)
    after = by_library(model, source, lengths)
    assert after == by_torch(model.eval(), source, lengths)
    assert after != before


def test_single_numbers_are_noticed_where_there_are_many_texts():
    model = plain()
    source, lengths = sources(lengths=LENGTHS * 5)
    by_library(model, source, lengths)
    known = native_writing._known[model].network
    model.out.weight.data[0, 0] += 1
    by_library(model, source, lengths)
    assert native_writing._known[model].network is not known


def test_a_model_that_is_as_it_was_is_described_once():
    model = plain()
    source, lengths = sources()
    by_library(model, source, lengths)
    known = native_writing._known[model].network
    handle = plain(seed=1).register_forward_hook(lambda *_: None)
    by_library(model, source, lengths)
    handle.remove()
    assert native_writing._known[model].network is known


def test_a_copy_writes_the_same_and_nothing_is_kept_of_a_model_that_is_gone():
    model = plain()
    source, lengths = sources()
    written = by_library(model, source, lengths)
    assert by_library(copy.deepcopy(model), source, lengths) == written
    gone = weakref.ref(native_writing._known[model].network)
    del model
    gc.collect()
    assert gone() is None


# ---- who must see the model itself ---------------------------------------------------------------


def hooked(model):
    model.decoder[0].cross_attention.query.register_forward_hook(lambda *_: None)


def prepared(model):
    model.encoder[0].register_forward_pre_hook(lambda *_: None)


def in_training(model):
    model.train()


def partly_in_training(model):
    model.decoder[0].train()


def in_float64(model):
    model.double()


def with_another_mechanism(model):
    site = model.decoder[0].self_attention
    site.mechanism = MECHANISMS["sparsemax"](heads=site.heads, dim=site.dim)


def with_bf16(model):
    feedforward = model.encoder[0].feedforward
    inner = LowPrecisionLinear(WIDTH, 10, precision="bf16")
    feedforward.inner = inner.eval()


def with_another_activation(model):
    model.encoder[0].feedforward.activation = nn.GELU()


def with_a_way_of_its_own(model):
    model.step = lambda tokens, state: Transformer.step(model, tokens, state)


def as_another_class(model):
    model.__class__ = type("Own", (Transformer,), {})


def with_scattered_numbers(model):
    model.out.weight = nn.Parameter(model.out.weight.detach().T.contiguous().T)


def not_a_number(model):
    model.decoder_norm.weight.data[3] = torch.nan


@pytest.mark.parametrize(
    "change",
    [
        hooked,
        prepared,
        in_training,
        partly_in_training,
        in_float64,
        with_another_mechanism,
        with_bf16,
        with_another_activation,
        with_a_way_of_its_own,
        as_another_class,
        with_scattered_numbers,
    ],
)
@pytest.mark.parametrize("before", [False, True], ids=["first", "later"])
def test_what_the_library_cannot_say_is_left_to_the_model(change, before):
    model = plain()
    source, lengths = sources()
    if before:
        by_library(model, source, lengths)
    change(model)
    assert falls_back(model, source, lengths)
    assert greedy(model, source, lengths, limits=LIMITS) == by_torch(model, source, lengths)


def test_scores_that_are_no_numbers_are_left_to_the_model():
    model = plain()
    not_a_number(model)
    source, lengths = sources()
    assert native_writing.write(model, source, lengths, bos=1, eos=2, most=STEPS) is None
    assert greedy(model, source, lengths, limits=LIMITS) == by_torch(model, source, lengths)


def test_whoever_listens_sees_every_step():
    model = plain()
    source, lengths = sources()
    by_library(model, source, lengths)
    with probe(model, sites="decoder.0.cross_attention") as p:
        greedy(model, source, lengths, limits=LIMITS)
    assert p.calls("decoder.0.cross_attention")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert falls_back(model, source, lengths)


@pytest.mark.parametrize("attention", ["location", "coverage"])
def test_aligners_that_remember_write_as_ever(attention):
    source, lengths = sources(lengths=LONG)
    model = recurrent(1, attention=attention)
    assert falls_back(model, source, lengths)
    assert greedy(model, source, lengths, limits=LIMITS) == by_torch(model, source, lengths)


def test_recurrent_networks_refuse_texts_without_tokens():
    source, lengths = sources()
    assert falls_back(recurrent(1), source, lengths)
    with pytest.raises(RuntimeError, match="greater than 0"):
        greedy(recurrent(1), source, lengths, limits=LIMITS)


def test_sources_must_be_tokens():
    source, lengths = sources()
    assert falls_back(plain(), source.double(), lengths)


def test_without_the_library_the_model_writes(monkeypatch):
    model = plain()
    source, lengths = sources()
    written = by_library(model, source, lengths)
    monkeypatch.setenv("HEEDFUL_KERNELS", "off")
    assert falls_back(model, source, lengths)
    assert greedy(model, source, lengths, limits=LIMITS) == written


def test_without_memory_the_model_writes(monkeypatch):
    model = plain()
    source, lengths = sources()
    written = by_library(model, source, lengths)

    def full(*_, **__):
        raise KernelError("a text must fit into memory, got no memory left")

    monkeypatch.setattr(network.Network, "write", full)
    assert greedy(model, source, lengths, limits=LIMITS) == written


@pytest.mark.parametrize("token", [-1, SOURCES])
def test_tokens_that_nobody_knows_are_refused_by_the_model(token):
    model = plain()
    source, lengths = sources()
    source[0, 1] = token
    assert falls_back(model, source, lengths)
    with pytest.raises(IndexError):
        greedy(model, source, lengths, limits=LIMITS)


def test_places_that_were_not_learned_are_refused_by_the_model():
    model = plain(positions="learned", max_length=8)
    source, lengths = sources()
    message = "length must be at most 8 positions, got 9"
    with pytest.raises(ShapeError, match=re.escape(message)):
        greedy(model, source, lengths, limits=Limits(eos=-1, max_length=20))
    with pytest.raises(ShapeError, match=re.escape(message)):
        beam(model, source, lengths, width=2, limits=Limits(eos=-1, max_length=20))


def test_a_network_of_compact_layers_writes_as_before_and_follows_when_they_are_wide_again():
    model = in_8_bits(plain())
    source, lengths = sources(1)
    before = by_library(model, source, lengths)
    for name, tensors in compact_weights(model).items():
        model.get_submodule(name).take(*tensors.values())
    assert by_library(model, source, lengths) == before
    widen(model)
    with torch.no_grad():
        model.encoder[0].feedforward.inner.weight.mul_(-3)
    assert by_library(model, source, lengths) == by_torch(model, source, lengths)
