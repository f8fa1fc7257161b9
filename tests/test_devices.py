"""A model is where its parameters are."""

import torch

from heedful.devices import device_of


def test_a_model_is_where_its_parameters_are():
    assert device_of(torch.nn.Linear(2, 3, device="meta")).type == "meta"


def test_a_model_without_parameters_is_on_the_cpu():
    assert device_of(torch.nn.Identity()) == torch.device("cpu")
