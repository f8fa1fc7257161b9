"""A run as a subject: what it says is what its translator writes."""

import copy
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import sacrebleu
import torch

from heedful.data.tokens import PAD, Vocabulary
from heedful.errors import ConfigError, DataError, RunError, UnsupportedError
from heedful.optimizing import of_run
from heedful.optimizing.finetune import Finetuning, finetune
from heedful.optimizing.of_run import (
    problem_of_run,
    problem_to_finetune,
    problem_to_profile,
)
from heedful.optimizing.problem import Reference
from heedful.tasks.base import Task
from heedful.tasks.translation.pairs import encode
from heedful.tasks.translation.task import Translation

METRICS = tuple(metric.name for metric in Translation.metrics)


@pytest.fixture(scope="module")
def problems(digit_run):
    return {metric: problem_of_run(digit_run, metric) for metric in METRICS}


@pytest.fixture(scope="module")
def problem(problems):
    return problems["loss"]


def pairs_of(run, split):
    return encode(run.examples(split), run.task.vocabularies, max_length=99)[0]


@pytest.mark.parametrize("split, name", [("dev", "dev"), ("test", "test")])
@pytest.mark.parametrize("metric", ["exact_match", "chrf", "bleu"])
def test_quality_is_that_of_the_texts_it_writes(digit_run, problems, metric, split, name):
    problem, examples = problems[metric], digit_run.examples(name)
    statistics = problem.statistics(problem.model, split)
    assert len(statistics) == len(examples) == 80
    written = digit_run.translator.translate([example.source for example in examples])
    exact = np.mean([100 * (x.target == y) for x, y in zip(examples, written, strict=True)])
    score = problem.metric.score(statistics)
    assert problem.metric.higher_is_better
    references = [x.target for x in examples]
    found = {
        "exact_match": lambda: exact,
        "chrf": lambda: sacrebleu.corpus_chrf(written, [references]).score,
        "bleu": lambda: sacrebleu.corpus_bleu(written, [references], tokenize="zh").score,
    }[metric]()
    assert metric == "exact_match" or 0 < score < 100
    assert score == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("metric", ["loss", "token_accuracy"])
def test_quality_of_tokens_is_counted_token_by_token(digit_run, problems, metric):
    problem, pairs = problems[metric], pairs_of(digit_run, "dev")
    found = problem.statistics(problem.model, "dev")
    assert problem.metric.higher_is_better == (metric != "loss")
    total, count = 0.0, 0
    for row in range(0, len(pairs), 7):
        source, lengths, target = pairs.batch([row], "cpu")
        with torch.no_grad():
            scores = problem.model(source, lengths, target[:, :-1])[0].double().log_softmax(-1)
        truth = target[0, 1:]
        here = (truth != PAD).sum().item()
        scores, truth = scores[:here], truth[:here]
        right = 100.0 * (scores.argmax(-1) == truth).sum().item()
        value = -scores[range(here), truth].sum().item() if metric == "loss" else right
        assert found[row].tolist() == pytest.approx([value, here], rel=1e-4)
        total, count = total + value, count + here
    assert total / count == pytest.approx(problem.metric.score(found[::7]), rel=1e-4)


def test_outputs_leave_padding_out(digit_run, problem):
    batch = pairs_of(digit_run, "dev").batch(range(9), "cpu")
    rows = (batch[2][:, 1:] != PAD).sum().item()
    assert batch[2].shape[1] * 9 > rows + 9
    with torch.no_grad():
        found = problem.outputs(problem.model, batch)
        assert found.shape == (rows, digit_run.task.vocabularies.target.size)
        one = problem.outputs(problem.model, pairs_of(digit_run, "dev").batch([0], "cpu"))
    assert torch.allclose(found[: len(one)], one, atol=1e-5)


def test_calibrates_and_heals_on_the_training_split(digit_run, problem):
    sizes = [len(batch[0]) for batch in problem.calibration]
    assert sum(sizes) == of_run.CALIBRATION
    assert max(sizes) <= 64
    held_out = {
        tuple(row[row != PAD].tolist())
        for name in ("dev", "test")
        for row in pairs_of(digit_run, name).batch(range(80), "cpu")[0]
    }
    for source, _, _ in (*problem.calibration, *islice(problem.training(1), 20)):
        assert not held_out & {tuple(row[row != PAD].tolist()) for row in source}
    assert Reference(problem).divergence(problem.model) == pytest.approx(0, abs=1e-6)


def test_calibration_depends_on_its_seed(digit_run, problem):
    again, other = (problem_of_run(digit_run, "loss", seed=seed) for seed in (0, 1))
    assert torch.equal(problem.calibration[0][0], again.calibration[0][0])
    first, second = (
        {tuple(row.tolist()) for batch in of.calibration for row in batch[0]}
        for of in (problem, other)
    )
    assert first != second


