"""From a model to a smaller one that is proved to be as good, or to a refusal that says why."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import heedful
from heedful.allocation.moves import KeepHeads
from heedful.bench.timing import Ratio, Times
from heedful.errors import BudgetError, ConfigError, DataError, RunError, UnsupportedError
from heedful.locks import hold
from heedful.nn import Attention
from heedful.nn.positions import AlibiPositions
from heedful.optimizing import free_moves, latency_table, rounds, site_options
from heedful.optimizing import optimize as optimize_file
from heedful.optimizing import proof as proof_file
from heedful.optimizing.budget import Budget
from heedful.optimizing.clock import TimeUp
from heedful.optimizing.events import Note, RoundDone, Stage
from heedful.optimizing.finetuned_original import UNLABELLED, UNTRAINED
from heedful.optimizing.of_model import ModelSpec
from heedful.optimizing.operations import parameters
from heedful.optimizing.optimize import as_budget
from heedful.optimizing.request import Request
from heedful.optimizing.rounds import Search

KEYS = {"accepted", "reason", "quality", "speedup", "speedup_middle_half", "latency_ms"} | {
    *("attention_operations", "parameters", "seconds", "plan", "goal", "attention_share"),
    *("speedup_bound", "sites", "not_adaptable", "rounds", "machine", "seed", "taken_apart"),
    *("finetuned_original", "test_looks", "left_out", "steps", "refused"),
    *("cost_share", "loadable"),
}


def optimized(kit, model, *, lose=0.1, settings=None, quality=None, data=None, **more):
    return heedful.optimize(
        model,
        data=data or kit.splits(),
        quality=quality or kit.agreement(copy.deepcopy(model).eval()),
        lose=lose,
        settings=settings or kit.quick(),
        **{"spec": ModelSpec(outputs="logits"), **more},
    )


# ---- accepted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Tiny", "Layers", "Pooled"])
def test_what_does_nothing_is_cut_and_proved_not_to_matter(kit, timed, kind):
    model = kit.planted(getattr(kit, kind), layers=2)
    events = []
    outcome = optimized(kit, model, settings=kit.quick(rounds=1, cut=0.3), on_event=events.append)
    report = outcome.report
    assert outcome.accepted, outcome.reason
    assert report.keys() == KEYS
    counts = parameters(model), parameters(outcome.model)
    assert (report["parameters"]["before"], report["parameters"]["after"]) == counts
    assert counts[1] < counts[0]
    operations = report["attention_operations"]
    assert operations["after"] < 0.8 * operations["before"]
    assert report["plan"] == outcome.plan.dumps()
    assert report["quality"]["bound"] >= report["quality"]["budget"] == -0.1
    assert report["quality"]["split"] == "test"
    assert outcome.verdict.examples == report["quality"]["examples"] == 120
    assert report["finetuned_original"] in outcome.reason
    assert outcome.reason.removesuffix(f". {report['finetuned_original']}").endswith(
        f"; {report['cost_share']:.0%} of the multiply-adds, at 1.50x (1.40 to 1.60) the speed"
    )
    assert report["finetuned_original"] in (UNLABELLED, UNTRAINED)
    assert report["test_looks"] == 1
    assert report["left_out"] == {}
    assert ".;" not in outcome.reason
    assert all(site["before"] == "4 x 4" for site in report["sites"])
    assert all(max(site["importance"]) == site["importance"][2] for site in report["sites"])
    assert json.loads(json.dumps(report)) == report
    assert [event.number for event in events if isinstance(event, RoundDone)] == [
        done["round"] for done in report["rounds"]
    ]
    assert not outcome.model.training


def test_the_input_model_is_not_touched(kit, timed):
    model = kit.planted().train()
    handle = model.head.register_forward_hook(lambda *_: None)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors = dict(model.named_parameters())
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    kinds = [type(module) for module in model.modules()]
    outcome = optimized(kit, model)
    assert outcome.model is not model
    assert model.training
    assert [type(module) for module in model.modules()] == kinds
    assert hooks == [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    assert not any("forward" in vars(module) for module in model.modules())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    for name, parameter in model.named_parameters():
        assert parameter is tensors[name]
        assert parameter.grad is None
        assert parameter.requires_grad
    handle.remove()


@dataclass(frozen=True, kw_only=True)
class OneHead(heedful.Move):
    """A user's own: one head stays."""

    head: int

    def edit(self, site, seen):
        return KeepHeads(heads=(self.head,)).edit(site, seen)


