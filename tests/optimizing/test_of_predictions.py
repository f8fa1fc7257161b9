"""The verdict on two files of predictions, and each way in which files can be of no use."""

import json
import re

import numpy as np
import pytest

from heedful.errors import ConfigError, DataError, RunError
from heedful.metrics.metric import mean_metric, per_example
from heedful.metrics.texts import chrf
from heedful.optimizing.budget import parse_lose
from heedful.optimizing.looks import confidence_of_look
from heedful.optimizing.of_predictions import METRICS, judge_predictions
from heedful.optimizing.verdict import judge

COUNT = 40


@pytest.fixture
def write(tmp_path):
    def make(name, rows):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return tmp_path / name

    return make


def scores(seed=1):
    random = np.random.default_rng(seed)
    before = random.normal(7, 1, COUNT)
    return before.tolist(), (before - random.normal(0.01, 0.1, COUNT)).tolist()


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("look", [1, 3])
def test_scores_are_judged_as_optimise_judges(write, ids, look):
    before, after = scores()
    sides = [
        [{"score": score} | ({"id": f"n{number}"} if ids else {}) for number, score in enumerate(x)]
        for x in (before, after)
    ]
    if ids:
        sides[1].reverse()  # ids tell which is which
    paths = [write(f"{number}.jsonl", rows) for number, rows in enumerate(sides)]
    found = judge_predictions(*paths, lose="quality 0.1", look=look, span=9.0, seed=5)
    assert found == judge(
        per_example(before),
        per_example(after),
        metric=mean_metric("quality", span=9.0),
        budget=parse_lose("quality 0.1"),
        confidence=confidence_of_look(look),
        seed=5,
    )


def test_lines_without_an_id_are_compared_in_their_order(write):
    before, after = (write(f"{x}.jsonl", [{"score": y} for y in range(COUNT)]) for x in "ab")
    assert judge_predictions(before, after, lose="score 5").difference == 0


@pytest.mark.parametrize("lose, better", [("score +9", False), ("error 9", False), ("x 9", True)])
def test_the_budget_says_what_is_better(write, lose, better):
    paths = [write(f"{x}.jsonl", [{"score": y} for y in side]) for x, side in enumerate(scores())]
    found = judge_predictions(*paths, lose=lose)
    assert (found.bound < found.difference) == better


@pytest.mark.parametrize("where", ["both", "before", "after"])
def test_predictions_are_measured_by_the_metric_of_the_budget(write, where):
    references = [f"number {number} of the cats" for number in range(COUNT)]
    said = references, [text.replace("cats", "rats") for text in references]
    rows = [
        [
            {"prediction": text} | ({"reference": true} if where in ("both", side) else {})
            for text, true in zip(texts, references, strict=True)
        ]
        for side, texts in zip(("before", "after"), said, strict=True)
    ]
    found = judge_predictions(write("a", rows[0]), write("b", rows[1]), lose="chrf 99")
    metric = chrf(truth=lambda text: text)
    assert found.before == metric.score(metric.statistics(said[0], references)) == 100.0
    assert found.after == metric.score(metric.statistics(said[1], references)) < 100


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_takes_texts_and_labels(write, name):
    label, text = 51324, "the cats sat on the mats"
    rows = [{"prediction": label, "reference": str(label)}] * 3
    rows += [{"prediction": text, "reference": text}] * COUNT
    rows += [{"prediction": "no", "reference": text}]
    paths = write("a", rows), write("b", rows)
    found = judge_predictions(*paths, lose=f"{name} 50")
    assert found.accepted
    assert found.before == found.after
    assert 0 < found.before < 100


GOOD = [{"id": number, "score": number} for number in range(COUNT)]
SAID = [{"prediction": "a", "reference": "b"}] * COUNT


@pytest.mark.parametrize(
    "before, after, lose, message",
    [
        ([], GOOD, "x 1", "before must hold a prediction a line, got none"),
        (["{"], GOOD, "x 1", "before line 1 must be a JSON object, got: Expecting"),
        (["[1]"], GOOD, "x 1", "before line 1 must be a JSON object, got [1]"),
        ([GOOD[0], {"score": 1}], GOOD, "x 1", "must have an id or none, got none in line 2"),
        ([*GOOD, GOOD[3]], GOOD, "x 1", "must stand there once, got '3' again"),
        (SAID, GOOD, "x 1", "both files must have ids or neither, got ids in"),
        (GOOD, GOOD[:-2], "x 1", "got 2 of"),
        (GOOD[:-1], GOOD, "x 1", "lacks, the first with id '39'"),
        (SAID, SAID[1:], "chrf 1", "lacks, the first with line 40"),
        (GOOD[:20], GOOD[:20], "x 1", "a verdict must rest on at least 30 examples, got 20"),
        ([*GOOD[:-1], {"id": 39}], GOOD, "x 1", "score must be a number, got None in"),
        ([*GOOD[:-1], {"id": 39, "score": True}], GOOD, "x 1", "got True in"),
        ([*GOOD[:-1], '{"id": 39, "score": NaN}'], GOOD, "x 1", "score must be finite, got nan in"),
        ([*GOOD[:-1], {"id": 39, "score": -(10**400)}], GOOD, "x 1", "finite, got -inf in"),
        (SAID, [{"prediction": []}] * COUNT, "chrf 1", "prediction must be a text or a label"),
        ([{"prediction": "a"}] * COUNT, [{"prediction": "a"}] * COUNT, "chrf 1", "got neither in"),
        (SAID, [{"prediction": "a", "reference": "c"}] * COUNT, "chrf 1", "got two for"),
    ],
)
def test_what_cannot_be_compared_is_refused(write, before, after, lose, message):
    with pytest.raises(DataError, match=re.escape(message)):
        judge_predictions(write("before", before), write("after", after), lose=lose)


@pytest.mark.parametrize(
    "lose, more, message",
    [
        ("rouge 1", {}, "must be of a metric of predictions, accuracy, bleu, "),
        ("chrf", {}, "lose must read METRIC NUMBER"),
        ("chrf 1", {"span": 0.0}, "span must be a finite number above 0, got 0.0"),
        ("chrf 1", {"span": float("inf")}, "span must be a finite number above 0, got inf"),
        ("chrf 1", {"look": 0}, "the number of a look must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(write, lose, more, message):
    said = write("a", SAID)
    with pytest.raises(ConfigError, match=re.escape(message)):
        judge_predictions(said, said, lose=lose, **more)


def test_a_file_that_is_not_there_is_named(tmp_path, write):
    with pytest.raises(RunError, match=r"predictions must be in a file that exists, got .*none"):
        judge_predictions(tmp_path / "none", write("a", GOOD), lose="score 1")
