import json
import re
from types import SimpleNamespace

import pytest
import typer

from heedful import cli
from heedful.cli import _runs
from heedful.cli.profile import profile as verb
from heedful.cli.profile import show_profile
from heedful.errors import UnsupportedError
from heedful.profiling import profile as profiling

LOOK = {"effective_keys": 3.25, "entropy": 1.0, "own": 0.5, "near": 0.25, "first": 0.125}
SPECTRUM = {"energy": [1.0], "rank_90": 3, "rank_99": 7}


def head(fisher, **changes):
    return {
        "fisher": fisher,
        "gate_gradient": 0.5,
        "leave_one_out": None,
        "look": LOOK | {"far": 0.125, "blocks": [1.0], "sink": None},
        "query_key": SPECTRUM,
        "value_out": SPECTRUM | {"rank_99": 5},
    } | changes


def site(name, heads, share):
    return {
        "name": name,
        "geometry": "4 on 2 x 16",
        "share": share,
        "milliseconds": {"projections": 1.25, "mixing": 2.5, "scores": None},
        "multiply_adds": {"projections": 4e6, "scores": 1.5e6, "aggregation": 2.5e6},
        "parameters": 12345,
        "kv_bytes_per_key": 128,
        "kv_bytes": 67890,
        "importance": {"heads": 2, "fisher": 1.0, "gate_gradient": 0.5},
        "heads": heads,
    }


