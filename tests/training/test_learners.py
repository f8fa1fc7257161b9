"""Who takes a training step, and where."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from heedful.config.base import Train
from heedful.errors import UnsupportedError
from heedful.training.learners import NoNumberError, OwnLearner, Supervised, stepper

ONE_BATCH = SimpleNamespace(task="generate-image", train=Train(steps=5))
META: Any = SimpleNamespace(device=torch.device("meta"), num_processes=1)


class Given:
    """A learner that gives the values of one step."""

    def __init__(self, model: nn.Module, **values: float) -> None:
        self.model, self.optimizers, self.values = model, {}, values

    def step(self, batch: Any, rate: float) -> dict[str, float]:
        assert self.model.training
        return self.values | {"rate": rate}


def test_a_learner_of_a_tasks_own_gets_the_model_where_batches_are():
    task: Any = SimpleNamespace(learner=lambda model: Given(model, loss=1.0), config=ONE_BATCH)
    taken = stepper(task, nn.Linear(2, 3), META)
    assert taken.bare.weight.device.type == "meta"
    assert isinstance(taken, OwnLearner)


def test_the_first_value_is_the_loss_and_all_are_logged():
    taken = OwnLearner(Given(nn.Linear(2, 3).eval(), one=4.0, two=5.0)).step([None], 0.5)
    assert (taken.loss, taken.decisions) == (4.0, 1.0)
    assert taken.values == {"one": 4.0, "two": 5.0, "rate": 0.5}


def test_a_value_that_is_no_number_ends_the_training():
    with pytest.raises(NoNumberError, match=r"one = 4\.0, two = nan"):
        OwnLearner(Given(nn.Linear(2, 3), one=4.0, two=float("nan"))).step([None], 0.5)


def test_it_trains_in_one_process():
    task: Any = SimpleNamespace(
        learner=lambda model: Given(model), config=SimpleNamespace(task="generate-image")
    )
    several: Any = SimpleNamespace(device=torch.device("cpu"), num_processes=2)
    with pytest.raises(UnsupportedError, match="generate-image must be trained in one process"):
        stepper(task, nn.Linear(2, 3), several)
    task.config = SimpleNamespace(task="control", train=Train(steps=5, accumulate=3))
    message = r"control must learn from one batch a step, got train\.accumulate = 3"
    with pytest.raises(UnsupportedError, match=message):
        stepper(task, nn.Linear(2, 3), META)


def test_what_is_compiled_is_one_loss_and_whole():
    own: Any = SimpleNamespace(
        learner=lambda model: Given(model),
        config=SimpleNamespace(task="control", train=Train(steps=5, compile=True)),
    )
    with pytest.raises(UnsupportedError, match=r"so train\.compile must be false, got true"):
        stepper(own, nn.Linear(2, 3), META)
    several: Any = SimpleNamespace(device=torch.device("cpu"), num_processes=2)
    spread: Any = Squares(strategy="fsdp", compile=True)
    with pytest.raises(UnsupportedError, match=r'compile must be false where train\.strategy = "f'):
        stepper(spread, nn.Linear(2, 3), several)


class Squares:
    """A task of one loss: squares summed up, of a network with dropout."""

    def __init__(self, **settings: Any) -> None:
        self.config = SimpleNamespace(train=Train(steps=5, precision="fp32", **settings))

    def learner(self, model: nn.Module) -> None:
        return None

    def loss(self, model: nn.Module, batch: torch.Tensor) -> tuple[torch.Tensor, int]:
        return model(batch).square().sum(), len(batch) * 2


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.LayerNorm(4), nn.Linear(4, 2))


@pytest.mark.parametrize("clip", [0.05, 1e9])
def test_a_step_is_that_of_adamw_bit_for_bit(clip):
    task: Any = Squares(clip=clip, weight_decay=0.3)
    taken = stepper(task, network(), Accelerator(cpu=True))
    assert isinstance(taken, Supervised)
    assert not taken.draws_anew
    mine = network()
    matrices = [x for x in mine.parameters() if x.dim() > 1]
    others = [x for x in mine.parameters() if x.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.3}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
        fused=True,
    )
    batches, rates = torch.randn(5, 7, 3), (0.1, 0.2, 0.05, 0.01, 0.3)
    clipped = False
    for seed, (batch, rate) in enumerate(zip(batches, rates, strict=True)):
        torch.manual_seed(seed)
        taken.bare.eval()
        told = taken.step([batch], rate)
        torch.manual_seed(seed)
        loss = mine.train()(batch).square().sum()
        (loss / 14).backward()
        clipped |= nn.utils.clip_grad_norm_(mine.parameters(), clip).item() > clip
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        assert (told.loss, told.decisions, told.values) == (loss.item(), 14, {})
        for found, want in zip(taken.bare.parameters(), mine.parameters(), strict=True):
            assert torch.equal(found, want)
    assert clipped == (clip < 1)


class Counted(nn.Module):
    """Stands for what averages gradients: it knows a module's forward pass, and no other method."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.within, self.passes = module, 0

    def forward(self, *given: Any) -> Any:
        self.passes += 1
        return self.within(*given)


