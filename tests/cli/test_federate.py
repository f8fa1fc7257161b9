"""`heedful federate`: what it passes on, prints, and refuses in one line."""

import json
from types import SimpleNamespace

import pytest

from heedful.federated import federate as module
from heedful.federated import loopback


class FakeRun(SimpleNamespace):
    """Has a folder, and a test split."""

    def examples(self, split):
        return ["one"]


@pytest.fixture
def federated(monkeypatch, library):
    """What the library was asked for."""
    asked = []

    def pretend(run, federation, *, output, on_round):
        on_round(1, federation.rounds)
        asked.append(federation)
        return FakeRun(folder=output)

    def pretend_alone(run, federation, *, client, output):
        return FakeRun(folder=output)

    monkeypatch.setattr(module, "federate", pretend)
    monkeypatch.setattr(module, "train_alone", pretend_alone)
    monkeypatch.setattr("heedful.cli._runs.open_run", lambda run, task: FakeRun(folder=run))
    return asked


def test_scores_stand_side_by_side(heedful, federated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--rounds", "3", "--proximal", "0.1", "--alone")
    code, out, _ = heedful("federate", "r", "-o", "new", *words)
    assert code == 0
    rows = [line.split() for line in out.splitlines() if "41.2" in line]
    assert [" ".join(row[:-4]) for row in rows] == [
        "centralised r",
        "federated new",
        "client 0 alone new-client-0",
        "client 1 alone new-client-1",
    ]
    (asked,) = federated
    assert (asked.clients, asked.rounds, asked.steps, asked.proximal) == (2, 3, 50, 0.1)


def test_the_same_as_json(heedful, federated, tmp_path):
    code, out, _ = heedful("federate", "r", "-o", tmp_path / "new", "--skew", "0.5", "--json")
    assert code == 0
    found = json.loads(out)
    assert found.keys() == {"split", "centralised", "federated"}
    assert found["federated"]["run"] == str(tmp_path / "new")
    assert found["federated"]["exact_match"] == 41.25
    assert federated[0].skew == 0.5


def test_own_configs_are_clients(heedful, federated, tmp_path):
    configs = [word for name in "abc" for word in ("--client", tmp_path / f"{name}.toml")]
    assert heedful("federate", "r", "-o", tmp_path / "new", *configs)[0] == 0
    assert (federated[0].clients, len(federated[0].configs)) == (3, 3)


@pytest.mark.parametrize("words", [("--clients", "1"), ("--skew", "0"), ("--proximal", "nan")])
def test_numbers_out_of_range_are_one_line(heedful, federated, tmp_path, words):
    code, out, err = heedful("federate", "r", "-o", tmp_path / "new", *words)
    assert (code, out, federated) == (2, "", [])
    assert err.strip()


def test_without_flower_one_line_says_how_to_get_it(heedful, library, tmp_path, monkeypatch):
    monkeypatch.setattr(loopback, "find_spec", lambda name: None)
    monkeypatch.setattr("heedful.cli._runs.open_run", lambda run, task: FakeRun(folder=tmp_path))
    code, _, err = heedful("federate", "r", "-o", tmp_path / "new")
    assert code == 2
    assert err.splitlines()[-1].endswith("pip install 'heedful[federated]'")
    assert not (tmp_path / "new").exists()
