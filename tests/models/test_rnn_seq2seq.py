"""The recurrent model keeps the same laws, with every mechanism, cell and way of feeding."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models import RnnSeq2Seq
from heedful.nn import ALIGNERS
from heedful.testing.tolerance import assert_close

SOURCE, TARGET = 11, 13  # vocabularies
LENGTHS = torch.tensor([3, 7, 5])
every_attention = pytest.mark.parametrize("attention", [*ALIGNERS, "none"])
every_cell = pytest.mark.parametrize("cell", ["gru", "lstm"])
both_feedings = pytest.mark.parametrize("input_feeding", [True, False], ids=["fed", "unfed"])


def build(**settings):
    sizes = {"source_size": SOURCE, "target_size": TARGET, "width": 4, "hidden": 6}
    model = RnnSeq2Seq(**(sizes | settings)).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(0.7 * noise)
    return model


def texts():
    generator = torch.Generator().manual_seed(2)
    source = torch.randint(3, SOURCE, (3, 7), generator=generator)
    target = torch.randint(3, TARGET, (3, 5), generator=generator)
    return source, LENGTHS, target


def same(actual, want):
    # seven steps of reading and five of writing, each a sum of some tens of products
    assert_close(actual, want, roundings=12 * 100, largest=want.abs().max().item())


@every_attention
@every_cell
@both_feedings
@torch.no_grad()
def test_padding_and_other_rows_cannot_matter(attention, cell, input_feeding):
    model = build(attention=attention, cell=cell, input_feeding=input_feeding, encoder_layers=2)
    source, lengths, target = texts()
    logits = model(source, lengths, target)
    assert logits.shape == (3, 5, TARGET)
    for row, length in enumerate(lengths.tolist()):
        alone = model(source[row : row + 1, :length], lengths[row : row + 1], target[row : row + 1])
        same(logits[row], alone[0])
    changed = source.clone()
    changed[0, 3:] = 1
    assert torch.equal(model(changed, lengths, target), logits)
    changed[0, 2] = 1  # the last token of the text does matter
    assert not torch.equal(model(changed, lengths, target)[0], logits[0])


@every_attention
@every_cell
@both_feedings
@torch.no_grad()
def test_the_future_cannot_matter_and_the_past_does(attention, cell, input_feeding):
    model = build(attention=attention, cell=cell, input_feeding=input_feeding)
    source, lengths, target = texts()
    logits = model(source, lengths, target)
    changed = target.clone()
    changed[:, 2] = 1
    actual = model(source, lengths, changed)
    assert torch.equal(actual[:, :2], logits[:, :2])
    for step in (2, 3, 4):
        assert not torch.equal(actual[:, step], logits[:, step])


@every_attention
@every_cell
@both_feedings
@torch.no_grad()
def test_step_by_step_is_all_at_once(attention, cell, input_feeding):
    model = build(attention=attention, cell=cell, input_feeding=input_feeding)
    source, lengths, target = texts()
    want = model(source, lengths, target)
    state = model.start(source, lengths)
    steps = [model.step(tokens, state) for tokens in target[:, :3].unbind(1)]
    same(torch.stack(steps, 1), want[:, :3])
    rows = torch.tensor([2, 0, 2])
    state.select(rows)
    steps = [model.step(tokens, state) for tokens in target[rows, 3:].unbind(1)]
    same(torch.stack(steps, 1), want[rows, 3:])


@every_cell
@both_feedings
@torch.no_grad()
def test_the_first_step_is_its_formula(cell, input_feeding):
    """`a = tanh(W [h; c])`, `c = sum_j weight_j s_j`, from an encoder run by hand on one text."""
    model = build(attention="dot", cell=cell, input_feeding=input_feeding)
    source, _, target = texts()
    source, token = source[:1, :4], target[:1, :1]
    states, final = model.encoder(model.source_embedding(source))
    last = final[0] if cell == "lstm" else final
    first = model.bridge(torch.cat([last[0], last[1]], -1)).tanh()
    fed = torch.zeros(1, 1, 6 if input_feeding else 0, dtype=torch.float64)
    x = torch.cat([model.target_embedding(token), fed], -1)
    start = (first[None, :, :6], first[None, :, 6:].contiguous()) if cell == "lstm" else first[None]
    start = tuple(part.contiguous() for part in start) if cell == "lstm" else start
    h, _ = model.decoder(x, start)
    weights = (h @ model.aligner.key(states).mT).softmax(-1)
    mixed = model.combine(torch.cat([h, weights @ states], -1)).tanh()
    same(model(source, torch.tensor([4]), token), model.out(mixed))
    same(model.alignment(source, torch.tensor([4]), token), weights)


@every_attention
@torch.no_grad()
def test_what_was_attended_to_is_fed_to_the_next_step(attention):
    fed = build(attention=attention, input_feeding=True)
    source, lengths, target = texts()
    state = fed.start(source, lengths)
    assert state.fed.abs().max() == 0
    fed.step(target[:, 0], state)
    logits = fed.step(target[:, 1], state)
    want = fed.out(state.fed)
    same(logits, want)
    assert build(attention=attention, input_feeding=False).start(source, lengths).fed is None


@every_attention
@every_cell
@both_feedings
def test_every_parameter_gets_a_gradient(attention, cell, input_feeding):
    model = build(attention=attention, cell=cell, input_feeding=input_feeding).train()
    model(*texts()).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("attention", list(ALIGNERS))
@both_feedings
@torch.no_grad()
def test_alignment_looks_at_text_only(attention, input_feeding):
    model = build(attention=attention, input_feeding=input_feeding)
    source, lengths, target = texts()
    weights = model.alignment(source, lengths, target)
    assert weights.shape == (3, 5, 7)
    same(weights.sum(-1), torch.ones(3, 5, dtype=torch.float64))
    visible = torch.arange(7) < lengths[:, None]
    assert ((weights > 0).any(1) == visible).all()
    assert not weights[~visible[:, None].expand_as(weights)].any()


@pytest.mark.parametrize("attention", list(ALIGNERS))
@both_feedings
@torch.no_grad()
def test_alignment_is_what_each_step_weighed_by(attention, input_feeding):
    model, seen = build(attention=attention, input_feeding=input_feeding), []
    handle = model.aligner.register_forward_hook(lambda module, args, out: seen.append(out))
    model(*texts())
    handle.remove()
    same(model.alignment(*texts()), torch.cat(seen, 1))


def test_a_model_without_attention_has_no_alignment():
    message = "attention must not be none to have an alignment, got none"
    with pytest.raises(ConfigError, match=message):
        build(attention="none").alignment(*texts())


@every_attention
@both_feedings
@torch.no_grad()
def test_without_teacher_a_training_step_reads_its_own_guess(attention, input_feeding):
    model = build(attention=attention, input_feeding=input_feeding, teacher_forcing=0.0)
    source, lengths, target = texts()
    taught = model(source, lengths, target)
    teacher = build(attention=attention, input_feeding=input_feeding)
    assert torch.equal(taught, teacher(source, lengths, target))  # evaluation: always the truth
    state, tokens, own = model.start(source, lengths), target[:, 0], []
    for _ in range(target.shape[1]):
        own.append(model.step(tokens, state))
        tokens = own[-1].argmax(-1)
    model.train()
    same(model(source, lengths, target), torch.stack(own, 1))
    assert not torch.equal(model(source, lengths, target), taught)


def test_some_teaching_is_between_all_and_none():
    torch.manual_seed(0)
    model = build(teacher_forcing=0.5).train()
    source, lengths, target = texts()
    with torch.no_grad():
        seen = {tuple(model(source, lengths, target).flatten().tolist()) for _ in range(200)}
    assert len(seen) == 2**4  # the four steps after the first toss a coin each


def test_dropout_acts_in_training_only():
    model, arguments = build(dropout=0.5), texts()
    assert torch.equal(model(*arguments), model(*arguments))
    model.train()
    assert not torch.equal(model(*arguments), model(*arguments))


@every_attention
@every_cell
def test_trains_in_mixed_precision(attention, cell):
    sizes = {"source_size": SOURCE, "target_size": TARGET, "width": 4, "hidden": 6}
    model = RnnSeq2Seq(**sizes, attention=attention, cell=cell)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(*texts())
    logits.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"cell": "rnn"}, "cell must be one of gru, lstm, got 'rnn'"),
        (
            {"attention": "concat"},
            "attention must be one of additive, coverage, dot, general, location, scaled_dot, "
            "none, got 'concat'",
        ),
        (
            {"teacher_forcing": 1.5},
            "teacher_forcing must be at least 0 and at most 1, got 1.5",
        ),
        (
            {"teacher_forcing": -0.5},
            "teacher_forcing must be at least 0 and at most 1, got -0.5",
        ),
    ],
)
def test_rejects_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(**settings)
