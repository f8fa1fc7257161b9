"""Greedy, beam and sampling: against brute force on a table of chances, and on the real models."""

import itertools
import math
import re
from dataclasses import dataclass

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models import Limits, RnnSeq2Seq, State, Transformer, beam, greedy, sample
from heedful.testing.tolerance import assert_close

PAD, BOS, EOS = 0, 1, 2
ROWS = 3


@dataclass
class TableState(State):
    tables: torch.Tensor

    def select(self, rows):
        self.tables = self.tables[rows]


class Table:
    """Logits of the next token by the token before; the first source token chooses the table."""

    longest = None  # texts of any length

    def __init__(self, tables):
        self.tables, self.steps, self.rows = tables, 0, 0

    def __call__(self, source, lengths, target):
        return self.tables[source[:, 0]][torch.arange(len(target))[:, None], target]

    def start(self, source, lengths):
        return TableState(self.tables[source[:, 0]])

    def step(self, tokens, state):
        self.steps, self.rows = self.steps + 1, self.rows + len(tokens)
        return state.tables[torch.arange(len(tokens)), tokens]


def chances(rows):
    """A model of one text from `{before: {token: chance}}`; what is not named is impossible."""
    size = 1 + max(max(row) for row in rows.values())
    table = torch.full((1, size, size), -torch.inf)
    table[0, :, EOS] = 0
    for before, row in rows.items():
        table[0, before, EOS] = -torch.inf
        for token, chance in row.items():
            table[0, before, token] = math.log(chance)
    return Table(table)


def random_table(*, seed, size=5, rows=ROWS, sharpness=2.0):
    generator = torch.Generator().manual_seed(seed)
    return Table(sharpness * torch.randn(rows, size, size, generator=generator))


def ask(rows=ROWS):
    """Source texts that name their own row, and lengths."""
    source = torch.randint(3, 9, (rows, 7), generator=torch.Generator().manual_seed(4))
    source[:, 0] = torch.arange(rows)
    return source, torch.tensor([7, 4, 2])[:rows]


def real(name):
    torch.manual_seed(59)  # with this one the texts of the rows differ
    sizes = {"source_size": 9, "target_size": 11, "width": 8}
    if name == "rnn":
        model = RnnSeq2Seq(**sizes, hidden=6, attention="coverage", cell="lstm")
    else:
        model = Transformer(**sizes, heads=2, encoder_layers=1, feedforward=16, positions=name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.5 * torch.randn(parameter.shape)
    return model.double().eval()


MODELS = {
    **{f"table{seed}": lambda seed=seed: random_table(seed=seed) for seed in range(4)},
    **{name: lambda name=name: real(name) for name in ("rnn", "sinusoidal", "rotary", "relative")},
}
every_model = pytest.mark.parametrize("name", MODELS)


def log_probability(model, row, text, *, ended=True):
    """Of a text under a table, without decoding."""
    rows = model.tables[row].double().log_softmax(-1)
    tokens = [BOS, *text, *([EOS] if ended else [])]
    return sum(rows[a, b].item() for a, b in itertools.pairwise(tokens))


def score(model, row, text, length_penalty):
    """Equation 14 of arXiv:1609.08144, `eos` counted."""
    tokens = len(text) + 1
    return log_probability(model, row, text) / ((5 + tokens) / 6) ** length_penalty


def settings_of(search):
    return {"temperature": 1e-30} if search is sample else {}


# ---- what every way of writing keeps


@every_model
@pytest.mark.parametrize("search", [greedy, beam, sample])
@pytest.mark.parametrize("max_length", [1, 2, 9])
def test_texts_are_short_enough_and_hold_no_marks(search, max_length, name):
    limits = Limits(bos=BOS, eos=EOS, max_length=max_length)
    texts = search(MODELS[name](), *ask(), limits=limits)
    assert len(texts) == ROWS
    for text in texts:
        assert len(text) <= max_length
        assert BOS not in text
        assert EOS not in text


@every_model
@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_a_batch_is_one_by_one(search, name):
    model, (source, lengths) = MODELS[name](), ask()
    settings = settings_of(search) | {"limits": Limits(max_length=9)}
    texts = search(model, source, lengths, **settings)
    assert len({tuple(text) for text in texts}) > 1
    for row in range(ROWS):
        alone = search(model, source[row : row + 1], lengths[row : row + 1], **settings)
        assert alone == texts[row : row + 1]


@every_model
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 2.0])
def test_a_beam_of_one_is_greedy(name, length_penalty):
    model, limits = MODELS[name](), Limits(max_length=9)
    want = greedy(model, *ask(), limits=limits)
    assert beam(model, *ask(), width=1, length_penalty=length_penalty, limits=limits) == want


