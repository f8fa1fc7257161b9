"""A compiled loss is the loss, with its gradients; what cannot be compiled says so in one line."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import heedful
from heedful.errors import DataError, TrainingError
from heedful.training.compiled import compiled_loss

# torch 2.13 imports a part of its own that it calls deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")


def squares(model: nn.Module, batch: torch.Tensor) -> tuple[torch.Tensor, int]:
    return model(batch).square().sum(), len(batch) * 2


def compiled(loss: Any) -> Any:
    task: Any = SimpleNamespace(loss=loss)
    return compiled_loss(task)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2))


def test_the_loss_and_its_gradients_are_what_they_were_for_batches_of_any_size():
    model, fast = network(), compiled(squares)
    for size in (7, 5, 1, 12):
        found = []
        batch = torch.randn(size, 3, generator=torch.Generator().manual_seed(size))
        for loss in (squares, fast):
            total, count = loss(model, batch)
            found.append((total, count, torch.autograd.grad(total, [*model.parameters()])))
        torch.testing.assert_close(found[1], found[0])
    calls = torch._dynamo.utils.counters["stats"]
    assert calls["unique_graphs"] >= 1  # so it was compiled


def test_what_torch_cannot_compile_ends_in_one_line():
    from torch._inductor.config import patch

    torch._dynamo.reset()
    with (
        patch("cpp.cxx", ("no-such-compiler",)),
        pytest.raises(TrainingError, match=r"\Atrain\.compile must be false .* got [^\n]+\Z"),
    ):
        compiled(squares)(network(), torch.randn(4, 3))
    torch._dynamo.reset()


def test_an_error_of_the_loss_stays_what_it_is():
    def broken(model: nn.Module, batch: torch.Tensor) -> tuple[torch.Tensor, int]:
        raise DataError("a batch must hold an example, got none")

    with pytest.raises(DataError, match="an example, got none"):
        compiled(broken)(nn.Identity(), torch.randn(4, 3))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # by the tracer
def test_a_translator_learns_the_same(digit_config, tmp_path):
    losses = []
    for compile in (False, True):
        config = digit_config(steps=4, evaluate_every=0.25, compile=compile)
        run = heedful.train(config.model_copy(update={"output": str(tmp_path / f"{compile}")}))
        lines = (run.folder / "metrics.jsonl").read_text().splitlines()
        losses.append([row["dev_loss"] for row in map(json.loads, lines) if "dev_loss" in row])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert len(losses[0]) == 4
