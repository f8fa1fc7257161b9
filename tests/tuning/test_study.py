"""Optuna behind one door: what it proposes lies in the space, and nothing told is lost."""

import builtins
import json
import logging
import os
import re

import optuna
import pytest

from heedful.errors import MissingExtraError, RunError
from heedful.sharing.storage import check_optuna, mend
from heedful.tasks.translation.config import Config
from heedful.tasks.translation.task import Translation
from heedful.tuning import study as module
from heedful.tuning.space import Choice, Range, Space, applied, combinations, default_space
from heedful.tuning.study import JOURNAL, Study
from heedful.tuning.trial import Trial

CONFIG = Config()
AROUND = default_space(CONFIG)
VALID = combinations(AROUND, CONFIG, Translation)
ENDS = [("complete", None), ("complete", None), ("pruned", "slow"), ("pruned", "cost")]
ENDS += [("fail", "NaN")]
HUGE = module.VIOLATION
FEW = Space(choices=(Choice(key="model.heads", values=(1, 2, 4)),))


def anything(params):
    return None


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Optuna forces each line to the disk; here nobody pulls the plug."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def make(tmp_path):
    made = []

    def make(space=AROUND, *, seed=1, trials=30):
        valid = combinations(space, CONFIG, Translation)
        made.append(Study(tmp_path, space=space, valid=valid, seed=seed, trials=trials))
        return made[-1]

    yield make
    for study in made:
        study.close()


def end(
    study, number, params, *, state="complete", reason=None, quality=60.0, cost=1.0, missed_by=0.0
):
    about = {"quality": quality, "cost": cost, "reason": reason}
    trial = Trial(number=number, params=params, state=state, **about)
    study.tell(trial, missed_by)
    return trial


def constraints(study):
    """Of the last trial: before Optuna 5.0 one list, from then on a number a name."""
    attributes = study._study.get_trials()[-1].system_attrs
    found = [value for key, value in attributes.items() if key.startswith("constraints")]
    return list(found[0]) if found and not isinstance(found[0], float) else found


def in_space(params):
    choices = {choice.key: params[choice.key] for choice in AROUND.choices}
    (ends,) = AROUND.ranges
    return choices in VALID and ends.low <= params[ends.key] <= ends.high


def test_every_proposal_makes_a_model(make):
    study = make()
    seen = []
    for number in range(1, 31):
        params = study.ask(number, anything)
        assert in_space(params)
        seen.append(params)
        end(study, number, params, cost=float(number % 7))
    assert len({json.dumps(params) for params in seen}) > 20


def test_the_same_seed_proposes_the_same_and_another_one_does_not(tmp_path):
    proposed = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        study = Study(tmp_path / name, space=AROUND, valid=VALID, seed=seed, trials=9)
        proposed.append([study.ask(number, anything) for number in range(1, 4)])
        study.close()
    assert proposed[0] == proposed[1] != proposed[2]