@every_model
def test_sampling_the_likeliest_is_greedy(name):
    model, limits = MODELS[name](), Limits(max_length=9)
    want = greedy(model, *ask(), limits=limits)
    for settings in ({"temperature": 1e-4}, {"temperature": 1e-45}, {"top_k": 1}, {"top_p": 1e-9}):
        assert sample(model, *ask(), limits=limits, **settings) == want


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_finished_rows_leave_the_batch(search):
    """Row 0 ends at once; row 1 writes five tokens."""
    table = torch.full((2, 8, 8), -torch.inf)
    table[:, :, EOS] = -50
    table[0, :, EOS] = 0
    for token in range(3, 8):
        table[1, BOS if token == 3 else token - 1, token] = 0
    table[:, :, 3:] = table[:, :, 3:].clamp(min=-90)
    model = Table(table)
    settings = {"width": 1} if search is beam else {}
    texts = search(model, *ask(2), limits=Limits(max_length=20), **settings)
    assert texts == [[], [3, 4, 5, 6, 7]]
    assert model.steps == 6
    assert model.rows == 2 + 5


# ---- greedy


def test_greedy_takes_the_likeliest_at_every_step():
    model = chances({BOS: {3: 0.6, 4: 0.4}, 3: {5: 0.5, 3: 0.3, EOS: 0.2}, 5: {EOS: 0.9, 4: 0.1}})
    assert greedy(model, *ask(1)) == [[3, 5]]


@pytest.mark.parametrize("search", [greedy, beam, sample])
def test_bos_may_also_be_eos(search):
    model = chances({EOS: {3: 1.0}, 3: {4: 1.0}, 4: {EOS: 1.0}})
    assert search(model, *ask(1), limits=Limits(bos=EOS, eos=EOS, max_length=9)) == [[3, 4]]


# ---- beam


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 3.0])
def test_a_beam_that_holds_everything_finds_the_best(length_penalty, seed):
    model, max_length = random_table(seed=seed), 3
    tokens = [PAD, 3, 4]
    texts = [
        list(text)
        for length in range(max_length + 1)
        for text in itertools.product(tokens, repeat=length)
    ]
    found = beam(
        model,
        *ask(),
        width=len(texts),
        length_penalty=length_penalty,
        limits=Limits(max_length=max_length),
    )
    for row in range(ROWS):
        best = max(texts, key=lambda text: score(model, row, text, length_penalty))
        assert found[row] == best


def test_the_length_penalty_prefers_longer_texts():
    model = chances({BOS: {3: 0.6, EOS: 0.4}, 3: {3: 0.6, EOS: 0.4}})
    lengths = [
        len(beam(model, *ask(1), length_penalty=penalty, limits=Limits(max_length=9))[0])
        for penalty in (0.0, 1.0, 3.0)
    ]
    assert lengths[0] == 0
    assert lengths[0] < lengths[2]
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("ratio, best", [(1.155, [3]), (1.18, [])])
def test_the_length_penalty_is_the_formula(ratio, best):
    """One token more divides log P by 7/6: it pays up to 7/6 of the log P."""
    chance = math.exp(-1), math.exp(-ratio)
    model = chances(
        {BOS: {EOS: chance[0], 3: chance[1], 4: 1 - sum(chance)}, 3: {EOS: 1}, 4: {4: 1}}
    )
    limits = Limits(max_length=3)
    assert beam(model, *ask(1), width=3, length_penalty=1.0, limits=limits) == [best]


