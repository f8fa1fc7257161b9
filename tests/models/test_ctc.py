"""CTC: greedy and by beams, against all the ways there are to spread a text over frames."""

import itertools
import math
import re
from collections import defaultdict

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.ctc import ctc_beam, ctc_greedy, ctc_spans


def collapsed(path):
    """What a path of tokens, one a frame, says."""
    said = []
    for before, token in itertools.pairwise([None, *path]):
        if token not in (0, before):
            said.append(token)
    return said


def all_texts(scores):
    """The probability of every text, summed over all paths."""
    frames, size = scores.shape
    found = defaultdict(float)
    for path in itertools.product(range(size), repeat=frames):
        likely = math.exp(sum(scores[frame, token].item() for frame, token in enumerate(path)))
        found[tuple(collapsed(path))] += likely
    return found


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)


def test_runs_become_one_and_blanks_nothing():
    path = [0, 2, 2, 0, 2, 1, 1, 0]
    scores = torch.nn.functional.one_hot(torch.tensor([path, path]), 3).float()
    assert ctc_greedy(scores, torch.tensor([8, 3])) == [[2, 2, 1], [2]]
    assert ctc_greedy(scores[:, :1], torch.tensor([1, 1])) == [[], []]


@pytest.mark.parametrize("seed", range(8))
def test_wide_beams_find_the_likeliest_text_of_all(seed):
    scores = drawn(2, 5, 3, seed=seed)
    lengths = torch.tensor([5, 4])
    found = ctc_beam(scores, lengths, width=99)
    for row, length in enumerate(lengths.tolist()):
        likely = all_texts(scores[row, :length])
        assert likely[tuple(found[row])] == pytest.approx(max(likely.values()))


def test_beams_see_what_the_best_path_does_not():
    # the best path is blank, blank; but one token has more ways to be there
    scores = torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log()
    assert ctc_greedy(scores, torch.tensor([2])) == [[]]
    assert ctc_beam(scores, torch.tensor([2]), width=4) == [[1]]
    assert ctc_beam(scores, torch.tensor([2]), width=1) in ([[]], [[1]])


def test_no_beam_is_refused():
    with pytest.raises(ConfigError, match=re.escape("width must be at least 1, got 0")):
        ctc_beam(drawn(1, 2, 3), torch.tensor([2]), width=0)


def test_spans_are_the_runs_of_the_best_path():
    path = torch.tensor([0, 2, 2, 0, 2, 1, 0])
    spans = ctc_spans(torch.nn.functional.one_hot(path, 3).float())
    assert [(token, run.tolist()) for token, run in spans] == [(2, [1, 2]), (2, [4]), (1, [5])]
