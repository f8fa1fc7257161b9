"""Run command lines in this process, with a library that does nothing but remember."""

import io
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from heedful.cli import main
from heedful.data.alignment import Alignment
from heedful.errors import BudgetError
from heedful.evaluation import Report
from heedful.metrics.interval import Estimate
from heedful.optimizing.candidate import Candidate
from heedful.optimizing.events import Note, RoundDone, Stage
from heedful.optimizing.outcome import SUMMARY
from heedful.tasks.catalog import parse_config
from heedful.tasks.translation.task import Translation
from heedful.tasks.translation.translator import Translated
from heedful.training.events import Finished, Started

REPORT: dict[str, Any] = {
    "run": "runs/x",
    "split": "test",
    "examples": 1234,
    "scores": {
        "exact_match": Estimate(41.25, 39.0, 43.5),
        "bleu": Estimate(61.0, 60.0, 62.5),
        "loss": Estimate(0.51234, 0.5, 0.525),
    },
    "higher_is_better": {"exact_match": True, "bleu": True, "loss": False},
    "units": {"exact_match": "%", "bleu": "%", "loss": ""},
    "by_kind": {"日期": {"examples": 17, "exact_match": 33.0, "bleu": 44.0, "loss": 0.25}},
    "unit": "tokens",
    "per_second": 9876.0,
    "seconds": 6.5,
    "peak_memory_mib": 321.0,
    "remarks": {"cut": 0, "strange": 0},
    "details": {"beam": 1},
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


class FakeTask(Translation):
    """Writes `译:TEXT`, and remembers what it was asked; words are its tokens."""

    def __init__(self):
        settings = {"data": {"max_length": 6}, "decode": {"max_length": 9}}
        super().__init__(parse_config(settings), SimpleNamespace(source=Words()))
        self.asked, self.attends = [], True

    def encode(self, examples, *, training=False):
        return [example.source for example in examples]

    def answer(self, model, data):
        assert model == "a model"
        assert all(text.strip() for text in data)  # as the real one demands
        self.asked.append(data)
        return [self.translated(text, len(text.split())) for text in data]

    def translated(self, text, n):
        return Translated(
            text=f"译:{text}",
            written=(7,) * n,
            tokens=n,
            unknown=sum("?" in word for word in text.split()),
            unread=0,
            too_long=n > 6,
            cut=n >= 9,
        )

    def picture(self, model, example, answer):
        if not self.attends:
            return None
        one, other = (example.source,), (answer.text,)
        return Alignment(source=one, target=other, weights=((1.0,),), title=example.source)


def install(monkeypatch):
    """Put fakes in place; returns what they record."""
    calls = SimpleNamespace(train=[], evaluate=[], load=[], answering=[], interrupt=False)
    calls.task, calls.report, calls.examples = FakeTask(), dict(REPORT), 5_000
    optimizing(calls)

    def run_in(folder):
        def answering(overrides):
            calls.answering.append(overrides)
            return calls.task

        return SimpleNamespace(
            folder=folder,
            kind=Translation,
            task=calls.task,
            model="a model",
            answering=answering,
            examples=lambda split: [None] * calls.examples,
        )

    def train(config=None, *, resume=None, overrides=(), on_event=None, task=None):
        calls.train.append((config, resume, *overrides))
        calls.task_from = task
        folder = resume or config.output or "runs/free"
        started = {"parameters": 7, "precision": "fp32", "examples": {"train": 5}, "skipped": 3}
        on_event(Started(run=folder, **started))
        if calls.interrupt:
            raise KeyboardInterrupt
        on_event(Finished(run=folder, step=11, seconds=65.0, reason="limit reached"))
        return run_in(folder)

    def evaluate(run, *, split="test", overrides=()):
        calls.evaluate.append((run.folder, split, [*overrides]))
        return Report(**calls.report | {"split": split})

    def load(folder, *, task=None):
        calls.load.append(folder)
        calls.task_from = task
        return run_in(folder)

    def write_page(run, smaller, output, *, command):
        calls.pages.append((str(run.folder), str(output), command))

    calls.pages = []
    module(monkeypatch, "heedful.cli._reporting", write_page=write_page)
    output_of = lambda run, output: output or Path(f"{run}-optimised")  # noqa: E731
    verbs = {"optimize_run": calls.optimize_run, "apply_plan": calls.apply_plan}
    verbs["run_into_folder"] = lambda run, **asked: calls.into_folder
    module(monkeypatch, "heedful.optimizing.run_folder", output_of=output_of, **verbs)
    module(monkeypatch, "heedful.training.start", train=train)
    module(monkeypatch, "heedful.training.run", Run=load)
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

    def optimize_run(run, *, lose, output, test, settings, on_event, clock=None):
        asked = {"lose": lose, "output": output, "test": test, "settings": settings, "clock": clock}
        folder = getattr(run, "folder", run)
        calls.optimize.append({"run": folder, **asked})
        for event in calls.events:
            on_event(event)
        if calls.refused is None:
            return SimpleNamespace(report=calls.optimized)
        folder = output or Path(f"{folder}-optimised")
        folder.mkdir(parents=True, exist_ok=True)
        report = calls.optimized | {"accepted": False, "reason": calls.refused}
        (folder / "report.json").write_text(json.dumps(report))
        raise BudgetError(calls.refused)

    def apply_plan(plan, run, *, on_event, **settings):
        calls.apply.append({"plan": plan, "run": run.folder, **settings})
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