def test_a_beam_does_not_stop_at_worse_texts():
    """Two texts end early, while a beginning is likelier than both: it is what greedy writes."""
    model = chances(
        {
            BOS: {3: 0.5, EOS: 0.4, 4: 0.1},
            3: {5: 0.92, EOS: 0.08},
            4: {EOS: 1.0},
            5: {EOS: 1.0},
        }
    )
    assert greedy(model, *ask(1)) == [[3, 5]]
    assert beam(model, *ask(1), width=2, length_penalty=0.0) == [[3, 5]]


@pytest.mark.parametrize("seed", range(20))
def test_a_beam_keeps_what_it_could_not_improve(seed):
    """Of the texts a beam meets, none is likelier than what it returns."""
    model = random_table(seed=seed, rows=1, size=6)
    width, max_length = 3, 6
    found = beam(
        model, *ask(1), width=width, length_penalty=0.0, limits=Limits(max_length=max_length)
    )[0]
    # the same search by sorting whole texts, until nothing is left
    living, ended = [[]], []
    for _ in range(max_length + 1):
        grown = [[*text, token] for text in living for token in (PAD, EOS, 3, 4, 5)]
        grown.sort(key=lambda text: -log_probability(model, 0, text, ended=False))
        ended += [text[:-1] for text in grown[:width] if text[-1] == EOS]
        living = [text for text in grown if text[-1] != EOS][:width]
    if ended:
        assert found == max(ended, key=lambda text: log_probability(model, 0, text))
    else:
        assert len(found) == max_length


def test_impossible_beginnings_do_not_count_as_finished():
    """At the first step all beams but one are impossible, and so are their ends."""
    model = chances({BOS: {3: 0.9, EOS: 0.1}, 3: {4: 1.0}, 4: {EOS: 1.0}})
    assert beam(model, *ask(1), width=3, length_penalty=0.0) == [[3, 4]]


def test_a_text_without_end_is_its_likeliest_beginning():
    model = chances({BOS: {3: 0.4, 4: 0.6}, 3: {3: 1.0}, 4: {3: 0.5, 4: 0.5}})
    # 3 3 has 0.4, 4 3 and 4 4 have 0.3; one step later all the same
    assert beam(model, *ask(1), width=2, limits=Limits(max_length=2)) == [[3, 3]]
    assert greedy(model, *ask(1), limits=Limits(max_length=2))[0][0] == 4
    # what would come after the last token does not count
    model = chances({BOS: {3: 0.55, 4: 0.45}, 3: {3: 0.5, 4: 0.5}, 4: {4: 1.0}})
    assert beam(model, *ask(1), width=2, limits=Limits(max_length=1)) == [[3]]


def test_a_text_that_cannot_go_on_ends():
    table = torch.full((1, 4, 4), -torch.inf)
    table[0, BOS, 3], table[0, 3, BOS] = 0, 0  # after 3 only `bos`, which is never written
    model = Table(table)
    assert beam(model, *ask(1), width=2, limits=Limits(max_length=99)) == [[3]]
    assert model.steps == 2


# ---- sampling


def histogram(*, temperature=1.0, top_k=None, top_p=1.0, draws=20_000):
    """How often each token is drawn first, from chances 0.4, 0.3, 0.2 and 0.1, and the chances."""
    table = torch.full((1, 7, 7), -torch.inf)
    table[0, :, EOS] = 0
    table[0, BOS] = torch.tensor([0.2, 0, 0, 0.1, 0.4, 0, 0.3]).log()
    texts = sample(
        Table(table),
        torch.zeros(draws, 1, dtype=torch.long),
        torch.ones(draws, dtype=torch.long),
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        generator=torch.Generator().manual_seed(3),
    )
    return torch.tensor([text[0] for text in texts]).bincount(minlength=7) / draws


