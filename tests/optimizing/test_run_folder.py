"""From run folder to run folder: what is written opens, serves, and can be optimised again."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from heedful.allocation.moves import DropSite, KeepHeads
from heedful.allocation.plan import Plan, load_plan
from heedful.allocation.sites import find_sites
from heedful.bench.timing import Ratio
from heedful.errors import BudgetError, ConfigError, DataError, RunError, UnsupportedError
from heedful.locks import hold
from heedful.optimizing import proof, run_folder
from heedful.optimizing.budget import Budget
from heedful.optimizing.events import RoundDone, Stage
from heedful.optimizing.into_folder import output_of, search_of
from heedful.optimizing.operations import parameters
from heedful.optimizing.run_folder import apply_plan, optimize_run
from heedful.training.run import load
from heedful.training.splits import LEDGER
from heedful.training.start import train

NAMES = {"config.toml", "run.json", "tokens", "splits", "checkpoints", "checkpoints.json"} | {
    *("plan.toml", "report.json", "manifest.json", LEDGER),
}
TEXTS = ["one two three", "nine zero four seven five"]


def contents(folder):
    """All files but the ledger of looks, which is all that may grow."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != LEDGER)
    return {path: path.read_bytes() for path in files}


def quick(kit, **settings):
    return kit.quick(**({"rounds": 1, "trials": 3, "finetune_steps": 3, "finalists": 1} | settings))


@pytest.fixture(scope="module")
def optimised(digit_run, kit, tmp_path_factory):
    """An optimised run, and its outcome."""
    out = tmp_path_factory.mktemp("optimised") / "out"
    with pytest.MonkeyPatch.context() as patch:
        latency = {"before": 3.0, "after": 2.0}
        patch.setattr(proof, "_timed", lambda *_: (Ratio(1.5, 1.4, 1.6), latency))
        before = contents(digit_run.folder)
        outcome = optimize_run(digit_run.folder, lose="loss 9", output=out, settings=quick(kit))
        assert contents(digit_run.folder) == before
    return load(out), outcome


def test_an_optimised_run_is_a_run(digit_run, optimised):
    run, outcome = optimised
    assert outcome.accepted
    assert {path.name for path in run.folder.iterdir()} == NAMES
    assert run.plan.moves == outcome.plan.moves != {}
    assert run.config == digit_run.config
    assert run.examples("test") == digit_run.examples("test")
    state = outcome.model.state_dict()
    for name, tensor in run.translator.model.state_dict().items():
        assert torch.equal(tensor, state[name])
    assert len(run.translator.translate(TEXTS)) == 2


def test_its_report_says_what_the_outcome_said(digit_run, optimised):
    run, outcome = optimised
    report = json.loads((run.folder / "report.json").read_bytes())
    assert report == {"run": str(digit_run.folder), **outcome.report}
    assert report["quality"]["metric"] == "loss"
    assert report["quality"]["examples"] == 80
    count = parameters(run.translator.model)
    assert run.about["parameters"] == report["parameters"]["after"] == count
    assert count < parameters(digit_run.translator.model)
    assert run.about["optimised_from"] == str(digit_run.folder.resolve())
    assert run.about["seed"] == digit_run.about["seed"]


def test_looks_at_a_test_split_are_counted(digit_run, kit, timed, untested, tmp_path):
    folder, file = untested
    looks = []
    settings = quick(kit, trials=1, finetune_steps=0, finals=0)
    for number, test in enumerate((None, file), 1):
        run = digit_run.folder if test is None else folder
        before = len((run / LEDGER).read_bytes().splitlines()) if (run / LEDGER).exists() else 0
        events = []
        out = tmp_path / f"out{number}"
        outcome = optimize_run(
            run,
            lose="loss 9",
            output=out,
            test=test,
            settings=settings,
            on_event=events.append,
        )
        looks.append(outcome.report["test_looks"])
        assert len((run / LEDGER).read_bytes().splitlines()) == before + 1
        assert json.loads((out / "report.json").read_bytes())["test_looks"] == looks[-1]
        said = f"This is look {looks[-1]} at the test split: each must be surer."
        assert (said in outcome.reason) == (looks[-1] > 1)
    assert looks[1] == looks[0]  # the same examples, whatever file they come from
    assert (tmp_path / "out1" / LEDGER).read_bytes() == (digit_run.folder / LEDGER).read_bytes()


def test_the_search_is_kept_only_until_it_is_done(optimised):
    assert not search_of(optimised[0].folder).exists()


