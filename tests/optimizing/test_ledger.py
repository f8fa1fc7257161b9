"""Every look at a test split is counted, also behind a line that a kill cut off."""

import copy

import pytest

from heedful.optimizing import ledger
from heedful.optimizing.ledger import Looks, add_look, count_looks, counted
from heedful.training.splits import LEDGER


@pytest.mark.parametrize("torn", ["", '{"test": "a"', '{"test": "a", "budget": "x"}'])
def test_a_line_that_was_cut_off_costs_no_look_after_it(tmp_path, torn):
    add_look(tmp_path, "a", "loss <= 1%", "model")
    with (tmp_path / LEDGER).open("a", encoding="utf-8") as file:
        file.write(torn)
    before = count_looks(tmp_path, "a")
    add_look(tmp_path, "b", "loss <= 1%", "model")
    assert add_look(tmp_path, "a", "loss <= 1%", "another") == before + 1
    assert (count_looks(tmp_path, "a"), count_looks(tmp_path, "b")) == (before + 1, 1)


def test_the_same_question_is_the_same_look(tmp_path):
    asked = [("loss <= 1%", "x"), ("loss <= 1%", "y"), ("loss <= 2%", "x"), ("loss <= 1%", "y")]
    assert [add_look(tmp_path, "a", budget, model) for budget, model in asked] == [1, 2, 3, 2]
    assert count_looks(tmp_path, "a") == 3


def test_two_that_look_at_the_same_time_have_different_numbers(tmp_path, monkeypatch):
    read, other = ledger._looks, iter(["another"])

    def overtaken(folder, test):
        found = read(folder, test)
        for model in other:  # between its look into the file and its line
            add_look(folder, test, "loss <= 1%", model)
        return found

    monkeypatch.setattr(ledger, "_looks", overtaken)
    assert add_look(tmp_path, "a", "loss <= 1%", "model") == 2
    assert count_looks(tmp_path, "a") == 2


def test_looks_of_older_versions_are_of_unknown_models_and_each_counts(tmp_path):
    line = '{"test": "a", "budget": "loss <= 1%"}\n'
    (tmp_path / LEDGER).write_text(2 * line, encoding="utf-8")
    assert add_look(tmp_path, "a", "loss <= 1%", "x") == 3


def test_a_ledger_that_cannot_be_written_is_said(kit, tmp_path):
    (tmp_path / LEDGER).mkdir()
    events, model = [], kit.planted()
    problem = counted(kit.problem(), tmp_path, "abc", "loss 1", events.append)
    assert (problem.looked, problem.count_look(model)) == (0, 1)
    assert events[0].text.startswith("looks at the test split are not counted: ")
    (tmp_path / LEDGER).rmdir()
    (tmp_path / LEDGER).write_text('[1]\nnot json\n{"test": "abd"}\n{"test": "abc"}\n')
    problem = counted(kit.problem(), tmp_path, "abc", "loss 1", events.append)
    assert (problem.looked, problem.count_look(model), problem.count_look(model)) == (1, 2, 2)


def test_looks_are_counted_by_what_is_looked_at(kit):
    looks, one, other = Looks(2), kit.planted(seed=1), kit.planted(seed=2)
    assert [looks(one), looks(other), looks(one), looks(copy.deepcopy(other))] == [3, 4, 3, 4]
