"""The Transformer: padding and the future cannot matter, and writing step by step is reading."""

import re

import pytest
import torch

from heedful.errors import ConfigError, ShapeError, UnsupportedError
from heedful.models import Transformer
from heedful.nn.constant import Constant
from heedful.testing.tolerance import assert_close

SOURCE, TARGET = 11, 13  # vocabularies
LENGTHS = torch.tensor([3, 7, 5])
POSITIONS = ["sinusoidal", "learned", "rotary", "relative", "rotary+sinusoidal"]
VARIANTS = [
    {"positions": positions, "norm": norm, "kv_heads": kv_heads}
    for positions in POSITIONS
    for norm, kv_heads in (("pre", None), ("post", 1))
]
every_variant = pytest.mark.parametrize(
    "settings", VARIANTS, ids=lambda s: "-".join(map(str, s.values()))
)


def build(**settings):
    """A model in which every number is random: new relative tables are zero, norms are one."""
    sizes = {"source_size": SOURCE, "target_size": TARGET, "width": 12, "heads": 2}
    sizes |= {"encoder_layers": 1, "decoder_layers": 3, "feedforward": 10, "max_length": 9}
    torch.manual_seed(0)
    model = Transformer(**(sizes | settings)).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter += 0.3 * noise
    return model


def texts():
    generator = torch.Generator().manual_seed(2)
    source = torch.randint(3, SOURCE, (3, 7), generator=generator)
    target = torch.randint(3, TARGET, (3, 5), generator=generator)
    return source, LENGTHS, target


def same(actual, want):
    # some ten layers, each a sum of some hundred products
    assert_close(actual, want, roundings=10 * 100, largest=want.abs().max().item())


@every_variant
@torch.no_grad()
def test_padding_cannot_matter(settings):
    model, (source, lengths, target) = build(**settings), texts()
    logits = model(source, lengths, target)
    assert logits.shape == (3, 5, TARGET)
    for row, length in enumerate(lengths.tolist()):
        alone = model(source[row : row + 1, :length], lengths[row : row + 1], target[row : row + 1])
        same(logits[row], alone[0])
        padding = source.clone()
        padding[row, length:] = 1
        assert torch.equal(model(padding, lengths, target)[row], logits[row])
        padding[row, length - 1] = 1  # the last token of the text does matter
        assert not torch.equal(model(padding, lengths, target)[row], logits[row])


@every_variant
@torch.no_grad()
def test_the_future_cannot_matter(settings):
    model, (source, lengths, target) = build(**settings), texts()
    logits = model(source, lengths, target)
    for step in range(1, target.shape[1]):
        changed = target.clone()
        changed[:, step:] = 1
        actual = model(source, lengths, changed)
        assert torch.equal(actual[:, :step], logits[:, :step])
        assert not torch.equal(actual[:, step:], logits[:, step:])


@every_variant
@torch.no_grad()
def test_step_by_step_is_all_at_once(settings):
    model, (source, lengths, target) = build(**settings), texts()
    state = model.start(source, lengths)
    steps = [model.step(tokens, state) for tokens in target.unbind(1)]
    same(torch.stack(steps, 1), model(source, lengths, target))


@every_variant
@torch.no_grad()
def test_a_state_follows_its_rows(settings):
    model, (source, lengths, target) = build(**settings), texts()
    state = model.start(source, lengths)
    rows = torch.tensor([2, 0, 2])
    for tokens in target[:, :3].unbind(1):
        model.step(tokens, state)
    state.select(rows)
    chosen = target[rows]
    steps = [model.step(tokens, state) for tokens in chosen[:, 3:].unbind(1)]
    same(torch.stack(steps, 1), model(source[rows], lengths[rows], chosen)[:, 3:])


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("side", ["source", "target"])
@torch.no_grad()
def test_order_is_visible(side, positions):
    model, (source, lengths, target) = build(positions=positions), texts()
    logits = model(source, lengths, target)
    if side == "source":
        source = source.clone()
        source[:, :2] = source[:, [1, 0]]
    else:
        target = target.clone()
        target[:, :2] = target[:, [1, 0]]
    same_tokens = model(source, lengths, target)[:, -1]
    assert (same_tokens - logits[:, -1]).abs().max() > 1e-3 * logits.abs().max()


def test_tied_embeddings_are_one_tensor_counted_once():
    tied, own = build(), build(tie_embeddings=False)
    assert tied.out.weight is tied.target_embedding.weight
    assert own.out.weight is not own.target_embedding.weight

    def count(model):
        return sum(parameter.numel() for parameter in model.parameters())

    assert count(own) - count(tied) == TARGET * 12