def test_a_move_of_ones_own_is_tried_saved_and_loaded_with_its_class_only(
    kit, timed, tmp_path, monkeypatch
):
    monkeypatch.setattr(site_options, "propose", lambda *_: [])
    model = kit.planted()
    asked = {"moves": [OneHead(head=2)], "settings": kit.quick(rounds=1)}
    outcome = optimized(kit, model, **asked, resume=tmp_path / "search")
    assert outcome.accepted
    assert set(outcome.plan.moves.values()) == {(OneHead(head=2),)}
    assert f'move = "{__name__}:OneHead"\nhead = 2\n' in outcome.report["plan"]
    outcome.save(tmp_path / "smaller")
    with pytest.raises(ConfigError, match=r"OneHead'. Give its class: moves=\[...\]"):
        heedful.load(tmp_path / "smaller", into=kit.Tiny())
    loaded = heedful.load(tmp_path / "smaller", into=kit.Tiny(), moves=[OneHead], device="cpu")
    tokens = kit.rows(5)
    assert torch.equal(loaded(tokens), outcome.model(tokens))
    again = optimized(kit, model, **asked, resume=tmp_path / "search")  # all of it is recalled
    assert again.plan == outcome.plan
    with pytest.raises(RunError, match="got a difference in moves"):
        optimized(
            kit,
            model,
            moves=[OneHead(head=1)],
            settings=asked["settings"],
            resume=tmp_path / "search",
        )


def test_a_search_is_kept_by_the_names_that_older_versions_gave_it(kit, timed, tmp_path):
    """Else none that was begun by an older version would go on."""
    optimized(kit, kit.planted(), settings=kit.quick(rounds=1), resume=tmp_path / "search")
    text = (tmp_path / "search" / "journal.jsonl").read_text(encoding="utf-8")
    first, *lines = map(json.loads, text.splitlines())
    kept = first["fingerprint"]
    assert kept["budget"] == "quality >= -0.1"
    assert kept["data"].keys() == {"calibration", "validation", "test"}
    assert {"heal_steps", "bearable"} <= kept["settings"].keys()
    assert kept.keys() == {"budget", "settings", "model", "data", "training", "machine"}
    (found,) = [line["value"] for line in lines if line["key"] == ["round", 1]]
    assert {"plan", "was", "share", "damage", "slack", "within", "verdict"} <= found.keys()


def test_what_is_no_move_is_refused_at_once(kit, monkeypatch):
    no_search(monkeypatch)
    with pytest.raises(ConfigError, match=r"moves must be objects of heedful\.Move, got <class"):
        optimized(kit, kit.planted(), moves=[OneHead])


