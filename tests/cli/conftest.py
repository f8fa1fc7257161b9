"""Run command lines in this process, with a library that does nothing but remember."""

import io
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from heedful.cli import main
from heedful.data.alignment import Alignment
from heedful.errors import BudgetError
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import Note, RoundDone, Stage
from heedful.optimizing.outcome import SUMMARY
from heedful.training.events import Finished, Started
from heedful.training.run import WRITTEN

REPORT = {
    "run": "runs/x",
    "split": "test",
    "examples": 1234,
    "exact_match": 41.25,
    "exact_match_interval": (39.0, 43.5),
    "chrf": 52.0,
    "chrf_interval": (50.5, 53.5),
    "bleu": 61.0,
    "bleu_interval": (60.0, 62.5),
    "token_accuracy": 88.0,
    "token_accuracy_interval": (87.0, 89.0),
    "by_kind": {"日期": {"examples": 17, "exact_match": 33.0, "chrf": 44.0}},
    "tokens_per_second": 9876.0,
    "seconds": 6.5,
    "peak_memory_mib": 321.0,
}

OPTIMIZED = {
    "accepted": True,
    "reason": "chrf went from 61 to 60.9; 2.00x (1.9 to 2.1) faster",
    "quality": {
        **{"metric": "chrf", "before": 61.0, "after": 60.9, "bound": -0.3, "budget": -0.5},
        **{"examples": 90, "split": "test"},
    },
    "speedup": 2.0,
    "latency_ms": {"before": 1200.0, "after": 600.0},
    "attention_operations": {"before": 9000, "after": 3000},
    "parameters": {"before": 5000, "after": 4000},
    "seconds": 6.5,
    "plan": "# 字",
    "goal": "latency",
    "sites": [{"name": "encoder.0 [a]", "cost_share": 0.62, "before": "4 x 8", "after": "1 x 8"}],
    "not_adaptable": {"decoder.9": "[/b] slopes"},
}


def module(monkeypatch, name, **members):
    fake = ModuleType(name)
    vars(fake).update(members)
    monkeypatch.setitem(sys.modules, name, fake)


class Words:
    """Knows every word but those with a question mark."""

    def pieces(self, text):
        return ["<s>", *text.split(), "</s>"]

    def encode(self, texts):
        return [[3 if "?" in piece else 7 for piece in self.pieces(text)] for text in texts]


class Translator:
    """Writes `译:TEXT`, and remembers what it was asked; words are its tokens."""

    longest = 6
    decode = SimpleNamespace(max_length=9)
    vocabularies = SimpleNamespace(source=Words())

    def __init__(self):
        self.calls = []

    def translate(self, texts, *, beam=None):
        return [outcome.text for outcome in self.outcomes(texts, beam=beam)]

    def outcomes(self, texts, *, beam=None):
        assert all(text.strip() for text in texts)  # as the real one demands
        self.calls.append((list(texts), beam))
        counts = [len(text.split()) for text in texts]
        return [
            SimpleNamespace(
                text=f"译:{text}",
                tokens=n,
                unknown=sum("?" in word for word in text.split()),
                too_long=n > 6,
                cut=n >= 9,
            )
            for text, n in zip(texts, counts, strict=True)
        ]

    def align(self, text, translation=None):
        return Alignment(source=(text,), target=(translation,), weights=((1.0,),), title=text)


def install(monkeypatch):
    """Put fakes in place; returns what they record."""
    translator = Translator()
    calls = SimpleNamespace(train=[], evaluate=[], load=[], translator=translator, interrupt=False)
    calls.report, calls.examples = dict(REPORT), 5_000
    optimizing(calls)

    def run_in(folder):
        return SimpleNamespace(
            folder=folder, translator=translator, examples=lambda split: [None] * calls.examples
        )

    def train(config=None, *, resume=None, overrides=(), on_event=None):
        calls.train.append((config, resume, *overrides))
        folder = resume or config.output or "runs/free"
        started = {"parameters": 7, "precision": "fp32", "examples": {"train": 5}, "skipped": 3}
        on_event(Started(run=folder, **started))
        if calls.interrupt:
            raise KeyboardInterrupt
        on_event(Finished(run=folder, step=11, seconds=65.0, reason="limit reached"))
        return run_in(folder)

    def evaluate(run, *, split="test", beam=None):
        calls.evaluate.append((run.folder, split, beam))
        return SimpleNamespace(to_json=lambda: calls.report | {"split": split})

    def load(folder):
        calls.load.append(folder)
        return run_in(folder)

    output_of = lambda run, output: output or Path(f"{run}-optimised")  # noqa: E731
    verbs = {"optimize_run": calls.optimize_run, "apply_plan": calls.apply_plan}
    module(monkeypatch, "heedful.optimizing.run_folder", output_of=output_of, **verbs)
    module(monkeypatch, "heedful.training.start", train=train)
    module(monkeypatch, "heedful.training.run", Run=load, WRITTEN=WRITTEN)
    module(monkeypatch, "heedful.evaluation", evaluate=evaluate)
    return calls


def optimizing(calls):
    """Fakes of `optimize_run` and `apply_plan`, and what they tell and record."""
    calls.optimize, calls.apply, calls.refused = [], [], None
    calls.optimized = dict(OPTIMIZED)
    assert set(SUMMARY) <= OPTIMIZED.keys()

    def candidate(share, difference):
        verdict = SimpleNamespace(metric="chrf", difference=difference)
        slack = difference + 0.5
        return Candidate(
            plan=None, model=None, share=share, divergence=0.0, verdict=verdict, slack=slack
        )

    calls.events = [
        Stage(text="measuring the original"),
        RoundDone(number=1, candidate=candidate(0.61, -0.25)),
        Note(text="a note [/b]"),
        RoundDone(number=2, candidate=candidate(0.4, -2.0)),
        Stage(text="fine-tuning [x]", done=0.5),
    ]

    def optimize_run(run, *, lose, output, test, settings, on_event):
        asked = {"run": run, "lose": lose, "output": output, "test": test, "settings": settings}
        calls.optimize.append(asked)
        for event in calls.events:
            on_event(event)
        if calls.refused is None:
            return SimpleNamespace(report=calls.optimized)
        folder = output or Path(f"{run}-optimised")
        folder.mkdir(parents=True, exist_ok=True)
        report = calls.optimized | {"accepted": False, "reason": calls.refused}
        (folder / "report.json").write_text(json.dumps(report))
        raise BudgetError(calls.refused)

    def apply_plan(plan, run, *, on_event, **settings):
        calls.apply.append({"plan": plan, "run": run, **settings})
        on_event(calls.events[0])
        return SimpleNamespace(folder=settings["output"])

    calls.optimize_run, calls.apply_plan = optimize_run, apply_plan


@pytest.fixture
def heedful(monkeypatch, capsys, tmp_path):
    """Run a command line in an empty folder; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        return left.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def library(monkeypatch):
    return install(monkeypatch)
