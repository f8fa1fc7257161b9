"""The pointer: probabilities of all words sum to one, and are what the formula says."""

import pytest
import torch

from heedful.models import Limits, beam, greedy
from heedful.models.pointer import PointerTransformer

SIZE, UNKNOWN = 9, 3
SETTINGS = {
    "width": 16,
    "heads": 2,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "feedforward": 16,
    "positions": "rotary+sinusoidal",
}
SOURCE = torch.tensor([[1, 5, 9, 10, 9, 2], [1, 9, 6, 2, 0, 0]])
LENGTHS = torch.tensor([6, 4])
TARGET = torch.tensor([[1, 9, 4, 7], [1, 6, 6, 9]])


def network(*, copying=True):
    torch.manual_seed(2)
    return PointerTransformer(size=SIZE, unknown=UNKNOWN, copying=copying, **SETTINGS).eval()


def test_probabilities_are_what_the_formula_says():
    model = network()
    found = model(SOURCE, LENGTHS, TARGET).exp()
    assert found.shape == (2, 4, 11)
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 4), rtol=1e-5, atol=1e-5)
    known = torch.where(SOURCE < SIZE, SOURCE, UNKNOWN)
    target = torch.where(TARGET < SIZE, TARGET, UNKNOWN)
    memory, mask = model.network.encode(known, LENGTHS)
    states = model.network.states(target, memory, mask)
    weights = model.alignment(SOURCE, LENGTHS, TARGET)
    own = model.network.out(states).softmax(-1)
    for row, step in ((0, 0), (1, 2)):
        context = sum(weights[row, step, key] * memory[row, key] for key in range(LENGTHS[row]))
        embedded = model.network.target_embedding(target[row, step])
        share = model.gate(torch.cat([context, states[row, step], embedded])).sigmoid()
        for word in range(11):
            places = [k for k in range(LENGTHS[row]) if SOURCE[row, k] == word]
            wanted = (1 - share) * sum(weights[row, step, k] for k in places)
            wanted = wanted + (share * own[row, step, word] if word < SIZE else 0)
            assert found[row, step, word].item() == pytest.approx(wanted.item(), abs=1e-6)


@pytest.mark.parametrize("copying", [True, False])
def test_steps_are_the_whole(copying):
    model = network(copying=copying)
    source, target = (x if copying else x.clamp(max=8) for x in (SOURCE, TARGET))
    whole, state = model(source, LENGTHS, target), model.start(source, LENGTHS)
    for step in range(4):
        found = model.step(target[:, step], state)
        assert (found[:, UNKNOWN] == -torch.inf).all()
        known = (torch.arange(found.shape[-1]) != UNKNOWN) & (found > -torch.inf).all(0)
        torch.testing.assert_close(found[:, known], whole[:, step][:, known], rtol=1e-4, atol=1e-4)


def test_company_changes_only_how_many_words_there_are():
    model = network()
    alone = model(SOURCE[1:, :4], LENGTHS[1:], TARGET[1:])
    together = model(SOURCE, LENGTHS, TARGET)[1:]
    torch.testing.assert_close(alone, together[..., :10], rtol=1e-4, atol=1e-4)
    assert together[..., 10].max() < -20


@pytest.mark.parametrize("search", [greedy, beam])
def test_it_writes_nothing_unknown(search):
    limits = Limits(bos=1, eos=2, max_length=5)
    for text in search(network(), SOURCE, LENGTHS, limits=limits):
        assert not {0, UNKNOWN} & {*text}


def test_without_a_pointer_it_is_a_transformer():
    model = network(copying=False)
    source, target = SOURCE.clamp(max=8), TARGET.clamp(max=8)
    torch.testing.assert_close(
        model(source, LENGTHS, target), model.network(source, LENGTHS, target)
    )
    shown = model.alignment(source, LENGTHS, target)
    torch.testing.assert_close(shown.sum(-1), torch.ones(2, 4))
    assert model.longest is None


def test_no_pair_of_words_is_written_twice():
    model = network()
    state, written = model.start(SOURCE, LENGTHS), torch.tensor([[1, 9, 4, 7], [1, 6, 6, 9]])
    banned = []
    for tokens in [*written.T, torch.tensor([4, 6])]:
        found = model.step(tokens, state)
        banned.append([set((row == -torch.inf).nonzero()[:, 0].tolist()) for row in found])
    none = {UNKNOWN}
    assert banned == [[none, none], [none, none], [none, {UNKNOWN, 6}], [none] * 2, banned[4]]
    assert banned[4] == [{UNKNOWN, 7}, {UNKNOWN, 6, 9}]


def test_written_words_stay_with_their_rows():
    model = network()
    state = model.start(SOURCE, LENGTHS)
    for tokens in ([1, 1], [4, 6], [5, 7]):
        model.step(torch.tensor(tokens), state)
    state.select(torch.tensor([1, 1, 0]))
    found = model.step(torch.tensor([6, 6, 4]), state)
    assert (found == -torch.inf).nonzero().tolist() == [
        [0, 3],
        [0, 7],
        [1, 3],
        [1, 7],
        [2, 3],
        [2, 5],
    ]