@pytest.mark.parametrize(
    "settings, chances",
    [
        ({}, {4: 0.4, 6: 0.3, PAD: 0.2, 3: 0.1}),
        ({"temperature": 0.5}, {4: 0.16, 6: 0.09, PAD: 0.04, 3: 0.01}),
        ({"temperature": 1e30}, {4: 1, 6: 1, PAD: 1, 3: 1}),
        ({"top_k": 2}, {4: 0.4, 6: 0.3}),
        ({"top_k": 99}, {4: 0.4, 6: 0.3, PAD: 0.2, 3: 0.1}),
        ({"top_p": 0.35}, {4: 0.4}),
        ({"top_p": 0.45}, {4: 0.4, 6: 0.3}),
        ({"top_p": 0.65}, {4: 0.4, 6: 0.3}),
        ({"top_p": 0.75}, {4: 0.4, 6: 0.3, PAD: 0.2}),
        ({"top_p": 0.75, "top_k": 2}, {4: 0.4, 6: 0.3}),
        ({"top_p": 0.45, "top_k": 3}, {4: 0.4, 6: 0.3}),
        ({"top_p": 0.65, "temperature": 0.5}, {4: 0.16, 6: 0.09}),
    ],
    ids=str,
)
def test_tokens_are_drawn_as_often_as_they_should_be(settings, chances):
    draws = 20_000
    actual = histogram(**settings, draws=draws)
    total = sum(chances.values())
    surprise = 0.0
    for token in range(7):
        want = chances.get(token, 0.0) / total
        assert want > 0 or actual[token] == 0
        if want:
            surprise += draws * (actual[token].item() - want) ** 2 / want
    # chi-square with at most 3 degrees of freedom exceeds 16.3 once in a thousand times
    assert surprise < 16.3


def test_bos_is_never_drawn_and_the_others_share_its_chance():
    table = torch.full((1, 5, 5), -torch.inf)
    table[0, :, EOS] = 0
    table[0, BOS] = torch.tensor([0, 0.9, 0, 0.025, 0.075]).log()
    draws = 4_000
    texts = sample(
        Table(table),
        torch.zeros(draws, 1, dtype=torch.long),
        torch.ones(draws, dtype=torch.long),
        generator=torch.Generator().manual_seed(3),
    )
    share = sum(text == [4] for text in texts) / draws
    assert abs(share - 0.75) < 4 * math.sqrt(0.75 * 0.25 / draws)
    assert {tuple(text) for text in texts} == {(3,), (4,)}


@every_model
def test_the_generator_decides(name):
    model, limits = MODELS[name](), Limits(max_length=9)

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return sample(model, *ask(), temperature=3.0, generator=generator, limits=limits)

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


# ---- and the table itself


def test_the_table_model_says_what_it_is_asked():
    model = random_table(seed=0)
    state = model.start(*ask())
    state.select(torch.tensor([2, 0]))
    logits = model.step(torch.tensor([3, 4]), state)
    assert_close(logits[0], model.tables[2, 3], roundings=1, largest=1.0)
    assert_close(logits[1], model.tables[0, 4], roundings=1, largest=1.0)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda ask: Limits(max_length=0), "max_length must be at least 1, got 0"),
        (lambda ask: beam(*ask, width=0), "width must be at least 1, got 0"),
        (
            lambda ask: sample(*ask, temperature=0.0),
            "temperature must be above 0 and finite, got 0.0",
        ),
        (
            lambda ask: sample(*ask, temperature=math.inf),
            "temperature must be above 0 and finite, got inf",
        ),
        (
            lambda ask: sample(*ask, temperature=math.nan),
            "temperature must be above 0 and finite, got nan",
        ),
        (lambda ask: sample(*ask, top_k=0), "top_k must be at least 1, got 0"),
        (lambda ask: sample(*ask, top_p=0.0), "top_p must be above 0 and at most 1, got 0.0"),
        (lambda ask: sample(*ask, top_p=1.5), "top_p must be above 0 and at most 1, got 1.5"),
    ],
)
def test_rejects_settings_that_cannot_be(call, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        call((random_table(seed=0), *ask()))