def test_a_loss_may_call_any_method_of_a_model_within_one_forward_pass():
    class Model(nn.Linear):
        def squares(self, batch: torch.Tensor) -> torch.Tensor:
            return self(batch).square().sum() + self(-batch).square().sum()

    accelerator: Any = Accelerator(cpu=True)
    accelerator.prepare = lambda x: Counted(x) if isinstance(x, nn.Module) else x
    task: Any = Squares()
    task.loss = lambda model, batch: (model.squares(batch), len(batch))
    taken: Any = stepper(task, Model(3, 2), accelerator)
    batch = torch.randn(7, 3)
    assert taken.step([batch], 0.1).decisions == 7
    assert taken.model.passes == 1
    assert [*taken.bare.state_dict()] == ["weight", "bias"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_do_not_move_where_the_loss_is_no_number(bad):
    task: Any = Squares()
    taken = stepper(task, network(), Accelerator(cpu=True))
    taken.step([torch.randn(7, 3)], 0.1)
    before = [x.detach().clone() for x in taken.bare.parameters()]
    with pytest.raises(NoNumberError, match="with a gradient of norm"):
        taken.step([torch.full((7, 3), bad)], 0.1)
    assert all(map(torch.equal, before, taken.bare.parameters()))


def test_a_gradient_that_is_no_number_counts_too():
    task: Any = Squares()
    task.loss = lambda model, batch: ((model(batch) * 0).abs().sqrt().sum(), 1)  # 0, but 0 / 0
    taken = stepper(task, network(), Accelerator(cpu=True))
    before = [x.detach().clone() for x in taken.bare.parameters()]
    with pytest.raises(NoNumberError, match=r"0\.0 with a gradient of norm nan"):
        taken.step([torch.randn(7, 3)], 0.1)
    assert all(map(torch.equal, before, taken.bare.parameters()))


@pytest.mark.parametrize(
    "choose, message",
    [
        (lambda model: [nn.Linear(2, 2).weight, *model.parameters()], "got 1 others and 0 more"),
        (lambda model: [*model[0].parameters()], "got 0 others and 2 more than once"),
    ],
)
def test_a_learner_that_moves_what_no_checkpoint_holds_is_refused(choose, message):
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    given = Given(model, loss=1.0)
    names = ("one",) if "1 others" in message else ("one", "two")
    given.optimizers = {name: torch.optim.SGD(choose(model)) for name in names}
    with pytest.raises(UnsupportedError, match=message):
        OwnLearner(given)


def test_a_batch_without_decisions_ends_the_training():
    task: Any = Squares()
    task.loss = lambda model, batch: (model(batch).sum(), 0)
    with pytest.raises(NoNumberError, match=r"^-?inf with a gradient of norm"):
        stepper(task, network(), Accelerator(cpu=True)).step([torch.ones(7, 3)], 0.1)


@pytest.mark.parametrize("parts", [[7], [3, 4], [1, 4, 2]])
def test_some_batches_make_the_step_of_one_that_holds_them_all(parts):
    """Batches of unlike sizes: each decision counts as much as any other."""
    batch = torch.randn(7, 3, dtype=torch.float64)
    found = []
    for pieces in ([7], parts):
        taken = stepper(cast(Any, Squares()), network().double(), Accelerator(cpu=True))
        taken.bare[1] = nn.Identity()  # draws would differ
        told = taken.step([*batch.split(pieces)], 0.1)
        found.append((told.loss, *(x.detach() for x in taken.bare.parameters())))
        assert told.decisions == 14
    for one, other in zip(*found, strict=True):
        assert other == pytest.approx(one, rel=1e-12) or torch.allclose(other, one, rtol=1e-9)