def test_an_optimised_run_cannot_be_trained_on(optimised):
    with pytest.raises(RunError, match=r"a run to resume must be as it was trained, got .*since"):
        train(resume=optimised[0].folder)


def test_an_optimised_run_can_be_optimised_again(optimised, kit, timed, tmp_path):
    run, first = optimised
    outcome = optimize_run(run, lose="loss 9", output=tmp_path / "b", settings=quick(kit))
    again = load(tmp_path / "b")
    assert parameters(again.translator.model) < parameters(run.translator.model)
    state = outcome.model.state_dict()
    for name, tensor in again.translator.model.state_dict().items():
        assert torch.equal(tensor, state[name])
    for name in again.plan.moves:
        assert again.plan.was[name] == first.plan.was[name]


def test_a_refusal_leaves_its_report_and_gives_way_to_the_next_try(digit_run, kit, timed, tmp_path):
    out = tmp_path / "out"
    settings = quick(kit, trials=1, finetune_steps=0, finals=0)
    for lose in ("loss 0.0000001", "loss 0.0000002"):
        if out.exists():  # links are not followed, other files are not deleted
            search_of(out).mkdir()
            (search_of(out) / "letter.txt").write_text("dear")
        with pytest.raises(BudgetError, match="a change must lose at most loss"):
            optimize_run(digit_run, lose=lose, output=out, settings=settings)
        assert [path.name for path in out.iterdir()] == ["report.json"]
        left = {path.name for path in tmp_path.rglob("*")} - {"out", "report.json"}
        assert left == (set() if lose.endswith("1") else {"out.search", "letter.txt"})
        report = json.loads((out / "report.json").read_bytes())
        assert (report["accepted"], report["quality"]["budget"]) == (False, float(lose[5:]))
    budget = Budget(metric="loss", margin=9.0)
    assert optimize_run(digit_run, lose=budget, output=out, settings=settings).accepted
    assert {path.name for path in out.iterdir()} == NAMES


@pytest.mark.parametrize(
    "lose, error, message",
    [
        ("loss -0.5", ConfigError, "must know that lower loss is better"),
        ("rouge 1", ConfigError, "metric must be one of"),
        ("loss 1e9999999%", ConfigError, "lose must end in a finite number"),
        ("loss 0.5", DataError, "test split must hold at least 30 examples"),
    ],
)
def test_what_is_refused_leaves_nothing_and_blocks_nothing(
    digit_run, kit, timed, tmp_path, lose, error, message
):
    few = tmp_path / "few.tsv"
    pairs = [f"{x.source}\t{x.target}\n" for x in digit_run.examples("test")[:29]]
    few.write_text("".join(pairs), encoding="utf-8")
    test = few if error is DataError else None
    with pytest.raises(error, match=message):
        optimize_run(digit_run, lose=lose, output=tmp_path / "out", test=test)
    assert list(tmp_path.iterdir()) == [few]


def test_a_search_is_of_one_model_and_one_data(digit_run, kit, timed, tmp_path):
    """Trained on meanwhile, or with another test file: that is another search."""
    folder, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(digit_run.folder, folder)

    def kill(event):
        if isinstance(event, RoundDone):
            raise ZeroDivisionError

    def begin(**changes):
        call = {"lose": "loss 9", "output": out, "settings": quick(kit)} | changes
        return optimize_run(folder, **call)

    with pytest.raises(ZeroDivisionError):
        begin(on_event=kill)
    kept = contents(search_of(out))
    assert {path.name for path in kept} == {"journal.jsonl", "round-1.safetensors"}
    file = tmp_path / "new.tsv"
    pairs = [f"{x.source}\t{x.target}\n" for x in digit_run.examples("test")[:40]]
    file.write_text("".join(pairs), encoding="utf-8")
    with pytest.raises(RunError, match=r"must be of the same search, got a difference in test\. "):
        begin(test=file)
    checkpoints = list((folder / "checkpoints").glob("*/model.safetensors"))
    right = [path.read_bytes() for path in checkpoints]
    for path in checkpoints:
        tensors = load_file(path)
        next(iter(tensors.values())).mul_(1.001)
        save_file(tensors, path)
        path.with_name("manifest.json").unlink(missing_ok=True)  # as older runs have none
    with pytest.raises(RunError, match=r"must be of the same search, got a difference in model\. "):
        begin()
    for path, content in zip(checkpoints, right, strict=True):
        path.write_bytes(content)
    assert contents(search_of(out)) == kept
    shutil.move(folder, tmp_path / "moved")
    folder = tmp_path / "moved"
    (search_of(out) / "letter.txt").write_text("dear")
    events = []
    assert begin(on_event=events.append).accepted
    assert any("going on behind round 1" in getattr(event, "text", "") for event in events)
    assert [path.name for path in search_of(out).iterdir()] == ["letter.txt"]
    assert events[-1].text.endswith("out.search holds what no search wrote, and stays")