ENCODER = "nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 24, batch_first=True), 1)"
ELSEWHERE = """
import sys, torch, heedful
from torch import nn
from safetensors.torch import load_file
kept = load_file(sys.argv[1])
model = heedful.load(sys.argv[2], device="cpu", into={encoder})
with torch.no_grad():
    assert torch.equal(model(kept["x"]), kept["y"])
print(sum(parameter.numel() for parameter in model.parameters()))
"""


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_the_saved_folder_is_the_same_model_in_a_new_process(kit, timed, tmp_path):
    model = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(16, 4, 24, batch_first=True), 1, enable_nested_tensor=False
    ).eval()
    original = copy.deepcopy(model)
    x = torch.randn(288, 5, 16, generator=torch.Generator().manual_seed(2))
    outcome = optimized(
        kit,
        model,
        lose=5.0,
        data=heedful.OptimizeData(
            calibration=list(x[:48].split(16)), dev=[x[48:168]], test=[x[168:]]
        ),
        quality=lambda model, split: -(model(split[0]) - original(split[0])).flatten(1).norm(dim=1),
        spec=ModelSpec(outputs="values"),
    )
    outcome.save(tmp_path / "out")
    with torch.no_grad():
        y = outcome.model(x)
    save_file({"x": x, "y": y}, tmp_path / "kept.safetensors")
    encoder = ENCODER.replace(", 1)", ", 1, enable_nested_tensor=False)")
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", ELSEWHERE.format(encoder=encoder)),
            *(str(tmp_path / "kept.safetensors"), str(tmp_path / "out")),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == parameters(outcome.model) < parameters(model)


def test_a_seed_makes_the_same_model(kit, timed):
    model = kit.Tiny(layers=2)
    first, second = (
        optimized(kit, model, lose=0.9, settings=kit.quick(rounds=1, seed=3)) for _ in range(2)
    )
    assert first.plan == second.plan
    assert first.plan.moves
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name])
    leave = {"seconds", "machine", "attention_share", "speedup_bound"}
    assert {key: x for key, x in first.report.items() if key not in leave} == {
        key: x for key, x in second.report.items() if key not in leave
    }


def test_what_should_be_low_may_rise_as_far_as_allowed(kit, timed):
    model = kit.planted()
    original = copy.deepcopy(model)

    def distance(model, split):
        return (model(split[0]) - original(split[0])).norm(dim=-1)

    fine = optimized(
        kit, model, quality=distance, lose="quality +0.2", settings=kit.quick(rounds=1)
    )
    assert fine.accepted
    assert 0 <= fine.report["quality"]["after"] <= fine.report["quality"]["bound"] <= 0.2
    refused = optimized(
        kit, model, quality=distance, lose="quality +1e-9", settings=kit.quick(rounds=1)
    )
    assert not refused.accepted


def test_a_budget_may_be_a_share_of_what_was(kit, timed):
    model = kit.planted()
    quality = kit.agreement(copy.deepcopy(model))
    outcome = optimized(
        kit,
        model,
        quality=lambda model, split: 7 * quality(model, split),
        lose="votes 10%",
        settings=kit.quick(rounds=1),
    )
    assert outcome.accepted
    assert outcome.report["quality"]["budget"] == pytest.approx(-0.7)
    assert outcome.report["quality"]["metric"] == "votes"


@pytest.mark.parametrize("goal", ["latency", "memory"])
def test_every_goal_makes_something_smaller(kit, timed, goal):
    outcome = optimized(kit, kit.planted(), lose=0.9, settings=kit.quick(goal=goal, rounds=1))
    assert outcome.report["goal"] == goal
    assert outcome.report["parameters"]["after"] < outcome.report["parameters"]["before"]
    assert 0 < outcome.report["attention_share"] < 1


def test_the_test_split_is_asked_once_for_each_model(kit, timed):
    model, data, asked = kit.planted(), kit.splits(), []
    quality = kit.agreement(copy.deepcopy(model))

    def watched(model, split):
        asked.append(split is data.test)
        return quality(model, split)

    outcome = optimized(kit, model, data=data, quality=watched)
    assert outcome.accepted
    assert sum(asked) == 2
    assert asked[-2:] == [True, True]  # the original and the best, when all else is done


def test_attention_that_is_not_used_is_left_alone(kit, timed):
    model = kit.planted()
    model.spare = Attention(width=16, heads=2)
    outcome = optimized(kit, model)
    assert outcome.accepted
    assert [site["after"] for site in outcome.report["sites"]][1] == "2 x 8"
    assert outcome.report["sites"][1]["operations"] == 0