def report():
    silent = head(4.0, look=None, query_key=None)
    return {
        "whole": {
            "milliseconds": 1234.5,
            "separated_milliseconds": 2345.6,
            "rest_milliseconds": 98.7,
            "attention_share": 0.58,
            "longest": 77,
            "parameters": 7654321,
            "peak_bytes": 3 * 2**20,
            "speedup_bound": 2.381,
        },
        "sites": [
            site("decoder.[0].字", [head(1.0), head(3.0)], 0.42),
            site("silent", [silent, head(2.0, look=None, query_key=None)], 0.16),
        ],
        "not_adaptable": {"other": "it has [slopes]"},
        "findings": [
            {"name": "padding", "text": "31% is [padding]", "remedy": "sort", "gain": 1.25}
        ],
        "importance": {"heads": 4, "fisher": 0.875, "gate_gradient": -0.25},
        "key_block": 16,
        "summary": "attention takes 58% of the work: no plan can win more than 2.38x",
    }


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The verb is there, whoever lists it."""
    if "profile" not in cli.VERBS:
        info = typer.models.CommandInfo(name="profile", callback=verb)
        commands = [*cli.app.registered_commands, info]
        monkeypatch.setattr(cli.app, "registered_commands", commands)


@pytest.fixture
def asked(monkeypatch):
    """What the library was asked; it says what `report` says."""
    calls = SimpleNamespace(run=[], model=[], report=report(), error=None)

    def answer(kind, on_progress, **what):
        if calls.error is not None:
            raise calls.error
        on_progress("timing sites")
        getattr(calls, kind).append(what)
        return SimpleNamespace(to_json=lambda: calls.report)

    def open_run(folder, task):
        calls.task_from = task
        return str(folder)

    monkeypatch.setattr(_runs, "open_run", open_run)
    monkeypatch.setattr(
        profiling, "profile_run", lambda run, **settings: answer("run", run=run, **settings)
    )
    monkeypatch.setattr(
        profiling,
        "profile",
        lambda model, batches, **settings: answer("model", of=(model, batches), **settings),
    )
    return calls


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module in the current folder; every test has one of its own name."""
    name = f"profiled_{re.sub(r'[^a-z0-9]', '_', tmp_path.name.lower())}"
    functions = "def make():\n    return 'the model', ['a batch']\n\n\ndef wrong():\n    return 7\n"
    functions += "\n\ndef three():\n    return 1, 2, 3\n"
    functions += (
        "\n\ndef raises():\n    raise KeyError('mine')\n\n\ndef needs(it):\n    return it\n"
    )
    (tmp_path / f"{name}.py").write_text(f"{functions}\n\nx = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_json_is_the_profile_and_nothing_else(heedful, asked):
    words = ("--leave-out", "7", "--key-block", "32", "--seed", "5", "--json")
    code, out, err = heedful("profile", "runs/x", *words)
    assert code == 0
    assert json.loads(out) == {"target": "runs/x", **asked.report}
    assert "字" in out
    assert err == "profiling runs/x\n"
    assert asked.run == [{"run": "runs/x", "leave_out": 7, "key_block": 32, "seed": 5}]


def test_people_get_tables(heedful, asked):
    code, out, _ = heedful("profile", "runs/x")
    assert code == 0
    assert asked.run == [{"run": "runs/x", "leave_out": 64, "key_block": None, "seed": 0}]
    rows = [" ".join(line.split()) for line in out.splitlines()]
    for row in (
        "decoder.[0].字 4 on 2 x 16 42% 3.75 1.25 2.50",
        "decoder.[0].字 4.00 1.50 2.50 12,345 67,890",
        "all else 42% 98.70",
        "other: not adaptable, it has [slopes]",
        "decoder.[0].字 ▁▅ 3.2 50% 25% 12% 12% 7 5",
        "silent █▃ 5",
        "work: 1,234.5 ms, 2,345.6 ms with attention in the form that can be changed; "
        "7,654,321 parameters, 3.0 MiB at most",
        "order of 4 heads left out one by one: correlation with Fisher +0.88, "
        "with the gate gradient -0.25",
        "free: 31% is [padding].",
        "sort",
        "attention takes 58% of the work: no plan can win more than 2.38x.",
    ):
        assert row in rows
    assert "block of 16 keys" in out


@pytest.mark.parametrize("columns", ["80", "100"])
def test_numbers_and_names_are_whole_on_a_narrow_terminal(asked, monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("TERM", "dumb")
    long = "model.decoder.layers.11.encoder_attention"
    asked.report["sites"] = [site(long, [head(1.0)] * 32, 0.42)]
    show_profile(asked.report)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert not any("…" in line for line in lines)
    first = "".join(line.split(" ")[1] for line in lines if line.startswith(" "))
    assert first.count(long) == 3
    assert all(any(number in line for line in lines) for number in ("12,345", "67,890", "3.75"))


def test_a_file_is_as_wide_as_it_must_be(asked, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    long = "model.decoder.layers.11.encoder_attention"
    asked.report["sites"] = [site(long, [head(1.0)] * 32, 0.42)]
    show_profile(asked.report)
    assert capsys.readouterr().out.count(long) == 3


def test_what_is_not_known_is_left_out(heedful, asked):
    asked.report["importance"] = {"heads": 0, "fisher": None, "gate_gradient": None}
    asked.report["whole"]["peak_bytes"] = None
    asked.report["sites"] = []
    asked.report["key_block"] = 1
    out = heedful("profile", "runs/x")[1]
    assert "correlation" not in out
    assert "block of 1 key" in " ".join(out.split())
    assert "1 keys" not in out
    assert "7,654,321 parameters\n" in out


def test_a_file_holds_the_same(heedful, asked, tmp_path):
    code, out, _ = heedful("profile", "runs/x", "-o", "profile.json")
    assert code == 0
    assert "all else" in out
    written = json.loads((tmp_path / "profile.json").read_text(encoding="utf-8"))
    assert written == {"target": "runs/x", **asked.report}


def test_a_function_gives_any_model(heedful, asked, mine):
    code, out, _ = heedful("profile", f"{mine}:make", "--leave-out", "0", "--json")
    assert code == 0
    settings = {"leave_out": 0, "key_block": None, "seed": 0}
    assert asked.model == [{"of": ("the model", ["a batch"]), **settings}]
    assert asked.run == []
    assert json.loads(out)["target"] == f"{mine}:make"


def test_a_folder_may_have_a_colon_and_a_task_of_the_users(heedful, asked, tmp_path):
    (tmp_path / "a:b").mkdir()
    (tmp_path / "a:b" / "run.json").touch()
    assert heedful("profile", "a:b", "--json", "--task-from", "mine:Task")[0] == 0
    assert (asked.run[0]["run"], asked.task_from) == ("a:b", "mine:Task")


@pytest.mark.parametrize(
    "words, message",
    [
        (("{mine}:wrong",), "{mine}:wrong must return (model, batches), got int"),
        (("{mine}:three",), "{mine}:three must return (model, batches), got tuple"),
        (("{mine}:x",), "{mine}:x must be a function, got int"),
        (("{mine}:raises",), "{mine}:raises must run without arguments, got KeyError: 'mine'"),
        (("{mine}:needs",), "{mine}:needs must run without arguments, got TypeError: needs()"),
        (("{mine}:none",), "{mine}:none must exist, got no 'none' in {mine}"),
        (("no_such_module_at_all:f",), "no_such_module_at_all must be importable, got"),
        (("runs/x", "-o", "no/p.json"), "--output must be in a folder that exists, got no/p.json"),
        (("runs/x", "--leave-out", "-1"), "greater than or equal to 0"),
        (("runs/x", "--key-block", "0"), "greater than or equal to 1"),
    ],
)
def test_usage(heedful, asked, mine, words, message, monkeypatch):
    monkeypatch.setenv("TYPER_USE_RICH", "0")
    code, out, err = heedful("profile", *(word.format(mine=mine) for word in words))
    assert (code, out, asked.run, asked.model) == (2, "", [], [])
    assert message.format(mine=mine) in err


def test_what_the_library_refuses_is_said(heedful, asked):
    asked.error = UnsupportedError("the model of a run must be a Transformer, got RnnSeq2Seq")
    code, out, err = heedful("profile", "runs/x")
    assert (code, out) == (2, "")
    assert err.endswith("heedful: the model of a run must be a Transformer, got RnnSeq2Seq\n")


def test_a_run_that_is_none_is_refused(heedful):
    code, _, err = heedful("profile", "nowhere")
    assert code == 2
    assert "run must be a folder written by heedful train, got nowhere" in err


def test_a_real_model_comes_through(heedful, mine, tmp_path):
    (tmp_path / f"{mine}.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "from heedful.nn import Attention\n\n\n"
        "def make():\n"
        "    model = nn.Sequential(Attention(width=8, heads=2), nn.Linear(8, 3))\n"
        "    return model, [torch.ones(2, 5, 8)]\n"
    )
    code, out, _ = heedful("profile", f"{mine}:make", "-o", "p.json")
    assert code == 0
    assert "no plan can win more than" in out
    (only,) = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))["sites"]
    assert only["multiply_adds"]["projections"] == 2 * 5 * 4 * 8 * 8
    assert "2 x 4" in out


def sunk(**changes):
    sink = {"kind": "no-op", "key": 0, "mass": 0.5, "value_norm": 0.031, "output_rank": 1.75}
    look = LOOK | {"far": 0.125, "blocks": [1.0], "sink": sink | changes}
    return head(1.0, look=look)


def test_sinks_are_listed_by_their_mass(capsys):
    found = report()
    other = sunk(kind="broadcast", key=17, mass=0.875, output_rank=None)
    found["sites"] = [site("own", [head(1.0), sunk(), other], 0.5)]
    show_profile(found)
    lines = capsys.readouterr().out.splitlines()
    (start,) = (i for i, line in enumerate(lines) if "whatever asks" in line)
    assert lines[start].strip() == "keys that a head looks at whatever asks"
    assert max(map(len, lines)) <= 100
    rows = [line.split() for line in lines[start:] if line.strip().startswith("own")]
    assert rows == [
        ["own", "2", "17", "88%", "0.03", "broadcast"],
        ["own", "1", "0", "50%", "0.03", "1.75", "no-op"],
    ]


def test_of_many_sinks_the_first_are_listed(capsys):
    found = report()
    found["sites"] = [site("own", [sunk() for _ in range(40)], 0.5)]
    show_profile(found)
    assert "whatever asks, 12 of 40" in capsys.readouterr().out
