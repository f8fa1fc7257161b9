import json
import math
import shutil
from pathlib import Path

import pytest

from heedful.errors import ConfigError
from heedful.reporting.gather import Gathering, gather, optimised_from, report_of
from heedful.training.run import Run

RUNS = Path(__file__).parents[1] / "training" / "fixtures" / "translation"


@pytest.fixture(scope="module")
def data():
    return gather(
        Run(RUNS / "learned"),
        Run(RUNS / "optimised"),
        command="heedful report",
        settings=Gathering(examples=2, draws=20),
    )


def pair(folder: Path) -> tuple[Path, Path]:
    """A run, and beside it what optimising made of it, by whose name it is found."""
    run = Path(shutil.copytree(RUNS / "learned", folder / "r"))
    return run, Path(shutil.copytree(RUNS / "optimised", folder / "r-optimised"))


def test_both_runs_are_measured_on_the_same_examples(data):
    assert (data.task, data.split, data.examples) == ("translation", "test", 40)
    assert all(score.after is not None for score in data.scores)
    (cost,) = data.costs  # nobody judged this pair
    assert (cost.name, cost.before > cost.after) == ("parameters", True)


def test_both_are_measured_on_what_the_optimised_one_was_judged_on(tmp_path):
    """Which is a file of its own where `heedful optimize --test` named one."""
    run, smaller = pair(tmp_path)
    other = Path(shutil.copytree(run, tmp_path / "other"))
    for folder in (smaller, other):
        (folder / "manifest.json").unlink()
        test = folder / "splits" / "test.jsonl"
        lines = test.read_text(encoding="utf-8").splitlines(keepends=True)
        test.write_text("".join(lines[:7]), encoding="utf-8")
    none = Gathering(examples=0, draws=1)
    both = gather(Run(run), Run(smaller), command="", settings=none)
    alone = gather(Run(other), None, command="", settings=none)
    assert both.examples == alone.examples == 7
    assert [score.before for score in both.scores] == [score.before for score in alone.scores]


def test_without_examples_there_is_a_page_without_scores(tmp_path):
    run = Path(shutil.copytree(RUNS / "transformer", tmp_path / "r"))
    (run / "manifest.json").unlink()
    for split in ("dev", "test"):
        (run / "splits" / f"{split}.jsonl").write_text("", encoding="utf-8")
    found = gather(Run(run), None, command="")
    assert (found.scores, found.examples, found.shown) == ((), 0, ())


@pytest.mark.parametrize(
    "first, second, told",
    [
        ("transformer", "rnn", "rnn, which was trained by itself"),
        ("transformer", "optimised", "optimised, which was made of runs/learned"),
        ("optimised", "learned", "learned, which was trained by itself"),
    ],
)
def test_a_page_of_two_runs_must_be_of_one_and_what_optimising_made_of_it(first, second, told):
    with pytest.raises(ConfigError, match=f"RUN2 must be .* of .*{first}, got .*{told}"):
        gather(Run(RUNS / first), Run(RUNS / second), command="")


def test_every_head_has_its_numbers_and_its_map(data):
    heads = data.atlas.heads
    assert len(heads) == 12
    assert data.atlas.error < 1e-4
    for head in heads:
        assert 0 <= head.before.entropy <= 1
        assert math.isfinite(head.before.distance) == ("cross" not in head.site)
        assert 0 < head.tile.largest <= 1
        assert (head.after is None) == head.removed
    assert any(head.removed for head in heads)


def test_maps_have_the_words_of_the_example(data):
    rows, columns = data.atlas.tokens["encoder.0.self_attention"]
    assert rows == columns
    assert len(rows) == data.atlas.heads[0].tile.queries


def test_examples_are_spread_and_answered(data):
    assert len(data.shown) == 2
    assert data.shown[0].asked != data.shown[1].asked


def test_an_optimised_run_is_found_beside_its_own(tmp_path):
    run, smaller = pair(tmp_path / "then")
    assert optimised_from(Run(run)).folder == smaller
    moved = (tmp_path / "then").rename(tmp_path / "now")
    assert optimised_from(Run(moved / "r")).folder == moved / "r-optimised"
    shutil.rmtree(moved / "r-optimised")
    assert optimised_from(Run(moved / "r")) is None
    shutil.copytree(RUNS / "transformer", moved / "r-optimised")  # a training of its own
    assert optimised_from(Run(moved / "r")) is None


def test_a_refusal_beside_the_run_is_reported(tmp_path):
    folder = Path(shutil.copytree(RUNS / "transformer", tmp_path / "r"))
    assert report_of(Run(folder), None) is None
    (tmp_path / "r-optimised").mkdir()
    refusal = {"accepted": False, "quality": {}}
    (tmp_path / "r-optimised" / "report.json").write_text(json.dumps(refusal))
    assert report_of(Run(folder), None) == refusal


@pytest.mark.parametrize("name, value, least", [("examples", -1, 0), ("draws", 0, 1)])
def test_settings_out_of_range_are_refused(name, value, least):
    with pytest.raises(ConfigError, match=f"{name} must be at least {least}, got {value}"):
        Gathering(**{name: value})
