"""A client's round is AdamW on its own batches, held back by as much as FedProx says."""

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


def by_hand(run, data, *, steps, number, rounds):
    """The same in a plain loop."""
    model, settings = fresh(run).train(), run.config.train
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


def test_the_proximal_term_is_half_mu_times_the_squared_distance(trained, own):
    """Its gradient is `mu (w - w0)`, seen by a task whose own loss has none."""
    model = fresh(trained).double()
    seen, heard = [], []

    class Flat:
        config, batch_limit = trained.config, trained.task.batch_limit

        @staticmethod
        def learner(model):
            return None

        @staticmethod
        def proceed(model, done):
            heard.append(done)

        @staticmethod
        def loss(model, batch):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter += 0.5  # away from where the round began, without a gradient
            seen.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
            return sum(p.sum() * 0 for p in model.parameters()), 1

    for parameter in model.parameters():
        parameter.register_hook(lambda grad: seen.append(grad.clone()))
    train_locally(Flat(), model, own, steps=1, number=2, rounds=4, proximal=3.0)
    assert heard == [0.5]  # two of four rounds are done
    slopes = [each for each in seen if isinstance(each, torch.Tensor)]
    assert slopes
    for slope in slopes:
        torch.testing.assert_close(slope, torch.full_like(slope, 3.0 * 0.5))


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