def test_all_attention_may_go(kit, timed):
    model = kit.planted(layers=2)
    with torch.no_grad():
        for out in model.outs():
            out.weight.zero_()
    settings = kit.quick(rounds=6, cut=0.9, finetune_steps=0, finalist_steps=0, finalists=1)
    outcome = optimized(kit, model, settings=settings)
    assert outcome.accepted
    assert [site["after"] for site in outcome.report["sites"]] == ["dropped", "dropped"]
    assert outcome.report["attention_operations"]["after"] == 0
    assert len(outcome.report["rounds"]) < 6


def test_sites_that_cannot_be_changed_are_named(kit, timed):
    model = kit.planted()
    model.strange = Attention(width=16, heads=4, positions=AlibiPositions(4))
    report = optimized(kit, model, settings=kit.quick(rounds=1)).report
    assert list(report["not_adaptable"]) == ["strange"]
    assert [site["name"] for site in report["sites"]] == ["own.0"]


# ---- refused -------------------------------------------------------------------------------------


def test_a_search_that_had_no_time_says_so(kit, timed):
    outcome = optimized(kit, kit.Tiny().eval(), settings=kit.quick(rounds=1, minutes=1e-6))
    assert not outcome.accepted
    assert outcome.reason.endswith(
        "got none that does before the time was up; give it more minutes, or loosen the budget"
    )


def test_where_time_is_up_before_anything_is_judged_there_is_an_answer(kit, timed, monkeypatch):
    def nothing(search):
        raise TimeUp
        yield

    monkeypatch.setattr(rounds, "free_moves", nothing)
    monkeypatch.setattr(free_moves, "WIDE", 16)
    monkeypatch.setattr(
        free_moves,
        "in_turns",
        lambda runs, *, rounds: {"before": Times((3.0,)), "after": Times((2.0,))},
    )
    outcome = optimized(kit, kit.planted(), settings=kit.quick(rounds=1, minutes=5, goal="latency"))
    assert outcome.accepted
    assert outcome.plan.linear == "bf16"
    assert not outcome.plan.moves
    assert outcome.report["cost_share"] == 0.6667
    assert outcome.report["quality"]["split"] == "test"