def test_only_one_process_optimises_into_an_output(digit_run, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "problem_of_run", lambda *_, **__: pytest.fail("began"))
    out = tmp_path / "out"
    with (
        hold(search_of(out), make=True),
        pytest.raises(RunError, match=r"out\.search must not be in use, got: held by process"),
    ):
        optimize_run(digit_run, lose="loss 9", output=out)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def untested(digit_run, tmp_path):
    """The run without a test split, and a file with the examples of that split."""
    folder, file = tmp_path / "untested", tmp_path / "new.tsv"
    shutil.copytree(digit_run.folder, folder)
    (folder / "splits" / "test.jsonl").write_bytes(b"")
    (folder / "manifest.json").unlink()
    pairs = [f"{x.source}\t{x.target}\n" for x in digit_run.examples("test")]
    file.write_text("".join(pairs), encoding="utf-8")
    return folder, file


def test_a_run_without_a_test_split_is_judged_on_a_file(digit_run, untested, kit, timed, tmp_path):
    folder, file = untested
    optimize_run(folder, lose="loss 9", output=tmp_path / "b", test=file, settings=quick(kit))
    run = load(tmp_path / "b")
    assert run.examples("test") == digit_run.examples("test")
    assert run.examples("dev") == digit_run.examples("dev")
    assert not load(folder).examples("test")


