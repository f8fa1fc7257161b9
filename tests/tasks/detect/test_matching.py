"""Matching is the cheapest of all, and the loss that of the formula."""

import itertools
import math
import sys

import pytest
import torch

from heedful.errors import MissingExtraError
from heedful.metrics.rows import UNKNOWN
from heedful.models.detector import Detected
from heedful.tasks.detect.matching import (
    detection_loss,
    generalised_overlaps,
    match,
    targets_of,
)

pytest.importorskip("scipy", reason="the extra images is not installed")


def drawn(queries=5, things=3, labels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(queries, labels + 1, generator=generator)
    boxes, truth = (torch.rand(n, 4, generator=generator) * 0.5 + 0.1 for n in (queries, things))
    return logits, boxes, torch.randint(labels, (things,), generator=generator), truth


def giou(a, b):
    """Of two boxes of centre and size, in plain numbers."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.tolist(), b.tolist()
    across = min(ax + aw / 2, bx + bw / 2) - max(ax - aw / 2, bx - bw / 2)
    along = min(ay + ah / 2, by + bh / 2) - max(ay - ah / 2, by - bh / 2)
    both = max(across, 0) * max(along, 0)
    union = aw * ah + bw * bh - both
    width = max(ax + aw / 2, bx + bw / 2) - min(ax - aw / 2, bx - bw / 2)
    height = max(ay + ah / 2, by + bh / 2) - min(ay - ah / 2, by - bh / 2)
    return both / union - (width * height - union) / (width * height)


def cost(logits, boxes, labels, truth, query, thing):
    share = logits[query].softmax(-1)[labels[thing]].item()
    away = (boxes[query] - truth[thing]).abs().sum().item()
    return 5 * away - 2 * giou(boxes[query], truth[thing]) - share


def test_overlaps_are_generalised():
    _, boxes, _, truth = drawn()
    want = [[giou(a, b) for b in truth] for a in boxes]
    torch.testing.assert_close(generalised_overlaps(boxes, truth), torch.tensor(want))
    same = generalised_overlaps(boxes, boxes).diagonal()
    torch.testing.assert_close(same, torch.ones(5))


@pytest.mark.parametrize("seed", range(5))
def test_the_matching_is_the_cheapest_one(seed):
    given = drawn(seed=seed)
    queries, things = match(*given)
    assert sorted(things.tolist()) == [0, 1, 2]
    pairs = zip(queries.tolist(), things.tolist(), strict=True)
    found = sum(cost(*given, query, thing) for query, thing in pairs)
    every = [
        sum(cost(*given, query, thing) for thing, query in enumerate(chosen))
        for chosen in itertools.permutations(range(5), 3)
    ]
    assert found == pytest.approx(min(every), rel=1e-5)


def test_more_things_than_queries_leave_some_unfound():
    queries, things = match(*drawn(queries=2, things=3))
    assert sorted(queries.tolist()) == [0, 1]
    assert len(set(things.tolist())) == 2
    empty = match(*drawn(things=0))
    assert [len(each) for each in empty] == [0, 0]


def one(logits, boxes, labels, truth, nothing):
    """The loss of an image and a layer in plain numbers."""
    queries, things = match(logits, boxes, labels, truth)
    wanted = dict(zip(queries.tolist(), labels[things].tolist(), strict=True))
    shares, total = logits.softmax(-1), 0.0
    for query in range(len(logits)):
        label, factor = wanted.get(query, -1), 1.0 if query in wanted else nothing
        total -= factor * math.log(shares[query, label])
    sides = 0.0
    for query, thing in zip(queries.tolist(), things.tolist(), strict=True):
        sides += 5 * (boxes[query] - truth[thing]).abs().sum().item()
        sides += 2 * (1 - giou(boxes[query], truth[thing]))
    return (total + sides) / max(len(queries), 1)


def test_the_loss_is_a_mean_over_layers_of_that_of_the_formula():
    first, second = drawn(seed=1), drawn(seed=2)
    logits = torch.stack([first[0], second[0]]).view(2, 1, 5, 3)
    boxes = torch.stack([first[1], second[1]]).view(2, 1, 5, 4)
    labels, truth = torch.tensor([[1, 0, -1, -1]]), torch.cat([first[3], torch.zeros(1, 4)])[None]
    found = detection_loss(Detected(logits, boxes), labels, truth, nothing=0.3)
    known = labels[0, :2], truth[0, :2]
    want = [one(logits[layer, 0], boxes[layer, 0], *known, 0.3) for layer in range(2)]
    assert found.tolist() == pytest.approx([sum(want) / 2], rel=1e-5)
    none = detection_loss(
        Detected(logits, boxes), torch.full((1, 1), -1), torch.zeros(1, 1, 4), nothing=0.3
    )
    entropy = -logits.log_softmax(-1)[..., -1].sum(-1).mean()
    torch.testing.assert_close(none, 0.3 * entropy[None])


def test_targets_are_labels_of_matched_queries():
    logits, boxes, labels, truth = drawn()
    padded = torch.cat([labels, torch.tensor([-1])])[None], torch.cat([truth, truth[:1]])[None]
    targets = targets_of(logits[None], boxes[None], *padded)[0]
    queries, things = match(logits, boxes, labels, truth)
    assert targets[queries].tolist() == labels[things].tolist()
    assert (targets == 2).sum() == 2
    unknown = targets_of(logits[None], boxes[None], torch.full((1, 2), UNKNOWN), truth[None, :2])
    assert unknown.tolist() == [[UNKNOWN] * 5]


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtraError, match=r"scipy, got none. Run: pip install 'heedful\["):
        match(*drawn())