def test_begins_with_what_it_is_told(make):
    study = make()
    params = VALID[len(VALID) // 2] | {"train.learning_rate": 0.004}
    assert study.enqueue(1, params) == params
    partly = study.enqueue(2, VALID[3])
    assert {key: partly[key] for key in VALID[3]} == VALID[3]
    assert in_space(partly)


def test_what_is_told_comes_back_and_what_ran_is_tried_again(make, tmp_path):
    study = make()
    told = []
    for number, (state, reason) in enumerate(ENDS, 1):
        params = study.ask(number, anything)
        study.report(number, 0.1, 2.0)
        study.report(number, 0.1004, 1.0)  # within the same thousandth
        whole = state == "complete"
        values = {"quality": 60.0, "cost": 2.0} if whole else {"quality": None, "cost": None}
        told.append(end(study, number, params, state=state, reason=reason, **values))
    cut_short = study.ask(6, anything)
    assert study.finished() == told
    again = make()  # as after a kill: the first one was not closed
    assert again.finished() == told
    states = [trial.state.name for trial in again._study.get_trials()]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED", "PRUNED", "FAIL", "WAITING"]
    assert again.to_try_again()
    assert again.ask(6, anything) == cut_short
    assert not again.to_try_again()


def test_closing_leaves_what_runs_to_be_tried_again(make):
    study = make()
    study.ask(1, anything)
    study.close()
    states = [trial.state.name for trial in study._study.get_trials()]
    assert states == ["FAIL", "WAITING"]


def test_a_search_that_goes_on_draws_anew(make):
    first = make()
    before = first.ask(1, anything)
    end(first, 1, before)
    first.close()
    assert make().ask(2, anything) != before


def test_quality_is_a_constraint(make):
    study = make()
    cases = [("complete", -3.0, [-3.0]), ("complete", 4.0, [4.0]), ("pruned", 0.0, [HUGE])]
    for number, (state, missed_by, want) in enumerate(cases, 1):
        params = study.ask(number, anything)
        end(study, number, params, state=state, reason="slow", missed_by=missed_by)
        assert constraints(study) == want
    end(study, 4, study.ask(4, anything), state="pruned", reason="cost")
    assert constraints(study) in ([], [0.0])  # nobody knows; Optuna before 5.0 wants a number
    assert study._study.best_trial.number == 0


def test_finds_cheap_ones_that_keep_a_planted_quality(make):
    """Width and rotation give quality: the sampler must learn so, and that less costs less."""
    study = make(seed=2, trials=60)

    def judged(params):
        model = applied(CONFIG, params).model
        quality = model.width + (20 if "rotary" in model.positions else 0)
        return quality, float(model.width * (model.heads + 8))

    kept = []
    for number in range(1, 61):
        params = study.ask(number, anything)
        quality, cost = judged(params)
        kept += [cost] if quality >= 80 else []
        end(study, number, params, cost=cost, missed_by=80 - quality)
    late = [judged(one.params) for one in study.finished()[30:]]
    assert sum(quality >= 80 for quality, _ in late) > 10
    random_share = sum(judged(params)[0] >= 80 for params in VALID) / len(VALID)
    assert sum(quality >= 80 for quality, _ in late) / 30 > random_share
    costs = sorted(judged(params)[1] for params in VALID if judged(params)[0] >= 80)
    assert min(kept) <= costs[len(costs) // 20]


def test_what_is_refused_is_never_proposed_and_the_rest_is_found(make):
    study = make(FEW)
    tried = []
    for number in (1, 2, 3):
        params = study.ask(number, lambda one: "tried" if one in tried else None)
        tried.append(params)
        end(study, number, params)
    assert sorted(one["model.heads"] for one in tried) == [1, 2, 4]
    assert study.ask(4, lambda one: "tried") is None
    assert [one.number for one in study.finished()] == [1, 2, 3]


def test_a_needle_is_found_although_the_sampler_does_not_draw_it(make):
    study = make()
    needle = VALID[7]

    def refuse(params):
        found = {key: params[key] for key in needle} == needle
        return None if found else "cost"

    params = study.ask(1, refuse)
    assert refuse(params) is None
    assert in_space(params)


def test_a_space_of_one_value_has_no_parameters(make):
    space = Space(
        choices=(Choice(key="model.heads", values=(2,)),),
        ranges=(Range(key="train.weight_decay", low=0.0, high=0.1),),
    )
    params = make(space).ask(1, anything)
    assert params["model.heads"] == 2
    assert 0 <= params["train.weight_decay"] <= 0.1


def test_the_journal_is_json_and_a_line_cut_off_is_dropped(make, tmp_path):
    study = make(FEW)
    end(study, 1, study.ask(1, anything))
    study.close()
    path = tmp_path / JOURNAL
    lines = path.read_bytes().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in lines)
    path.write_bytes(path.read_bytes() + b'{"op_code": 4, "wor')
    path.with_name(f"{JOURNAL}.lock").symlink_to(path)
    again = make(FEW)
    assert not path.with_name(f"{JOURNAL}.lock").is_symlink()
    end(again, 2, again.ask(2, anything))
    assert [one.number for one in make(FEW).finished()] == [1, 2]


@pytest.mark.parametrize("content, mended", [("", ""), ("a", "a"), ("ab", "a"), ("b", "")])
def test_mending_keeps_whole_lines(tmp_path, content, mended):
    parts = {"a": b'{"op_code": 1}\n', "b": b'{"op_c'}
    content, mended = (b"".join(parts[x] for x in text) for text in (content, mended))
    path = tmp_path / "journal"
    mend(path)
    assert not path.exists()
    path.write_bytes(content)
    mend(path)
    assert path.read_bytes() == mended


@pytest.mark.parametrize("damage", ["no json", "[1]", "{}", "", '{"op_code": "1"}', "[" * 100_000])
def test_a_damaged_journal_is_an_error(make, tmp_path, damage):
    make(FEW).close()
    path = tmp_path / JOURNAL
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], damage.encode(), *lines[1:]]))
    message = f"{path} must be whole, got a damaged line 2"
    with pytest.raises(RunError, match=re.escape(message)):
        make(FEW)


@pytest.mark.parametrize(
    "wrong", ['"heedful":3', '"heedful":{"curve":3}', '"heedful":{"curve":[]}']
)
def test_a_damaged_record_is_an_error(make, tmp_path, wrong):
    study = make(FEW)
    end(study, 1, study.ask(1, anything))
    study.close()
    path = tmp_path / JOURNAL
    damaged = re.sub(
        rb'"heedful":\{.*?\}(?=\}\}$|\}\}\n)', wrong.encode(), path.read_bytes(), flags=re.M
    )
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    with pytest.raises(RunError, match="must be whole, got a damaged line: "):
        make(FEW)


def test_optuna_is_silent_and_has_its_log_back(make, capfd):
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.INFO)
    try:
        study = make(FEW)
        end(study, 1, study.ask(1, anything))
        study.close()
        assert optuna.logging.get_verbosity() == logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
    assert capfd.readouterr() == ("", "")


def test_without_optuna_it_says_what_to_install(monkeypatch, tmp_path):
    check_optuna("tuning")
    honest = builtins.__import__

    def without(name, *rest, **more):
        if name == "optuna":
            raise ImportError(name)
        return honest(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    message = re.escape("got none. Install it: pip install 'heedful[tune]'")
    with pytest.raises(MissingExtraError, match=message):
        Study(tmp_path, space=FEW, valid=[], seed=1, trials=1)
