"""The networks of the self-attention GAN: shapes, classes, spectral norms, moving average."""

import re

import pytest
import torch

from heedful.errors import ConfigError
from heedful.models.sagan import Discriminator, Generator, ImageGan


def made(size=8, *, channels=3, attention=True, classes=5):
    torch.manual_seed(0)
    return ImageGan(
        classes=classes,
        size=size,
        channels=channels,
        width=8,
        latent=6,
        attention=attention,
        reduction=2,
    )


def noise(rows=4, latent=6):
    labels = torch.arange(rows) % 5
    return torch.randn(rows, latent, generator=torch.Generator().manual_seed(1)), labels


@pytest.mark.parametrize("size, start", [(8, 4), (28, 7), (5, 5), (32, 4), (6, 6), (18, 9)])
def test_every_size_is_reached(size, start):
    model = made(size)
    images = model(*noise())
    assert images.shape == (4, 3, size, size)
    assert images.abs().max() <= 1
    assert model.generator.start == start
    assert model.discriminator(images, noise()[1]).shape == (4,)


@pytest.mark.parametrize("size", [5, 8, 28])
def test_attention_can_be_left_out(size):
    model = made(size, attention=False)
    assert not [name for name, _ in model.named_modules() if "attention" in name]
    assert list(model.gammas()) == []
    assert model(*noise()).shape == (4, 3, size, size)


@pytest.mark.parametrize("size", [5, 8, 28])
def test_self_attention_counts_in_both_networks(size):
    model = made(size).eval()
    z, labels = noise()
    images = model(z, labels)
    scores = model.discriminator(images, labels)
    for network in (model.average, model.discriminator):
        torch.nn.init.ones_(network.attention.gamma)
    assert not torch.allclose(model(z, labels), images)
    assert not torch.allclose(model.discriminator(images, labels), scores)
    assert dict(model.gammas()) == {"generator": 0.0, "discriminator": 1.0}


def test_class_and_noise_decide_the_image():
    model = made()
    for name, table in model.average.named_modules():
        if name.endswith("scale"):
            torch.nn.init.normal_(table.weight)
    model.eval()
    z, labels = noise()
    images = model(z, labels)
    assert not torch.allclose(model(z, (labels + 1) % 5), images)
    assert not torch.allclose(model(z.flip(0), labels), images)
    torch.testing.assert_close(model(z[1:2], labels[1:2]), images[1:2])  # alone as among others


def test_the_class_changes_the_score():
    model = made().eval()
    z, labels = noise()
    images = model(z, labels)
    scores = [model.discriminator(images, torch.full((4,), label)) for label in range(5)]
    assert all(not torch.allclose(scores[0], other) for other in scores[1:])


def test_spectral_norms_are_one_while_learning():
    model = made()
    for _ in range(50):  # each a step of the power iteration
        model.discriminator(model.generator(*noise()), noise()[1])
    model.eval()
    for network in (model.generator, model.discriminator):
        weights = {
            name: module.weight
            for name, module in network.named_modules()
            if hasattr(module, "parametrizations")
        }
        assert {"attention.query", "attention.out", "first", "last"} <= weights.keys()
        for name, weight in weights.items():
            first = 1 if isinstance(network.get_submodule(name), torch.nn.ConvTranspose2d) else 0
            matrix = weight.movedim(first, 0).flatten(1)
            assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, rel=0.05), name


def test_the_average_follows_the_generator():
    model = made()
    start = {name: tensor.clone() for name, tensor in model.average.state_dict().items()}
    model.generator(*noise())  # in training mode it changes statistics and power iterations
    kept = {name: tensor.clone() for name, tensor in model.generator.state_dict().items()}
    model.update_average(0.75)
    assert model.generator.training
    assert all(torch.equal(kept[name], now) for name, now in model.generator.state_dict().items())
    model.generator.eval()
    for name, before in start.items():
        owner, _, attribute = name.rpartition(".")
        now = getattr(model.generator.get_submodule(owner), attribute)
        want = 0.75 * before + 0.25 * now if before.is_floating_point() else now
        torch.testing.assert_close(model.average.state_dict()[name], want)
    model.update_average(0.0)
    model.eval()
    torch.testing.assert_close(model(*noise()), model.generator(*noise()))


def test_only_generator_and_discriminator_learn():
    model = made()
    learning = {name.partition(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"generator", "discriminator"}
    assert not [name for name, _ in model.average.named_parameters() if "parametrizations" in name]


@pytest.mark.parametrize("network", [Generator, Discriminator])
@pytest.mark.parametrize("name", ["classes", "size", "channels", "width"])
def test_sizes_below_one_are_refused(network, name):
    sizes = {"classes": 2, "size": 8, "channels": 1, "width": 8} | {name: 0}
    with pytest.raises(ConfigError, match=f"{name} must be at least 1, got 0"):
        network(**sizes)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="latent must be at least 1, got -2"):
        Generator(classes=2, size=8, latent=-2)
    want = "reduction must be at least 1 and divide channels, got reduction=3, channels=16"
    with pytest.raises(ConfigError, match=re.escape(want)):
        ImageGan(classes=2, size=8, reduction=3)
