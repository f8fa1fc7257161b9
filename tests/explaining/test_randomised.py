"""Random models keep their numbers but not their places; maps of them are told from a map."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from heedful.errors import ConfigError
from heedful.explaining.integrated_gradients import integrated_gradients
from heedful.explaining.maps import Maps
from heedful.explaining.occlusion import occlusion
from heedful.explaining.randomised import randomised, resemblance
from heedful.nn import LowPrecisionLinear
from heedful.nn.compact import compact_weights
from heedful.testing.planted_evidence import plant_evidence


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 5)
        self.answer = nn.Linear(5, 7)
        self.answer.weight = self.embedding.weight
        self.register_buffer("counts", torch.arange(4))


def test_numbers_change_places_within_each_parameter():
    model = Tied()
    before = copy.deepcopy(model.state_dict())
    changed = randomised(model, seed=0)
    for name, old in before.items():
        new = changed.state_dict()[name]
        assert torch.equal(model.state_dict()[name], old)
        assert torch.equal(new.flatten().sort().values, old.flatten().sort().values)
        assert torch.equal(new, old) == (name == "counts")
    assert changed.answer.weight is changed.embedding.weight
    assert all(parameter.requires_grad for parameter in changed.parameters())


def test_the_seed_decides():
    model = Tied()
    first, again, other = (randomised(model, seed=seed).answer.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_weights_that_are_held_in_few_bits_change_places_too(precision):
    model = nn.Sequential(LowPrecisionLinear(5, 7, precision=precision)).eval()
    for name, held in compact_weights(model).items():
        model.get_submodule(name).take(*held.values())
    before = model[0].weight.detach().float()
    changed = randomised(model, seed=0)
    inputs = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(changed[0].weight.float(), before)
    assert not torch.equal(changed(inputs), model(inputs))
    assert torch.equal(changed[0].weight.flatten().sort()[0].float(), before.flatten().sort()[0])
    assert torch.equal(model[0].weight.float(), before)


def test_normalisation_blows_nothing_up():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 16, 3, bias=False), nn.BatchNorm1d(16), nn.Conv1d(16, 1, 3))
    with torch.no_grad():
        model[0].weight[:8] *= 1e-3  # features that hardly speak, and so are made louder
        inputs = torch.randn(64, 4, 20)
        for _ in range(200):
            model(inputs)
        model.eval()
        usual = model(inputs).std()
        found = [randomised(model, seed=seed)(inputs).std() for seed in range(5)]
    assert max(found) < 5 * usual


def test_a_map_of_its_model_is_unlike_maps_of_random_ones():
    found = []
    for seed in range(5):
        planted = plant_evidence(seed=seed)
        weights = integrated_gradients(planted.model, planted.question, steps=4).weights
        method = partial(integrated_gradients, steps=4)
        found.append(resemblance(planted.model, planted.question, method, weights, times=2))
    assert np.abs(found).max() < 0.5


def test_a_map_of_no_model_resembles_itself():
    planted = plant_evidence()
    order = np.arange(30.0)[None]
    assert resemblance(planted.model, planted.question, lambda *_: Maps(order), order) == 1
    nothing = np.full((1, 30), 0.5)
    assert resemblance(planted.model, planted.question, lambda *_: Maps(nothing), nothing) == 1
    assert resemblance(planted.model, planted.question, lambda *_: Maps(nothing), order) == 0


def test_it_is_the_mean_over_targets_and_models(sums):
    asked = sums(range(6), targets=2)
    given = iter([[[1, 2, 3], [3, 2, 1]], [[1, 1, 1], [1, 2, 3]], [[3, 2, 1], [1, 2, 3]]])
    weights = np.array([[1.0, 2.0, 3.0]] * 2)
    found = resemblance(
        asked.model, asked.question, lambda *_: Maps(np.array(next(given), float)), weights, times=3
    )
    assert found == pytest.approx((1 - 1 + 0 + 1 - 1 + 1) / 6)


def test_the_method_is_asked_of_other_models_each_time(sums):
    asked = sums(range(6), targets=2)
    maps = []

    def method(model, question):
        assert model is not asked.model
        maps.append(occlusion(model, question))
        return maps[-1]

    resemblance(asked.model, asked.question, method, asked.worth, times=3)
    assert len({found.weights.tobytes() for found in maps}) == 3


def test_rejects_no_models(sums):
    asked = sums(range(6), targets=2)
    with pytest.raises(ConfigError, match="times must be at least 1, got 0"):
        resemblance(asked.model, asked.question, occlusion, asked.worth, times=0)
