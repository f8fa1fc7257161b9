"""A U-Net gives every pixel logits, whatever the size; gates and self-attention can be left out."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.unet import UNet


def made(**settings):
    torch.manual_seed(0)
    return UNet(**{"channels": 3, "classes": 2, "width": 4, "halvings": 2, "heads": 2, **settings})


def images(height=8, width=8, rows=2):
    return torch.randn(rows, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(8, 8), (12, 20), (9, 14), (3, 5), (1, 1)])
def test_every_size_is_labelled(size):
    assert made(classes=5)(images(*size)).shape == (2, 5, *size)


def test_images_do_not_depend_on_their_company():
    model, x = made(), images()
    torch.testing.assert_close(model(x)[:1], model(x[:1]))


@pytest.mark.parametrize("settings", [{"gates": False}, {"attention_layers": 0}])
def test_attention_can_be_left_out_and_counts_where_it_is(settings):
    whole, less, x = made(), made(**settings), images()
    kept = {
        name: weight for name, weight in whole.state_dict().items() if name in less.state_dict()
    }
    less.load_state_dict(kept)
    assert len(kept) < len(whole.state_dict())
    assert not torch.allclose(whole(x), less(x))


def test_with_self_attention_a_corner_sees_the_other():
    x, far = images(64, 64), images(64, 64)
    far[:, :, -4:, -4:] += 5.0
    norms = torch.nn.GroupNorm
    for layers, sees in ((0, False), (1, True)):
        model = made(attention_layers=layers)
        for module in list(model.modules()):  # they too would tell the corner
            for name, child in module.named_children():
                if isinstance(child, norms):
                    setattr(module, name, torch.nn.Identity())
        moved = (model(far) - model(x))[:, :, :4, :4].abs().max() > 1e-6
        assert moved == sees


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"channels": 0}, "channels must be at least 1, got 0"),
        ({"classes": 0}, "classes must be at least 1, got 0"),
        ({"halvings": 0}, "halvings must be at least 1, got 0"),
        ({"width": 6}, "width must be a multiple of 4, got 6"),
        ({"width": 0}, "width must be a multiple of 4, got 0"),
        ({"heads": 5}, "heads must divide width, got heads=5, width=16"),
    ],
)
def test_refuses_sizes_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        made(**settings)
