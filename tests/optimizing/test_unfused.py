"""A model that says something else once its sites can be changed is said to, with the number."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from heedful.allocation.plan import unfused
from heedful.optimizing.optimize import optimize
from heedful.optimizing.unfused import unfused_divergence, why_unfused_differs
from heedful.profiling.profile import profile


class Louder(nn.TransformerEncoderLayer):
    """What torch's fused layer passes over, as it does over adapters inside it."""

    def _sa_block(self, x, *rest, **given):
        return 9 * super()._sa_block(x, *rest, **given)


def louder(kit):
    model = kit.planted(kit.Layers)
    for layer in model.encoder.layers:
        layer.__class__ = Louder
    return model


def test_what_computes_the_same_is_no_news(kit):
    for kind in (kit.Tiny, kit.Layers):
        problem = kit.problem(kit.planted(kind))
        distance = unfused_divergence(problem, unfused(problem.model))
        assert distance == pytest.approx(0, abs=1e-6)
        assert why_unfused_differs(problem, distance) is None


def test_what_torch_passes_over_is_told_with_the_number(kit):
    problem = kit.problem(louder(kit))
    apart = unfused(problem.model)
    distance = unfused_divergence(problem, apart)
    assert distance > 0.01
    with torch.no_grad():
        batches = problem.calibration
        teacher, student = (
            torch.cat([problem.outputs(model, x) for x in batches]).double().log_softmax(-1)
            for model in (problem.model, apart)
        )
    want = (teacher.exp() * (teacher - student)).sum(-1).mean().item()
    assert distance == pytest.approx(want, rel=1e-3)
    assert f"differs from the model by {distance:.2g} nats" in why_unfused_differs(
        problem, distance
    )
    values = replace(problem, kind="values")
    assert "by 0.5 of the variance" in why_unfused_differs(values, 0.5)
    assert "by no number that can be told" in why_unfused_differs(values, float("nan"))


def test_profile_says_it(kit):
    model, said = louder(kit), []
    profile(model, [kit.rows(16)], outputs="logits", leave_out=0, on_progress=said.append)
    assert any("differs from the model by" in line for line in said)


@pytest.mark.usefixtures("timed")
def test_optimize_says_it_and_compares_with_the_model_itself(kit):
    model, said = louder(kit), []
    outcome = optimize(
        model,
        data=kit.splits(),
        quality=kit.agreement(model),
        lose=1,
        settings=kit.quick(rounds=1, trials=2, finals=0),
        spec=kit.ModelSpec(outputs="logits"),
        on_event=said.append,
    )
    assert any("differs from the model by" in getattr(event, "text", "") for event in said)
    assert outcome.report["taken_apart"] > 0.01
    assert outcome.report["quality"]["before"] == 1