def test_what_keeps_no_budget_is_refused_and_only_reported(kit, timed, tmp_path):
    model = kit.Tiny().eval()
    original = copy.deepcopy(model)
    outcome = optimized(
        kit,
        model,
        quality=lambda model, split: -(model(split[0]) - original(split[0])).norm(dim=-1),
        lose="closeness 0.00000001",
        settings=kit.quick(rounds=1),
    )
    assert not outcome.accepted
    assert outcome.verdict is None
    assert outcome.reason == (
        "a change must lose at most closeness 0.00000001 on the dev split, got none that does; "
        "loosen the budget or fine-tune longer"
    )
    assert not outcome.plan.moves
    assert outcome.report["quality"] == {
        "metric": "closeness",
        "budget": -1e-8,
        **dict.fromkeys(("split", "before", "after", "bound")),
    }
    with pytest.raises(BudgetError, match="a change must lose at most closeness"):
        outcome.save(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.json"]
    assert json.loads((tmp_path / "out" / "report.json").read_bytes()) == outcome.report


def weighed(model, sites, work):
    """A second for each product of a token in a site, and some for the rest: on no clock."""
    geometries = {site.name: site.read(model).geometry for site in sites}
    return {name: float(of.looking + of.looked_at) for name, of in geometries.items()}, 100.0


@pytest.mark.parametrize("ratio", [Ratio(0.9, 0.8, 1.1), Ratio(1.2, 0.99, 1.4), Ratio(1, 1, 1)])
def test_what_is_not_faster_is_refused_before_the_test_split(kit, timed, monkeypatch, ratio):
    timed["ratio"] = ratio
    monkeypatch.setattr(latency_table, "site_seconds", weighed)
    model, data, asked = kit.planted(), kit.splits(), []
    quality = kit.agreement(copy.deepcopy(model))
    settings = kit.quick(rounds=1, goal="latency")

    def watched(model, split):
        asked.append(split is data.test)
        return quality(model, split)

    outcome = optimized(kit, model, data=data, quality=watched, settings=settings)
    assert not outcome.accepted
    assert outcome.plan.moves
    assert outcome.verdict is None
    assert outcome.reason.startswith(f"it must be faster, got {ratio}: attention takes ")
    assert "attention takes 0%" not in outcome.reason  # also where nothing else was timed
    assert outcome.report["quality"]["split"] == "dev"
    assert outcome.report["test_looks"] == 0
    assert not any(asked)


def test_what_does_worse_on_the_test_split_is_refused(kit, timed):
    model, data = kit.planted(), kit.splits()
    quality = kit.agreement(copy.deepcopy(model))

    def unlucky(model, split):
        found = quality(model, split)
        if split is data.test and parameters(model) < unlucky.parameters:
            found[:40] = 0
        return found

    unlucky.parameters = parameters(model)
    outcome = optimized(kit, model, data=data, quality=unlucky)
    assert not outcome.accepted
    assert outcome.verdict.difference < -0.3
    assert "it may be as bad as" in outcome.reason
    assert outcome.report["quality"]["after"] < 0.7


class Interrupt:
    """Presses Ctrl-C in a round."""

    def __init__(self, number):
        self.number, self.events = number, []

    def __call__(self, event):
        self.events.append(event)
        if isinstance(event, Stage) and event.text.startswith(f"round {self.number}: whole"):
            raise KeyboardInterrupt


def test_control_c_keeps_the_best_so_far(kit, timed):
    interrupt = Interrupt(2)
    outcome = optimized(kit, kit.planted(layers=2), on_event=interrupt)
    assert outcome.accepted
    assert len(outcome.report["rounds"]) == 1
    assert outcome.report["plan"] == outcome.report["rounds"][0]["plan"]
    notes = [event.text for event in interrupt.events if isinstance(event, Note)]
    assert notes == ["interrupted: going on with the best so far"]


def test_control_c_before_there_is_any_ends_it(kit, timed):
    with pytest.raises(KeyboardInterrupt):
        optimized(kit, kit.planted(), on_event=Interrupt(1))


def test_a_search_goes_on_where_it_was_killed(kit, timed, tmp_path):
    model = kit.planted(layers=2)
    undisturbed = optimized(kit, model)

    class Killed(Exception):
        pass

    def kill(event):
        if isinstance(event, Stage) and event.text.startswith("round 2"):
            raise Killed

    with pytest.raises(Killed):
        optimized(kit, model, on_event=kill, resume=tmp_path / "search")
    outcome = optimized(kit, model, resume=tmp_path / "search")
    assert outcome.plan == undisturbed.plan
    for name, tensor in outcome.model.state_dict().items():
        assert torch.equal(tensor, undisturbed.model.state_dict()[name])


def nudged(model):
    """The same modules with one other number."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.head.bias[0] += 1e-3
    return other


class Switched(nn.Module):
    """The same numbers, used in another way."""

    def __new__(cls, model):
        other = copy.deepcopy(model)
        other.embed.padding_idx = 0
        return other


OTHERS = {
    "model": lambda kit, model: {"model": nudged(model)},
    "modules": lambda kit, model: {"model": Switched(model)},
    "calibration": lambda kit, model: {"data": kit.splits(batches=4)},
    "test": lambda kit, model: {"data": replace(kit.splits(), test=[kit.rows(40, seed=9)])},
    "budget": lambda kit, model: {"lose": 0.2},
    "settings": lambda kit, model: {"settings": kit.quick(seed=1)},
    "training": lambda kit, model: {"spec": ModelSpec(outputs="values")},
    "quality": lambda kit, model: {"quality": lambda model, split: torch.arange(120.0)},
}
NAMED = {"model": "model", "modules": "model", "calibration": "data.calibration, data.test, "} | {
    **{"test": "data.test. ", "budget": "budget. ", "settings": "settings.seed. "},
    "training": "training.outputs. ",
}


@pytest.fixture(scope="module")
def begun(kit, tmp_path_factory):
    """A search that one round was done of, and its model."""
    folder = tmp_path_factory.mktemp("begun") / "search"
    model = kit.planted(layers=2)
    with pytest.raises(KeyboardInterrupt):
        search_killed_in_round_2(kit, model, folder)
    return folder, model


def search_killed_in_round_2(kit, model, folder):
    def kill(event):
        if isinstance(event, Stage) and event.text.startswith("round 2"):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimize_file, "_search", lambda search, _: list(search.run()))
        optimized(kit, model, on_event=kill, resume=folder)


@pytest.mark.parametrize("what", OTHERS)
def test_another_search_is_not_gone_on_with(kit, begun, what):
    folder, model = begun
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == {"journal.jsonl", "round-1.safetensors"}
    changes = {"model": model} | OTHERS[what](kit, model)
    named = NAMED.get(what)
    message = (
        "a search must go on with the same quality, got 59.5 for the original after 1"
        if named is None
        else f"journal must be of the same search, got a difference in {named}"
    )
    with pytest.raises(RunError, match=re.escape(message)):
        optimized(kit, **changes, resume=folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_machine_matters_to_what_is_measured_only(kit, begun, monkeypatch):
    monkeypatch.setattr(optimize_file, "machine_of", lambda _: {"threads": 99})
    monkeypatch.setattr(proof_file, "_timed", lambda *_: (Ratio(1, 1, 1), {}))
    folder, model = begun
    optimized(kit, model, resume=shutil.copytree(folder, folder.with_name("elsewhere")))


def test_weights_of_a_round_that_were_changed_since_are_named(kit, begun):
    folder, model = begun
    folder = shutil.copytree(folder, folder.with_name("changed"))
    weights = load_file(folder / "round-1.safetensors")
    weights["head.bias"][0] += 1
    save_file(weights, folder / "round-1.safetensors")
    with pytest.raises(
        RunError, match=r"round-1\.safetensors must be as it was written, got other"
    ):
        optimized(kit, model, resume=folder)


def test_who_is_stopped_hears_how_to_go_on(kit, tmp_path):
    events = []

    def kill(text):
        def listen(event):
            events.append(event)
            if isinstance(event, Stage) and event.text.startswith(text):
                raise KeyboardInterrupt

        return listen

    for text in ("measuring the original", "round 1: what each change breaks"):
        events.clear()
        with pytest.raises(KeyboardInterrupt):
            optimized(kit, kit.planted(), on_event=kill(text), resume=tmp_path / "search")
        assert events[-1] == Note(
            text="interrupted before the first round was done; the same call begins anew"
        )
        assert not (tmp_path / "search").exists()


def test_a_search_killed_in_its_first_round_says_that_it_begins_anew(kit, tmp_path):
    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, Stage) and event.text.startswith("measuring the original"):
            shutil.copytree(tmp_path / "search", tmp_path / "killed")  # nothing is tidied by a kill
            raise Killed

    with pytest.raises(Killed):
        optimized(kit, kit.planted(), on_event=kill, resume=tmp_path / "search")
    events = []

    def note(event):
        events.append(event)
        if isinstance(event, Stage) and event.text.startswith("measuring the original"):
            raise Killed

    with pytest.raises(Killed):
        optimized(kit, kit.planted(), on_event=note, resume=tmp_path / "killed")
    text = f"beginning the first round anew: none was done in {tmp_path / 'killed'}"
    assert Note(text=text) in events


def test_one_search_at_a_time(kit, begun, tmp_path):
    folder, model = begun
    with (
        hold(folder),
        pytest.raises(RunError, match=rf"must not be in use, got: held by process {os.getpid()}"),
    ):
        optimized(kit, model, resume=folder)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(RunError, match="the folder of a search must be a folder, got the link"):
        optimized(kit, model, resume=tmp_path / "link")


# ---- what cannot be begun ------------------------------------------------------------------------


def no_search(monkeypatch):
    monkeypatch.setattr(Search, "round", lambda *_: pytest.fail("the search began"))


def test_an_overlap_between_batches_is_found(kit):
    data = kit.splits()
    data = replace(data, test=[torch.cat([data.test[0], data.calibration[1][5:6]])])
    message = "got 1 example in both calibration and test, the first at calibration[21] and test"
    with pytest.raises(DataError, match=re.escape(message)):
        optimized(kit, kit.planted(), data=data)


def test_one_number_for_all_examples_is_refused(kit):
    message = "quality must return one number for each example of a split, got: .* number 0.5"
    with pytest.raises(ConfigError, match=message):
        optimized(kit, kit.planted(), quality=lambda model, split: 0.5)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_too_few_examples_are_refused_at_once(kit, monkeypatch, split, tmp_path):
    no_search(monkeypatch)
    data = kit.splits()
    data = replace(data, **{split: [getattr(data, split)[0][:29]]})
    message = f"the {split} split must hold at least 30 examples for a verdict, got 29"
    with pytest.raises(DataError, match=message):
        optimized(kit, kit.planted(), data=data, resume=tmp_path / "search")
    assert not list(tmp_path.iterdir())


def test_a_budget_in_the_wrong_direction_is_refused_at_once(kit, monkeypatch):
    no_search(monkeypatch)
    budget = Budget(metric="quality", margin=0.1)
    request = Request(problem=kit.problem(), budget=budget, settings=kit.quick())
    message = "the budget must know that higher quality is better, got quality +0.1"
    with pytest.raises(ConfigError, match=re.escape(message)):
        optimize_file.optimize_problem(request)


@pytest.mark.parametrize(
    "module, reason",
    [
        (None, "none among 1 Tiny, 1 Embedding, 1 ModuleList, 1 Linear"),
        (Attention(width=16, heads=4, positions=AlibiPositions(4)), "strange: its scores fall"),
    ],
)
def test_a_model_without_attention_that_can_be_changed_is_refused(kit, module, reason):
    model = kit.Tiny(layers=0)
    if module is not None:
        model.strange = module
    message = f"a model must hold attention that can be changed, got: {reason}"
    with pytest.raises(UnsupportedError, match=message):
        optimized(kit, model)


@pytest.mark.parametrize("examples", [60, 120])
def test_too_few_examples_for_so_small_a_loss_are_said_before_the_work(kit, timed, examples):
    events, model = [], kit.planted()
    data = kit.splits(examples)
    quality = kit.agreement(copy.deepcopy(model))

    def varied(model, split):  # from 0 to 1 from the start, as right and wrong answers are
        found = quality(model, split)
        found[0] = 0
        return found

    settings = kit.quick(rounds=1, trials=1, finetune_steps=0, finals=0)
    lose = "agreement 0.03"
    optimized(
        kit, model, data=data, lose=lose, quality=varied, settings=settings, on_event=events.append
    )
    notes = [event.text for event in events if isinstance(event, Note)]
    said = (
        "60 examples of the test split cannot show that at most agreement 0.03 is lost unless "
        "many change a little and none a lot; about 106 can"
    )
    assert notes == ([said] if examples == 60 else [])
    before_the_first_round = [isinstance(event, RoundDone) for event in events].index(True)
    assert all(events.index(Note(text=note)) < before_the_first_round for note in notes)


def test_no_loss_at_all_can_be_asked_for():
    assert as_budget("quality 0").higher_is_better


def test_the_final_timing_takes_turns(kit):
    calls = []
    model = kit.planted(seed=1)
    problem = replace(kit.problem(), use=calls.append)
    ratio, latency = proof_file._timed(problem, model, 5)
    first, second = [problem.model, model], [model, problem.model]
    rounds = [(first, second)[number % 2] for number in range(5)]
    assert calls == [each for pair in (first, *rounds) for each in pair]
    assert set(latency) == {"before", "after"}
    assert ratio.low <= ratio.median <= ratio.high