@every_variant
def test_every_parameter_gets_a_gradient(settings):
    for tie_embeddings in (True, False):
        model = build(tie_embeddings=tie_embeddings, **settings).train()
        source, lengths, target = texts()
        model(source, lengths, target).square().sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            # softmax ignores what all keys share, unless a rotation tells them apart
            rotated = settings["positions"] == "rotary" and "self_attention" in name
            if rotated or not name.endswith("key.bias"):
                assert parameter.grad.abs().max() > 1e-9, name


def test_dropout_acts_in_training_only():
    model, arguments = build(dropout=0.5), texts()
    assert torch.equal(model(*arguments), model(*arguments))
    model.train()
    assert not torch.equal(model(*arguments), model(*arguments))


@every_variant
@torch.no_grad()
def test_alignment_is_the_mean_of_what_cross_attentions_do(settings):
    model, (source, lengths, target) = build(**settings), texts()
    weights = model.alignment(source, lengths, target)
    assert weights.shape == (3, 5, 7)
    same(weights.sum(-1), torch.ones(3, 5, dtype=torch.float64))
    for row, length in enumerate(lengths.tolist()):
        assert (weights[row, :, :length] > 0).all()
        assert not weights[row, :, length:].any()

    seen = []
    for layer in model.decoder:
        cross = layer.cross_attention
        ask = cross.weights
        cross.register_forward_hook(
            lambda module, args, kwargs, output, ask=ask: seen.append(ask(*args, **kwargs)),
            with_kwargs=True,
        )
    model(source, lengths, target)
    assert len(seen) == 3
    same(weights, torch.stack(seen).mean((0, 2)))


def without(model, *names):
    """Put a constant, not 0, in the place of these attentions."""
    for seed, name in enumerate(names):
        constant = Constant(12).double()
        generator = torch.Generator().manual_seed(seed)
        constant.vector.data = torch.randn(12, generator=generator, dtype=torch.float64)
        model.set_submodule(name, constant)
    return model


@every_variant
@pytest.mark.parametrize(
    "names",
    [
        ("decoder.0.self_attention",),
        ("decoder.0.self_attention", "decoder.1.cross_attention", "encoder.0.self_attention"),
    ],
    ids=["first", "three"],
)
@torch.no_grad()
def test_step_by_step_is_all_at_once_without_some_attention(names, settings):
    model, (source, lengths, target) = without(build(**settings), *names), texts()
    state = model.start(source, lengths)
    steps = [model.step(tokens, state) for tokens in target[:, :3].unbind(1)]
    rows = torch.tensor([2, 0, 2])
    want = model(source, lengths, target)
    same(torch.stack(steps, 1), want[:, :3])
    state.select(rows)
    steps = [model.step(tokens, state) for tokens in target[rows, 3:].unbind(1)]
    same(torch.stack(steps, 1), want[rows, 3:])
    assert state.caches[0][0].length == 0
    assert state.caches[2][0].length == 5


@torch.no_grad()
def test_alignment_is_the_mean_of_those_that_are_left():
    model, arguments = build(), texts()
    crosses = [f"decoder.{layer}.cross_attention" for layer in range(3)]
    weights = without(model, crosses[1]).alignment(*arguments)
    same(weights.sum(-1), torch.ones(3, 5, dtype=torch.float64))
    without(model, *crosses)
    message = "a layer must look at the source to show where, got none left"
    with pytest.raises(UnsupportedError, match=message):
        model.alignment(*arguments)


@pytest.mark.parametrize("fails", [False, True])
def test_alignment_leaves_no_hooks_behind(fails):
    model, (source, lengths, target) = build(positions="learned"), texts()
    if fails:
        target = target.repeat(1, 2)  # longer than the positions learned
        with pytest.raises(ShapeError, match="length must be at most 9 positions, got 10"):
            model.alignment(source, lengths, target)
    else:
        model.alignment(source, lengths, target)
    for name, module in model.named_modules():
        assert not module._forward_pre_hooks, name
        assert not module._forward_hooks, name


def test_learned_positions_have_room_for_max_length():
    model, (source, lengths, _) = build(positions="learned"), texts()
    longest = torch.full((3, 9), 4)
    assert model(source, lengths, longest).shape == (3, 9, TARGET)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"heads": 5}, "heads must divide width, got heads=5, width=12"),
        ({"heads": 0}, "heads must divide width, got heads=0, width=12"),
        (
            {"heads": 0, "positions": "rotary"},
            "heads must divide width, got heads=0, width=12",
        ),
        ({"kv_heads": 5}, "kv_heads must divide heads, got kv_heads=5, heads=2"),
        ({"heads": 4, "positions": "rotary"}, "dim must be even for rotary positions, got 3"),
        ({"width": 15}, "width must be even for sinusoidal positions, got 15"),
        ({"norm": "none"}, "norm must be one of pre, post, got 'none'"),
        (
            {"positions": "alibi"},
            "relative, rotary+sinusoidal, got 'alibi'",
        ),
    ],
)
def test_rejects_settings_that_do_not_fit(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(**settings)