def test_training_never_ends_and_follows_its_seed(problem):
    first, again, other = (
        [batch[0].sum().item() for batch in islice(problem.training(seed), 30)]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_the_truth_has_a_row_for_each_row_of_outputs(digit_run, problem):
    batch = pairs_of(digit_run, "dev").batch(range(5), "cpu")
    with torch.no_grad():
        rows = problem.outputs(problem.model, batch)
    target = batch[2][:, 1:]
    assert torch.equal(problem.truth(batch), target[target != PAD])
    assert len(rows) == len(problem.truth(batch))


class Counted:
    """A model whose steps are counted; it decodes as the one inside."""

    def __init__(self, model):
        self.model, self.rows, self.tokens = model, [], []

    def __getattr__(self, name):
        return getattr(self.model, name)

    def step(self, tokens, state):
        self.rows.append(len(tokens))
        self.tokens += tokens.tolist()
        return self.model.step(tokens, state)


def test_the_work_is_that_of_writing_greedily(digit_run, problem, monkeypatch):
    """As many steps with as many rows as greedy search makes, and the same tokens go in."""
    worked, wrote = Counted(problem.model), Counted(problem.model)
    problem.work(worked)
    translator = digit_run.task.translator(problem.model)
    monkeypatch.setattr(translator, "model", wrote)
    source = pairs_of(digit_run, "dev").source
    translator.write(source, beam=1)
    assert sum(worked.rows) == sum(wrote.rows)
    assert sorted(worked.tokens) == sorted(wrote.tokens)


def test_the_work_does_not_depend_on_what_a_model_says(problem):
    other = Counted(problem.model)
    problem.work(other)
    changed = Counted(problem.model)
    changed.step = lambda tokens, state: (
        changed.rows.append(len(tokens)),
        torch.randn_like(problem.model.step(tokens, state)),
    )[1]
    problem.work(changed)
    assert changed.rows == other.rows


def test_what_users_do_is_answering(digit_run, problem):
    answers = problem.use(problem.model)
    examples = digit_run.examples("dev")[: of_run.TIMED]
    texts = [answer.text for answer in answers]
    assert texts == digit_run.translator.translate([example.source for example in examples])


def test_what_is_timed_learns_nothing(digit_run):
    class Slow(Translation):
        """A task whose own lines forget it."""

        def answer(self, model, data):
            assert torch.is_inference_mode_enabled()
            return []

        work = Task.work

    run = Changed(digit_run, task=Slow(digit_run.config, digit_run.task.vocabularies))
    found = problem_to_profile(run)
    assert found.work(found.model) == found.use(found.model) == []


def test_a_run_is_profiled_with_its_dev_split_alone(digit_run, problem):
    run = Changed(digit_run, examples=lambda split: dev_alone(digit_run, split))
    found = problem_to_profile(run)
    assert sum(len(batch[0]) for batch in found.calibration) == 80
    assert found.kind == "logits"
    assert [x.text for x in found.use(found.model)] == [x.text for x in problem.use(problem.model)]
    with pytest.raises(UnsupportedError, match="must have data to be fine-tuned and judged"):
        found.statistics(found.model, "dev")


def dev_alone(run, split):
    return run.examples("dev") if split == "dev" else pytest.fail(f"read {split}")


# ---- refused -------------------------------------------------------------------------------------


def test_an_unknown_metric_is_refused(digit_run):
    names = ", ".join(f'"{name}"' for name in METRICS)
    message = f'metric must be one of {names}, got "rouge"'
    with pytest.raises(ConfigError, match=message):
        problem_of_run(digit_run, "rouge")


class Changed:
    """A run of which something is otherwise."""

    def __init__(self, run, **changes):
        self.run, self.changes = run, changes

    def __getattr__(self, name):
        return self.changes[name] if name in self.changes else getattr(self.run, name)


def test_a_task_that_cannot_say_its_rows_is_refused_before_its_data_is_read(digit_run):
    class Silent(Translation):
        rows = Task.rows

    task = Silent(digit_run.config, digit_run.task.vocabularies)
    run = Changed(digit_run, task=task, examples=lambda split: pytest.fail(f"read {split}"))
    message = "must say what its model decides row by row, got translation, which does not"
    for problem in (lambda of: problem_of_run(of, "loss"), problem_to_finetune, problem_to_profile):
        with pytest.raises(UnsupportedError, match=message):
            problem(run)
    with pytest.raises(UnsupportedError, match="the task must say what its model decides row by"):
        task.rows(digit_run.model, None)


@pytest.mark.parametrize("known", ["said beforehand", "said with the rows", "not there"])
def test_the_truth_comes_from_where_the_task_has_it(digit_run, known):
    class Other(Translation):
        def truth(self, batch):
            return super().truth(batch) if known == "said beforehand" else None

        def rows(self, model, batch):
            said = super().rows(model, batch)
            return replace(said, truth=None) if known == "not there" else said

    task = Other(digit_run.config, digit_run.task.vocabularies)
    found = problem_to_profile(Changed(digit_run, task=task))
    if known == "not there":
        assert found.truth is None
    else:
        batch = found.calibration[0]
        assert torch.equal(found.truth(batch), digit_run.task.truth(batch))
        assert not found.truth(batch).is_inference()  # it is learned from


def untested(run):
    """The same without a test split."""
    return Changed(run, examples=lambda split: [] if split == "test" else run.examples(split))


def test_without_a_test_split_there_is_no_verdict(digit_run):
    with pytest.raises(DataError, match=r"must have a test split for the verdict, got none\. Give"):
        problem_of_run(untested(digit_run), "loss")


def test_other_examples_can_stand_in_for_the_test_split(digit_run, problem):
    examples = digit_run.examples("test")[:30]
    other = problem_of_run(untested(digit_run), "loss", test=examples)
    assert other.test_examples == 30
    found, want = (of.statistics(of.model, "test") for of in (other, problem))
    assert np.allclose(found, want[:30], rtol=1e-5)
    with pytest.raises(DataError, match="test split must hold an example that no earlier split"):
        problem_of_run(digit_run, "loss", test=digit_run.examples("dev")[:3])


def test_values_that_are_right_are_no_alternatives_to_learn(digit_run):
    class Values(Translation):
        def truth(self, batch):
            return None

        def rows(self, model, batch):
            said = super().rows(model, batch)
            return replace(said, truth=said.outputs * 2, kind="values")

    task = Values(digit_run.config, digit_run.task.vocabularies)
    found = problem_to_finetune(Changed(digit_run, task=task))
    assert (found.kind, found.truth) == ("values", None)
    finetune(copy.deepcopy(found.model), found, Finetuning(steps=2))


def test_healing_needs_the_training_split_alone(digit_run, problem):
    run = Changed(digit_run, examples=lambda split: pytest.fail(f"read {split}"))
    finetuning = problem_to_finetune(run)
    assert torch.equal(finetuning.calibration[0][0], problem.calibration[0][0])
    first, same = next(finetuning.training(3)), next(problem.training(3))
    assert all(torch.equal(one, other) for one, other in zip(first, same, strict=True))
    assert finetuning.learning_rate == problem.learning_rate
    with pytest.raises(
        UnsupportedError, match="must have data to be fine-tuned and judged, got none"
    ):
        finetuning.statistics(finetuning.model, "test")


def test_what_an_earlier_split_holds_is_left_out_and_counted(digit_run, problem):
    """A verdict is about what neither training nor the search has seen."""
    dev, test = digit_run.examples("dev"), digit_run.examples("test")
    train = digit_run.kind.read_training(digit_run.config)

    def examples(split):
        if split == "dev":
            return [*dev, replace(train[7])]
        return [replace(dev[4]), replace(train[3]), *test, replace(dev[5])]

    found = problem_of_run(Changed(digit_run, examples=examples), "loss")
    assert found.left_out == {"dev": 1, "test": 3}
    assert (found.dev_examples, found.test_examples) == (80, 80)
    for split in ("dev", "test"):
        first, second = (of.statistics(of.model, split) for of in (found, problem))
        assert np.allclose(first, second, rtol=1e-5)
    assert problem.left_out == {"dev": 0, "test": 0}


@pytest.mark.parametrize("how", [problem_to_finetune, lambda run: problem_of_run(run, "loss")])
def test_training_data_that_changed_since_is_refused(digit_run, monkeypatch, how):
    train = digit_run.kind.read_training(digit_run.config)
    train[3] = replace(train[3], target="九九九")
    monkeypatch.setattr(digit_run.kind, "read_training", lambda config: train)
    with pytest.raises(RunError, match=r"training data of .* must be what it was, got other"):
        how(digit_run)


def test_the_files_of_other_splits_are_not_needed(digit_run, tmp_path):
    data = digit_run.config.data.model_copy(update={"dev": "none", "test": str(tmp_path / "none")})
    run = Changed(digit_run, config=digit_run.config.model_copy(update={"data": data}))
    assert problem_of_run(run, "loss").test_examples == 80


def test_no_file_is_read_while_the_work_is_timed(digit_run, problems, monkeypatch):
    monkeypatch.setattr(Vocabulary, "load", lambda *_: pytest.fail("read a tokeniser"))
    for metric in ("loss", "chrf"):
        problems[metric].use(problems[metric].model)
        problems[metric].work(problems[metric].model)
