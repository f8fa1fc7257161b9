"""Two commands optimise one run: they share its work, and a killed one loses nothing."""

import json
import subprocess
import sys

import pytest
import torch

from heedful.errors import BudgetError
from heedful.optimizing.company import Company
from heedful.optimizing.events import Stage
from heedful.optimizing.into_folder import optimize_into, search_of
from heedful.optimizing.run_folder import run_into_folder
from heedful.optimizing.taking_part import take_part
from heedful.training.run import load

SETTINGS = {"rounds": 1, "trials": 3, "finalist_steps": 12, "finetune_steps": 2, "final_steps": 40}
COMMAND = """
import json, os, sys
from heedful.bench.timing import Ratio
from heedful.errors import BudgetError
from heedful.optimizing import proof
from heedful.optimizing.company import Company
from heedful.optimizing.run_folder import run_into_folder
from heedful.optimizing.settings import OptimizeSettings
from heedful.optimizing.taking_part import take_part
run, out, lose, deadly, storage, settings = sys.argv[1:]
proof._timed = lambda *_: (Ratio(1.5, 1.4, 1.6), {"before": 3.0, "after": 2.0})

def listen(event):
    if deadly and deadly in f"{type(event).__name__} {getattr(event, 'text', '')}":
        os.kill(os.getpid(), 9)

settings = OptimizeSettings(goal="macs", **json.loads(settings))
asked = run_into_folder(run, lose=lose, output=out, settings=settings, on_event=listen)
try:
    take_part(asked, Company(storage=storage or None))
except BudgetError:
    sys.exit(3)
"""


class Other:
    """Another command, started once this one leads; it must be ready before this one goes on."""

    def __init__(self, run, out, lose, *, deadly="", storage="", settings=SETTINGS):
        self.words = [str(run), str(out), lose, deadly, storage, json.dumps(settings)]
        self.process, self.events = None, []

    def __call__(self, event):
        self.events.append(event)
        if self.process is None and isinstance(event, Stage) and "measuring" in event.text:
            self.start()

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-c", COMMAND, *self.words])

    def alive(self):
        return int(self.process is not None and self.process.poll() is None)


def together(digit_run, kit, out, *, lose="loss 9", storage="", deadly="", settings=SETTINGS):
    """What two commands come to of which this one leads, and how the other one ended."""
    other = Other(digit_run.folder, out, lose, deadly=deadly, storage=storage, settings=settings)
    asked = run_into_folder(
        digit_run.folder,
        lose=lose,
        output=out,
        settings=kit.OptimizeSettings(goal="macs", **settings),
        on_event=other,
    )
    try:
        found = optimize_into(asked, Company(storage=storage or None, here=other.alive))
    finally:
        other.code = other.process.wait(600)
    return found, other


@pytest.fixture(scope="module")
def alone(digit_run, kit, tmp_path_factory):
    """What one command comes to."""
    from heedful.bench.timing import Ratio
    from heedful.optimizing import proof

    out = tmp_path_factory.mktemp("alone") / "out"
    with pytest.MonkeyPatch.context() as patch:
        latency = {"before": 3.0, "after": 2.0}
        patch.setattr(proof, "_timed", lambda *_: (Ratio(1.5, 1.4, 1.6), latency))
        settings = kit.OptimizeSettings(goal="macs", **SETTINGS)
        asked = run_into_folder(digit_run.folder, lose="loss 9", output=out, settings=settings)
        found = optimize_into(asked)
    assert "done_by_others" not in found.report
    return found


def check_same(found, alone):
    """The same answer, up to how sums are rounded."""
    assert found.plan.dumps() == alone.plan.dumps()
    for name, tensor in alone.model.state_dict().items():
        torch.testing.assert_close(found.model.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["a journal", "a database"])
def test_two_come_to_what_one_comes_to(digit_run, kit, alone, timed, tmp_path, storage):
    url = "" if storage == "a journal" else f"sqlite:///{tmp_path / 'all.db'}"
    found, other = together(digit_run, kit, tmp_path / "out", storage=url)
    check_same(found, alone)
    assert other.code == 0  # it has found the report
    assert found.report["done_by_others"] in ({"warmed": 1}, {"warmed": 2})  # who is first
    assert not search_of(tmp_path / "out").exists()
    assert load(tmp_path / "out").plan.moves == found.plan.moves


@pytest.mark.slow
def test_what_a_killed_one_had_begun_is_done_by_another(digit_run, kit, alone, timed, tmp_path):
    found, other = together(digit_run, kit, tmp_path / "out", deadly="Stage fine-tuning")
    assert other.code == -9
    check_same(found, alone)
    assert "done_by_others" not in found.report
    assert not search_of(tmp_path / "out").exists()


@pytest.mark.slow
def test_where_the_leading_one_is_killed_another_goes_on(digit_run, kit, alone, timed, tmp_path):
    out = tmp_path / "out"
    first = Other(digit_run.folder, out, "loss 9", deadly="RoundDone")
    first.start()
    assert first.process.wait(600) == -9
    events = []
    settings = kit.OptimizeSettings(goal="macs", **SETTINGS)
    asked = run_into_folder(
        digit_run.folder, lose="loss 9", output=out, settings=settings, on_event=events.append
    )
    report = take_part(asked, Company())
    assert report["plan"] == alone.report["plan"]
    assert any("going on behind round 1" in getattr(event, "text", "") for event in events)
    assert not search_of(out).exists()


@pytest.mark.slow
def test_a_refusal_is_one_of_all(digit_run, kit, timed, tmp_path):
    hopeless = SETTINGS | {"finetune_steps": 0, "finals": 0}  # what is cut is never made good
    with pytest.raises(BudgetError):
        together(digit_run, kit, tmp_path / "out", lose="loss 0.0000001", settings=hopeless)