def test_a_file_that_cannot_be_read_ends_it_before_the_search(untested, kit, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(DataError, match=r"none\.tsv"):
        optimize_run(untested[0], lose="loss 9", test=tmp_path / "none.tsv", output=out)
    assert not search_of(out).exists()


def test_a_plan_needs_no_test_split(untested, tmp_path):
    plan = Plan(moves={sites_of(load(untested[0]))[0].name: (KeepHeads(heads=(0,)),)})
    run = apply_plan(plan, untested[0], output=tmp_path / "out", finetune_steps=2)
    assert len(run.translator.translate(TEXTS)) == 2


def test_what_stands_in_the_output_is_never_touched(digit_run, monkeypatch, tmp_path):
    for reader in ("problem_of_run", "problem_to_finetune"):
        monkeypatch.setattr(run_folder, reader, lambda *_, **__: pytest.fail("began"))
    (tmp_path / "thesis.txt").write_text("all I have")
    (tmp_path / "report.json").write_text("{}")
    for call in (
        lambda: optimize_run(digit_run, lose="loss 1", output=tmp_path),
        lambda: apply_plan(Plan(), digit_run, output=tmp_path),
    ):
        with pytest.raises(RunError, match="output must be a new or an empty folder, got"):
            call()
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / "thesis.txt").unlink()
    for report in ("{}", "[1]", "my notes", '{"accepted": true}'):
        (tmp_path / "report.json").write_text(report)
        with pytest.raises(RunError, match=r"report\.json is of no optimisation that was refused"):
            optimize_run(digit_run, lose="loss 1", output=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_unknown_metric_is_refused(digit_run, tmp_path):
    with pytest.raises(ConfigError, match=r'metric must be one of .*"chrf", .*got "rouge"'):
        optimize_run(digit_run, lose="rouge 1", output=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_without_a_name_it_stands_beside_the_run(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    assert output_of(tmp_path / "run", None) == tmp_path / "run-optimised"
    assert output_of(tmp_path / "run", "x").name == "x"
    assert output_of(Path(), None) == tmp_path / "run-optimised"
    assert output_of(Path(".."), None) == tmp_path.with_name(f"{tmp_path.name}-optimised")
    assert search_of(output_of(Path(), ".")) == tmp_path / "run.search"
    assert output_of(Path("../run"), None) == Path("../run-optimised")
    assert search_of(tmp_path / "run-optimised") == tmp_path / "run-optimised.search"


# ---- applying a plan -----------------------------------------------------------------------------


def sites_of(run):
    return find_sites(run.translator.model)[0]


def test_a_plan_is_applied_from_its_file(digit_run, tmp_path):
    name = sites_of(digit_run)[0].name
    plan = Plan(moves={name: (KeepHeads(heads=(1, 2)),)})
    plan.save(tmp_path / "plan.toml")
    events = []
    run = apply_plan(
        tmp_path / "plan.toml", digit_run.folder, output=tmp_path / "out", on_event=events.append
    )
    assert run.plan == plan
    assert json.loads((run.folder / "report.json").read_bytes()) == {
        "run": str(digit_run.folder),
        "verified": False,
    }
    (site,) = (site for site in sites_of(run) if site.name == name)
    assert str(site.read(run.translator.model).geometry) == "2 x 8"
    assert len(run.translator.translate(TEXTS)) == 2
    assert all(isinstance(event, Stage) for event in events)


@pytest.mark.parametrize("means", ["distil_steps", "finetune_steps"])
def test_healing_and_distillation_help(digit_run, tmp_path, means):
    names = [site.name for site in sites_of(digit_run)]
    plan = Plan(moves={name: (KeepHeads(heads=(0,)),) for name in names})
    problem = run_folder.problem_of_run(digit_run, "loss")
    scores = []
    for steps in (0, 60):
        out = tmp_path / str(steps)
        run = apply_plan(plan, digit_run, output=out, seed=2, **{means: steps})
        found = problem.statistics(run.translator.model, "dev")
        scores.append(problem.metric.score(found))
    assert scores[1] < scores[0]


def test_a_plan_behind_a_plan_leads_from_the_trained_model(digit_run, tmp_path):
    first, second = [site.name for site in sites_of(digit_run)][:2]
    one = Plan(moves={first: (KeepHeads(heads=(0, 2, 3)),)}, was={first: "4 x 8"})
    two = Plan(
        moves={first: (KeepHeads(heads=(1,)),), second: (DropSite(),)},
        was={first: "3 x 8", second: "4 x 8"},
    )
    run = apply_plan(one, digit_run, output=tmp_path / "one")
    run = apply_plan(two, run, output=tmp_path / "two")
    assert load_plan(run.folder / "plan.toml") == Plan(
        moves={first: (KeepHeads(heads=(2,)),), second: (DropSite(),)},
        was={first: "4 x 8", second: "4 x 8"},
    )
    assert len(run.translator.translate(TEXTS)) == 2


@pytest.mark.parametrize(
    "first, second, both",
    [
        (Plan(linear="int8", narrowest=16), Plan(), Plan(linear="int8", narrowest=16)),
        (Plan(), Plan(linear="int8", narrowest=16), Plan(linear="int8", narrowest=16)),
        (Plan(linear="int8"), Plan(linear="int8", narrowest=16), Plan(linear="int8", narrowest=16)),
        (Plan(linear="int8", narrowest=16), Plan(linear="int8"), Plan(linear="int8", narrowest=16)),
        (Plan(), Plan(), Plan()),
    ],
)
def test_what_either_plan_lowers_both_together_lower(first, second, both):
    assert run_folder._behind(first, second) == both


@pytest.mark.parametrize(
    "plan, error, message",
    [
        (Plan(moves={"x": (DropSite(),)}), ConfigError, "plan must fit the model, got 'x'"),
        (None, UnsupportedError, "heads must be below 4 here"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_data_is_read(
    digit_run, tmp_path, monkeypatch, plan, error, message
):
    monkeypatch.setattr(run_folder, "problem_to_finetune", lambda *_, **__: pytest.fail("was read"))
    name = sites_of(digit_run)[0].name
    plan = plan or Plan(moves={name: (KeepHeads(heads=(1, 9)),)})
    with pytest.raises(error, match=message):
        apply_plan(plan, digit_run, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", [-1, 10**30])
def test_a_seed_that_nothing_takes_is_refused(digit_run, tmp_path, seed):
    with pytest.raises(
        ConfigError, match=f"seed must be at least 0 and below 4294967296, got {seed}"
    ):
        apply_plan(Plan(), digit_run, output=tmp_path / "out", seed=seed)


def test_a_plan_that_is_not_there_is_an_error(digit_run, tmp_path):
    with pytest.raises(ConfigError, match="must be a readable plan, got"):
        apply_plan(tmp_path / "none.toml", digit_run, output=tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_an_error(digit_run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="must be writable, got: No space left on device"):
        apply_plan(Plan(), digit_run, output=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_fills_up_meanwhile_is_left_alone(digit_run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "new.txt").write_text("x")
    (out / "report.json").write_text("x")
    with pytest.raises(RunError, match="output must be a new or an empty folder, got"):
        run_folder.write_run(out, digit_run, digit_run.translator.model, Plan(), {})
    assert {path.name for path in out.iterdir()} == {"new.txt", "report.json"}
