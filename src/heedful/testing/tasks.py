"""What must hold for every task, as a pytest class: subclass it, name the task, give small data.

```python
class TestMine(TaskContract):
    task = Mine
    tables = {"model": {"width": 16}, "train": {"steps": 30, "batch_size": 16}}
    inputs = ("a text", "another one")

    def expected(self, answers, examples):
        return {"accuracy": 100 * mean(a.label == e.label for a, e in zip(answers, examples))}
```
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from heedful.config.base import TaskConfig
from heedful.config.file import dump_toml
from heedful.config.template import template
from heedful.data.examples import Splits
from heedful.errors import (
    BudgetError,
    ConfigError,
    DataError,
    RunError,
    RunWarning,
    UnsupportedError,
)
from heedful.optimizing.run_folder import optimize_run
from heedful.optimizing.settings import OptimizeSettings
from heedful.tasks.base import Task
from heedful.tasks.catalog import AnyTask, load_config, name_of, parse_config
from heedful.tasks.measure import measure
from heedful.testing.questions import check_asked
from heedful.training.events import Evaluated, Event
from heedful.training.layout import make_folders
from heedful.training.metrics import read_metrics
from heedful.training.run import Run, build
from heedful.training.start import train

FEW = 5  # examples that metrics are counted on by hand
MANY = 16  # examples that a model must be able to learn by heart


class Killed(Exception):
    """Stands for a process that ends in the middle of a training."""


class TaskContract:
    """Subclass it: it trains, stops, goes on, answers and is optimised as every task must.

    Attributes:
        task: The class that is held to it.
        tables: A config as plain data, so small that 20 steps take less than a second.
        inputs: What a user would type, each a different one.
        budget: What a tiny optimisation may lose.
        learns: Settings over `tables` with which 16 examples are learned by heart.
        remembered: How far `monitor` must have come then: at most this share of what it was before,
            or at least this much where higher is better.
    """

    task: ClassVar[AnyTask]
    tables: ClassVar[Mapping[str, Any]] = {}
    inputs: ClassVar[Sequence[str]] = ()
    budget: ClassVar[str] = "loss 50%"
    learns: ClassVar[Sequence[str]] = ("train.steps=100",)
    remembered: ClassVar[float] = 0.5

    def expected(self, answers: Sequence[Any], examples: Sequence[Any]) -> dict[str, float]:
        """Return what metrics say of five answers, counted by brute force; leave out none."""
        raise NotImplementedError("expected must count each metric of answers by hand")

    # ---- what the tests share -------------------------------------------------------------------

    @pytest.fixture(scope="class")
    @classmethod
    def config(cls, tmp_path_factory: pytest.TempPathFactory) -> TaskConfig:
        """The small config."""
        tables = {**cls.tables, "task": name_of(cls.task)}
        folder = tmp_path_factory.mktemp("contract") / "run"
        overrides = [f"output={json.dumps(str(folder))}"]
        return cls.task.located(parse_config(tables, overrides=overrides, source=cls.task))

    @pytest.fixture(scope="class")
    @classmethod
    def splits(cls, config: TaskConfig) -> Splits[Any]:
        """Its examples."""
        return cls.task.read(config)

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, config: TaskConfig, splits: Splits[Any]) -> Task[Any, Any]:
        """The task, with what it has learned from the data."""
        return cls.task.fit(config, splits.train)

    @pytest.fixture(scope="class")
    @classmethod
    def run(cls, config: TaskConfig) -> Run:
        """A training by it, to its end."""
        return train(config, task=cls.task)

    def again(self, config: TaskConfig, folder: Path, *overrides: str) -> TaskConfig:
        """The same config with other settings and a folder of its own."""
        told = [f"output={json.dumps(str(folder))}", *overrides]
        return load_config(_written(config, folder.parent), overrides=told, source=self.task)

    # ---- the contract ---------------------------------------------------------------------------

    def test_a_config_comes_back_as_it_was(self, config: TaskConfig, tmp_path: Path) -> None:
        assert load_config(_written(config, tmp_path), source=self.task) == config
        (tmp_path / "new.toml").write_text(template(self.task.config_class), encoding="utf-8")
        load_config(tmp_path / "new.toml", source=self.task)

    def test_what_was_fitted_is_saved_and_loaded(
        self, config: TaskConfig, fitted: Task[Any, Any], splits: Splits[Any], tmp_path: Path
    ) -> None:
        make_folders(tmp_path, self.task.files)
        fitted.save(tmp_path)
        files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
        assert files == {*self.task.files}
        loaded = self.task.load(config, tmp_path)
        few = splits.train[:MANY]
        assert loaded.encode(few).fingerprint() == fitted.encode(few).fingerprint()
        models = [_seeded(task) for task in (fitted, loaded)]
        assert _same_weights(*models)
        assert _alike(*(fitted.answer(model, fitted.encode(few)) for model in models))

    def test_odd_files_are_refused(self, fitted: Task[Any, Any], tmp_path: Path) -> None:
        make_folders(tmp_path, self.task.files)
        for name in self.task.files:
            fitted.save(tmp_path)
            for odd in (b"", b"null", b"3", b'"text"', b"[]", b"[3]", b"{}", b"\xff" * 9):
                (tmp_path / name).write_bytes(odd)
                with pytest.raises(RunError):
                    self.task.load(fitted.config, tmp_path)

    def test_held_out_examples_are_kept_as_they_are(self, run: Run, splits: Splits[Any]) -> None:
        assert run.examples("dev") == splits.dev
        assert run.examples("test") == splits.test

    def test_company_in_a_batch_cannot_matter(self, run: Run) -> None:
        task, few = run.task, run.examples("dev")[:FEW]
        together = task.answer(run.model, task.encode(few))
        alone = [task.answer(run.model, task.encode([example]))[0] for example in few]
        assert _alike(together, alone)

    def test_a_loss_is_a_sum_over_examples(self, run: Run) -> None:
        task = run.task
        if type(task).loss is Task.loss:
            pytest.skip("the task has a learner and no loss")
        few = task.encode(run.examples("dev")[:FEW], training=True)
        with torch.inference_mode():
            total, count = task.loss(run.model, few.batch(range(len(few)), run.device))
            parts = [task.loss(run.model, few.batch([row], run.device)) for row in range(len(few))]
        assert sum(each for _, each in parts) == count
        assert total.item() == pytest.approx(sum(each.item() for each, _ in parts), rel=1e-4)

    def test_it_learns_examples_by_heart(
        self, config: TaskConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = self.task.read

        def few(given: Any) -> Splits[Any]:
            examples = read(given).train[:MANY]
            return Splits(train=examples, dev=examples, test=[])

        monkeypatch.setattr(self.task, "read", few)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RunWarning)
            learns = ("train.evaluate_every=0.5", *self.learns)
            run = train(self.again(config, tmp_path / "run", *learns), task=self.task)
        scores = [x[self.task.monitor] for x in read_metrics(run.folder) if self.task.monitor in x]
        if self.task.monitor_is_better_higher():
            assert max(scores) >= self.remembered
        else:
            assert min(scores) <= self.remembered * _untrained(run)

    def test_a_kill_in_the_middle_changes_no_bit(self, config: TaskConfig, tmp_path: Path) -> None:
        settings = ("train.steps=4", "train.evaluate_every=0.5", "train.precision=fp32")
        whole = train(self.again(config, tmp_path / "whole", *settings), task=self.task)

        def kill(event: Event) -> None:
            if isinstance(event, Evaluated):
                raise Killed

        with pytest.raises(Killed):
            train(self.again(config, tmp_path / "half", *settings), task=self.task, on_event=kill)
        half = train(resume=tmp_path / "half", task=self.task)
        assert _same_weights(half.model, whole.model)
        measured = [
            [x for x in read_metrics(run.folder) if self.task.monitor in x] for run in (half, whole)
        ]
        assert measured[0] == measured[1]

    def test_what_a_user_types_takes_the_same_way(self, run: Run) -> None:
        assert self.inputs, "inputs must hold what a user would type"
        task = run.task
        data = task.encode([task.parse(text) for text in self.inputs])
        answers = run.answer(self.inputs)
        assert _alike(answers, task.answer(run.model, data))
        for text, answer in zip(self.inputs, answers, strict=True):
            assert isinstance(task.show(answer), str)
            json.dumps(task.to_json(task.parse(text), answer))

    def test_it_can_be_asked_why_or_says_why_not(self, run: Run) -> None:
        check_asked(run.task, run.model, run.examples("test")[0])

    def test_metrics_are_what_is_counted_by_hand(self, run: Run) -> None:
        task, few = run.task, run.examples("test")[:FEW]
        answers = task.answer(run.model, task.encode(few))
        of_answers = [metric for metric in task.metrics if metric.reads == "answers"]
        found = measure(task, run.model, task.encode(few), few, metrics=of_answers)
        wanted = self.expected(answers, few)
        assert wanted.keys() == found.keys()
        for metric in of_answers:
            score = metric.score(found[metric.name])
            assert score == pytest.approx(wanted[metric.name], rel=1e-4, abs=1e-6), metric.name

    def test_optimize_ends_with_a_run_or_with_words(self, run: Run, tmp_path: Path) -> None:
        settings = OptimizeSettings(
            trials=4, rounds=1, finalists=1, finalist_steps=1, finetune_steps=1, final_steps=1
        )
        output = tmp_path / "smaller"
        try:
            outcome = optimize_run(run, lose=self.budget, output=output, settings=settings)
        except (BudgetError, ConfigError, DataError, UnsupportedError) as refused:
            reason = str(refused)
        else:
            reason = "accepted"
            smaller, again = (Run(output, task=self.task) for _ in range(2))
            assert _alike(smaller.answer(self.inputs), again.answer(self.inputs))
            assert outcome.accepted
        assert reason


class ClassificationContract(TaskContract):
    """The same for a task whose answer is a label; 16 examples are learned to 95 per cent."""

    budget: ClassVar[str] = "accuracy 50"
    remembered: ClassVar[float] = 95

    def expected(self, answers: Sequence[Any], examples: Sequence[Any]) -> dict[str, float]:
        """Return accuracy, and the mean of the F1 scores of the labels that are true of any."""
        pairs = [(answer.label, each.label) for answer, each in zip(answers, examples, strict=True)]
        scores: list[float] = []
        for label in {truth for _, truth in pairs}:
            right = sum(pair == (label, label) for pair in pairs)
            scores.append(2 * right / sum((a == label) + (b == label) for a, b in pairs))
        right = sum(said == true for said, true in pairs)
        return {"accuracy": 100 * right / len(pairs), "macro_f1": 100 * sum(scores) / len(scores)}


def _written(config: TaskConfig, folder: Path) -> Path:
    path = folder / "config.toml"
    path.write_text(dump_toml(config), encoding="utf-8")
    return path


def _seeded(task: Task[Any, Any]) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(task).eval()


def _untrained(run: Run) -> float:
    """What `monitor` is of a model that has learned nothing."""
    data = run.task.encode(run.examples("dev"), training=True)
    with torch.inference_mode():
        return run.task.scores(_seeded(run.task), data)[run.kind.monitor]


def _same_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _alike(first: object, second: object) -> bool:
    """Equal, but for the rounding of numbers: batches of other sizes add up in another order."""
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.allclose(first, second, rtol=1e-3, atol=1e-4)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        close = np.abs(first.astype(float) - second.astype(float)) <= _rounding(first)
        return first.shape == second.shape and bool(close.all())
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=1e-3, abs_tol=1e-4)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(_alike(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_alike, first, second))
    if hasattr(first, "__dataclass_fields__"):
        return type(first) is type(second) and _alike(vars(first), vars(second))
    return first == second


def _rounding(array: "np.ndarray[Any, Any]") -> float:
    return 1.0 if array.dtype.kind in "iu" else 1e-3
