"""Divergence by its definition, and the reference that candidates are compared with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from heedful.optimizing import problem as problem_file
from heedful.optimizing.problem import Reference, divergence


def draw(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def probabilities(logits):
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def test_of_logits_is_kullback_leibler_from_the_teacher():
    student, teacher = draw(7, 5, seed=1), draw(7, 5, seed=2)
    p, q = probabilities(teacher.numpy()), probabilities(student.numpy())
    expected = (p * np.log(p / q)).sum(-1).mean()
    found = divergence("logits", student, teacher).item()
    assert found == pytest.approx(expected, rel=1e-5)
    assert found != pytest.approx(divergence("logits", teacher, student).item(), rel=1e-3)


def test_what_both_forbid_does_not_count():
    student, teacher = draw(7, 5, seed=1), draw(7, 5, seed=2)
    expected = divergence("logits", student, teacher)
    forbidden = torch.full((7, 2), -torch.inf, dtype=torch.float64)
    student = torch.cat([student, forbidden], 1).requires_grad_()
    found = divergence("logits", student, torch.cat([teacher, forbidden], 1))
    torch.testing.assert_close(found, expected)
    found.backward()
    assert student.grad.isfinite().all()


def test_of_values_is_the_unexplained_share_of_the_variance():
    student, teacher = draw(9, 4, seed=1), 3 + draw(9, 4, seed=2)
    error = ((student - teacher).numpy() ** 2).sum(-1).mean()
    spread = teacher.numpy().var(0).sum()
    assert divergence("values", student, teacher).item() == pytest.approx(error / spread, rel=1e-5)
    scaled = divergence("values", 10 * student, 10 * teacher).item()
    assert scaled == pytest.approx(error / spread, rel=1e-5)


@pytest.mark.parametrize("kind", ["logits", "values"])
def test_nothing_where_nothing_differs(kind):
    x = draw(6, 3, seed=1)
    assert divergence(kind, x, x).item() == pytest.approx(0.0, abs=1e-7)
    assert divergence(kind, x.bfloat16(), x.bfloat16()).dtype == torch.float32


def test_a_constant_in_the_logits_does_not_matter():
    student, teacher = draw(6, 3, seed=1), draw(6, 3, seed=2)
    moved = divergence("logits", student + 5, teacher - 2).item()
    assert moved == pytest.approx(divergence("logits", student, teacher).item(), rel=1e-4)


def test_a_teacher_that_says_one_thing_only_is_no_division_by_zero():
    teacher = torch.ones(5, 2)
    assert divergence("values", teacher, teacher).item() == 0
    assert torch.isfinite(divergence("values", teacher + 1e-20, teacher))


def test_the_reference_weighs_rows_not_batches(kit):
    model, other = kit.planted(), kit.planted(seed=1)
    rows = kit.rows(11)
    problem = replace(kit.problem(model), calibration=[rows[:8], rows[8:]])
    whole = replace(problem, calibration=[rows])
    divergence = Reference(problem).divergence(other)
    assert divergence == pytest.approx(Reference(whole).divergence(other), rel=1e-5)
    assert divergence > 0.01
    assert Reference(problem).divergence(model) == pytest.approx(0, abs=1e-6)


def test_a_large_vocabulary_costs_time_not_memory(kit, monkeypatch):
    """What is kept is bounded, and what is computed again is the same."""
    vocabulary, batches = 500, 6
    model, other = (kit.planted(seed=seed, classes=vocabulary) for seed in (0, 1))
    rows = list(kit.rows(8 * batches).split(8))
    problem = replace(kit.problem(model), calibration=rows)
    whole = Reference(problem)
    each = 8 * vocabulary * 4
    assert sum(kept.nbytes for kept in whole.kept.values()) == batches * each
    monkeypatch.setattr(problem_file, "KEPT", 2.5 * each)
    monkeypatch.setattr(problem_file, "CELLS", 3 * vocabulary)
    asked = []
    outputs = problem.outputs

    def counted(model, batch):
        asked.append(model is problem.model)
        return outputs(model, batch)

    bounded = Reference(replace(problem, outputs=counted))
    storages = {kept.untyped_storage().data_ptr(): kept for kept in bounded.kept.values()}
    assert sum(x.untyped_storage().nbytes() for x in storages.values()) <= problem_file.KEPT
    asked.clear()
    assert bounded.divergence(other) == pytest.approx(whole.divergence(other), rel=1e-6)
    assert sum(asked) == batches - 2
    assert bounded.divergence(model) == pytest.approx(0, abs=1e-6)


def test_what_is_kept_is_no_part_of_something_larger(kit):
    problem = kit.problem()
    large = torch.randn(64, 3)
    reference = Reference(replace(problem, outputs=lambda *_: large[:4]))
    assert all(x.untyped_storage().nbytes() == 4 * 3 * 4 for x in reference.kept.values())


def test_knows_its_device_and_its_precision(kit):
    problem = kit.problem()
    assert problem.device == torch.device("cpu")
    for low in (False, True):
        with replace(problem, low_precision=low).autocast():
            assert torch.is_autocast_enabled("cpu") == low


@pytest.mark.parametrize(
    "wanted, numbers", [(None, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4]), (1, [2]), (2, [1, 3])]
)
def test_some_batches_are_chosen_evenly(kit, wanted, numbers):
    problem = kit.problem(data=kit.splits(batches=5))
    asked = []
    outputs = lambda model, batch: asked.append(batch) or problem.outputs(model, batch)  # noqa: E731
    reference = Reference(replace(problem, outputs=outputs))
    asked.clear()
    reference.divergence(problem.model, batches=wanted)
    places = [
        next(i for i, each in enumerate(problem.calibration) if each is batch) for batch in asked
    ]
    assert places == numbers
