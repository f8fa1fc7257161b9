"""Fine-tuning brings a changed model back towards the original, and touches nothing else."""

import copy
from dataclasses import replace

import pytest
import torch

from heedful.allocation.plan import unfused
from heedful.allocation.sites import find_sites
from heedful.errors import ConfigError, TrainingError
from heedful.metrics.rows import UNKNOWN
from heedful.optimizing.finetune import Finetuning, finetune, imitation_loss
from heedful.optimizing.hints import Hints
from heedful.optimizing.problem import Reference, divergence
from heedful.testing.tolerance import assert_close


@pytest.fixture
def problem(kit):
    return kit.problem(spec=kit.ModelSpec(outputs="logits", learning_rate=1e-2))


def hurt(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    new = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in new.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return new


def numbers(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def test_comes_closer_to_the_original_which_stays(problem):
    model, reference, before = hurt(problem.model), Reference(problem), numbers(problem.model)
    divergence = reference.divergence(model)
    finetune(model, problem, Finetuning(steps=40))
    assert reference.divergence(model) < divergence / 3
    assert_same(numbers(problem.model), before)
    assert all(parameter.grad is None for parameter in problem.model.parameters())


def test_leaves_no_gradients_behind(problem):
    model = hurt(problem.model)
    finetune(model, problem, Finetuning(steps=2))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training


def test_without_steps_nothing_changes(problem):
    model = hurt(problem.model)
    before = numbers(model)
    finetune(model, problem, Finetuning(steps=0), on_step=lambda step: pytest.fail("a step"))
    assert_same(numbers(model), before)


def test_a_seed_makes_the_same_model(problem):
    models = [hurt(problem.model) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        finetune(model, problem, Finetuning(steps=5, seed=seed))
    assert_same(numbers(models[0]), numbers(models[1]))
    assert not torch.equal(models[0].head.weight, models[2].head.weight)


def test_steps_are_told_one_by_one(problem):
    told = []
    finetune(hurt(problem.model), problem, Finetuning(steps=3), on_step=told.append)
    assert told == [1, 2, 3]


def test_what_needs_no_gradient_stays(problem):
    model = hurt(problem.model)
    model.embed.requires_grad_(False)
    before = numbers(model)
    finetune(model, problem, Finetuning(steps=3))
    assert torch.equal(model.embed.weight, before["embed.weight"])
    assert not torch.equal(model.head.weight, before["head.weight"])


def test_a_frozen_model_is_left_as_it_is(problem):
    model = hurt(problem.model).requires_grad_(False)
    before = numbers(model)
    finetune(model, problem, Finetuning(steps=3))
    assert_same(numbers(model), before)


def test_the_truth_counts_where_it_is_known(kit):
    model = kit.planted()
    rows = kit.rows(48)
    batches = [(part, torch.ones(len(part), dtype=torch.int32)) for part in rows.split(16)]
    data = replace(kit.splits(), calibration=batches)
    problem = kit.problem(
        model, data=data, spec=kit.ModelSpec(outputs="logits", learning_rate=1e-2)
    )
    alone, taught = copy.deepcopy(model), copy.deepcopy(model)
    finetune(alone, replace(problem, truth=None), Finetuning(steps=20))
    finetune(taught, problem, Finetuning(steps=20))

    def share(model):
        return model(rows).softmax(-1)[:, 1].mean().item()

    assert share(alone) == pytest.approx(share(model), abs=0.02)
    assert share(taught) > share(model) + 0.05


@pytest.mark.parametrize("known", ["all", "some", "none", "nowhere"])
def test_logits_are_taught_by_the_original_and_the_truth_alike(known):
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(2, 12, 7, generator=generator)
    teacher[3, 2] = student[3, 2] = -torch.inf  # forbidden in both
    truth = torch.randint(3, 7, (12,), generator=generator)
    truth[: {"all": 0, "some": 5}.get(known, 12)] = UNKNOWN
    student.requires_grad_()
    imitation_loss("logits", student, teacher, None if known == "nowhere" else truth).backward()

    want = student.detach().double().requires_grad_()
    alternatives = want.log_softmax(-1)
    right = teacher.double().softmax(-1)
    loss = -(right * alternatives.masked_fill(right == 0, 0)).sum() / 12
    rows = [row for row in range(12) if known in ("all", "some") and truth[row] != UNKNOWN]
    for row in rows:
        loss = loss - alternatives[row, truth[row]] / len(rows)
    loss.backward()
    assert_close(student.grad, want.grad, roundings=50, largest=1.0)


def test_values_are_taught_by_the_original_alone():
    student, teacher = torch.randn(2, 5, 3)
    assert imitation_loss("values", student, teacher, None) == divergence(
        "values", student, teacher
    )


@pytest.mark.parametrize("known, asked", [(None, 6), ("all", 3), ("none", 6)])
def test_where_the_truth_is_known_the_original_is_asked_every_second_step(problem, known, asked):
    def outputs(model, batch):
        calls.append(model is problem.model)
        return problem.outputs(model, batch)

    def truth(batch):
        rows = len(problem.outputs(problem.model, batch))
        return torch.full((rows,), UNKNOWN if known == "none" else 1)

    calls: list[bool] = []
    taught = replace(problem, outputs=outputs, truth=None if known is None else truth)
    finetune(hurt(problem.model), taught, Finetuning(steps=6))
    assert sum(calls) == asked
    assert len(calls) == 6 + asked


def test_sites_are_asked_in_every_step_and_come_closer_to_what_they_gave(problem):
    before = unfused(problem.model)
    sites = find_sites(before)[0]
    taught = replace(problem, truth=lambda batch: torch.ones(len(batch), dtype=torch.long))
    left = []
    for listened in ((), sites):
        model = hurt(before)
        finetune(model, taught, Finetuning(steps=30), sites=listened)
        with torch.no_grad(), Hints(model, before, sites) as hints:
            for batch in problem.calibration:
                before(batch)
                model(batch)
            left.append(hints.loss().item())
    assert left[1] < 0.5 * left[0]


def test_in_low_precision_it_heals_as_well(problem):
    low = replace(problem, low_precision=True)
    model, reference = hurt(problem.model), Reference(problem)
    divergence = reference.divergence(model)
    finetune(model, low, Finetuning(steps=40))
    assert reference.divergence(model) < divergence / 2
    assert model.head.weight.dtype == torch.float32


def test_a_loss_that_is_no_number_stops(problem):
    model = hurt(problem.model)
    with torch.no_grad():
        model.head.bias[0] = torch.nan
    message = (
        r"the loss of fine-tuning must be a number, got nan at step 1\. Lower the learning rate"
    )
    with pytest.raises(TrainingError, match=message):
        finetune(model, problem, Finetuning(steps=3))


def test_rejects():
    with pytest.raises(ConfigError, match="steps must not be negative, got -3"):
        Finetuning(steps=-3)
