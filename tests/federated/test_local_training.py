"""A client's round is AdamW on its own batches, held back by as much as FedProx says."""

import copy

import pytest
import torch

from heedful.errors import TrainingError, UnsupportedError
from heedful.federated.local_training import train_locally
from heedful.federated.sides import fresh
from heedful.training.optimizer import adamw
from heedful.training.schedule import rate
from heedful.training.splits import training_examples
from heedful.training.stream import Stream


@pytest.fixture
def own(trained):
    return trained.task.encode(training_examples(trained)[:300], training=True)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def by_hand(run, data, *, steps, number, rounds, proximal=0.0):
    """The same in a plain loop."""
    model, settings = fresh(run).train(), run.config.train
    begun = weights(model)
    optimizer = adamw(model, settings)
    torch.manual_seed(run.config.seed + number)
    places = Stream(run.task, data, device=torch.device("cpu")).after(number, 0)
    for step in range(steps):
        batch = next(places)[1]
        share = rate((number * steps + step) / (rounds * steps), warmup=settings.warmup)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * share
        optimizer.zero_grad()
        loss, count = run.task.loss(model, batch)
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        optimizer.step()
        if proximal:
            pull = settings.learning_rate * share * proximal
            nearer = (weights(model) + pull * begun) / (1 + pull)
            torch.nn.utils.vector_to_parameters(nearer, model.parameters())
    places.close()
    return model


def test_it_is_the_plain_loop(trained, own):
    model = fresh(trained)
    loss = train_locally(trained.task, model, own, steps=4, number=1, rounds=3)
    want = by_hand(trained, own, steps=4, number=1, rounds=3)
    assert torch.equal(weights(model), weights(want))
    assert 0 < loss < 2
    assert not model.training


def test_the_further_away_the_more_is_taken_back(trained, own):
    begun, apart = weights(fresh(trained)), []
    for proximal in (0.0, 10.0, 1000.0):
        model = fresh(trained)
        train_locally(trained.task, model, own, steps=6, proximal=proximal)
        apart.append(float((weights(model) - begun).norm()))
    assert apart[0] > apart[1] > apart[2] > 0


def test_each_step_is_followed_by_that_of_the_proximal_term(trained, own):
    """It minimises the squared distance from the step, and `lr mu` times that from the start."""
    begun = weights(fresh(trained))
    # AdamW makes steps of rounding where there is no gradient, as of a bias before softmax
    for steps, error in ((1, 1e-4), (4, 0.01)):
        settings = {"steps": steps, "number": 1, "rounds": 3}
        want, plain = (weights(by_hand(trained, own, **settings, proximal=p)) for p in (40.0, 0.0))
        model = fresh(trained)
        train_locally(trained.task, model, own, **settings, proximal=40.0)
        apart = (weights(model) - want).norm()
        assert apart < error * (want - begun).norm() < 0.5 * error * (plain - begun).norm() * 2
        assert (want - begun).norm() < 0.98 * (plain - begun).norm()


def test_how_much_is_taken_back_does_not_depend_on_the_scale_of_the_loss(trained, own):
    """A tenth of a loss has a tenth of its gradient, and the same steps of AdamW."""
    moved = []
    for scale in (1.0, 0.1):
        model, task = fresh(trained), copy.copy(trained.task)
        task.config = trained.config.model_copy(
            update={"train": trained.config.train.model_copy(update={"clip": 1e9})}
        )
        task.loss = lambda model, batch, scale=scale: (
            trained.task.loss(model, batch)[0] * scale,
            trained.task.loss(model, batch)[1],
        )
        train_locally(task, model, own, steps=3, proximal=50.0)
        moved.append(float((weights(model) - weights(fresh(trained))).norm()))
    assert moved[1] == pytest.approx(moved[0], rel=0.02)


def test_a_task_with_a_learner_of_its_own_is_refused(trained, own, monkeypatch):
    monkeypatch.setattr(type(trained.task), "learner", lambda self, model: object())
    with pytest.raises(UnsupportedError, match="needs a task with one loss, got classify-text"):
        train_locally(trained.task, fresh(trained), own, steps=1)


def test_a_loss_that_is_no_number_ends_it(trained, own):
    model = fresh(trained)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss must stay a number, got nan at step 0"):
        train_locally(trained.task, model, own, steps=2)
