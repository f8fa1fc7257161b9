"""A folder becomes another one, or a report of why not; what a search remembered goes with it."""

import json
from pathlib import Path

import pytest

from heedful.allocation.plan import Plan
from heedful.errors import BudgetError, RunError
from heedful.optimizing import into_folder
from heedful.optimizing.budget import as_budget
from heedful.optimizing.clock import Clock
from heedful.optimizing.company import Company
from heedful.optimizing.events import Note
from heedful.optimizing.into_folder import (
    IntoFolder,
    Opened,
    check_free,
    optimize_into,
    output_of,
    search_of,
)
from heedful.optimizing.outcome import Outcome
from heedful.optimizing.settings import OptimizeSettings


@pytest.fixture
def optimized(kit, monkeypatch, tmp_path):
    """Optimise into a folder, by a search that comes to what the test says."""

    def optimize(accepted, *, note=None, clock=None):
        asked, events, written = [], [], []
        problem = kit.problem()

        def search(request):
            asked.append(request)
            assert search_of(out).is_dir()  # held before anything is searched
            if note is not None:
                (search_of(out) / note).touch()
            report = {"accepted": accepted, "reason": "so it is"}
            return Outcome(
                accepted=accepted, reason="so it is", model=problem.model, plan=Plan(),
                verdict=None, report=report,
            )  # fmt: skip

        out = tmp_path / "out"
        monkeypatch.setattr(into_folder, "optimize_problem", search)
        opened = Opened(
            problem=problem,
            source=tmp_path,
            splits={"dev": [1], "test": [2, 3]},
            about={"run": "mine"},
            write=lambda outcome, report: written.append((outcome, report)),
            made={"seed": 4},
        )
        try:
            optimize_into(
                IntoFolder(
                    folder=out, opened=lambda: opened, budget=as_budget("loss 1"),
                    clock=clock or Clock(), settings=OptimizeSettings(goal="macs"),
                    on_event=events.append,
                )
            )  # fmt: skip
        finally:
            optimize.seen = (out, asked, events, written)
        return optimize.seen

    return optimize


def test_an_accepted_model_is_written_with_its_report(optimized):
    out, (request,), _, ((outcome, report),) = optimized(True)
    assert report == {"run": "mine", "accepted": True, "reason": "so it is"}
    assert outcome.accepted
    assert not out.exists()  # whoever opened it writes it
    assert not search_of(out).exists()
    about = request.state.about
    assert about["made"] == {"seed": 4}
    assert len({about["model"], about["dev"], about["test"]}) == 3
    assert about["machine"] is None
    assert request.problem.looked == 0


def test_a_refusal_leaves_its_report_alone(optimized):
    with pytest.raises(BudgetError, match="so it is"):
        optimized(False)
    out, _, _, written = optimized.seen
    assert written == []
    assert [path.name for path in out.iterdir()] == ["report.json"]
    assert json.loads((out / "report.json").read_text())["run"] == "mine"
    check_free(out)  # a refusal gives way


def test_what_no_search_wrote_stays(optimized):
    out, _, events, _ = optimized(True, note="mine.txt")
    assert (search_of(out) / "mine.txt").exists()
    (note,) = [each for each in events if isinstance(each, Note)]
    assert note.text == f"{search_of(out)} holds what no search wrote, and stays"


def test_what_leaves_no_time_to_search_is_said(optimized):
    times = iter([0.0, *[50.0] * 9])
    *_, events, _ = optimized(True, clock=Clock(1.0, now=lambda: next(times)))
    (note,) = [each for each in events if isinstance(each, Note)]
    assert note.text == "reading the model and its data took 50 seconds, where 60 are for all of it"


def test_folders_are_named_beside_what_they_are_of(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    assert output_of(Path("."), None) == tmp_path / "run-optimised"
    assert output_of(tmp_path / "run", tmp_path / "other") == tmp_path / "other"
    assert search_of(tmp_path / "other") == tmp_path / "other.search"


@pytest.mark.parametrize("content", ['{"accepted": true}', "[]", "no json"])
def test_a_report_of_anything_else_is_in_the_way(tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(RunError, match=r"report\.json is of no optimisation that was refused"):
        check_free(tmp_path)


def test_a_database_that_cannot_be_used_is_one_line_before_anything_is_read(tmp_path):
    asked = IntoFolder(
        folder=tmp_path / "out",
        opened=lambda: pytest.fail("read"),
        budget=as_budget("loss 1"),
        settings=OptimizeSettings(),
        clock=Clock(),
    )
    with pytest.raises(RunError, match="the database of --storage must be usable, got: ") as error:
        optimize_into(asked, Company(storage="nonsense"))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
