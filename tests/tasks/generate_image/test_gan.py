"""How a GAN learns: each network its own loss, and what is kept; and how made images are judged."""

import json

import numpy as np
import pytest
import torch

from heedful.errors import RunError
from heedful.models.image_evaluator import ImageEvaluator
from heedful.models.sagan import ImageGan
from heedful.tasks.generate_image.gan import (
    Adversarial,
    Drawing,
    attention_picture,
    draw_noise,
    load_parts,
    make_images,
    save_parts,
)
from heedful.tasks.generate_image.images import LabelledImages

NAMES = ["a", "b", "c"]
FILES = ("labels.json", "evaluator.safetensors")


def networks(*, attention=True):
    torch.manual_seed(0)
    sizes = {"classes": 3, "size": 8, "width": 4, "latent": 5, "reduction": 2}
    return ImageGan(**sizes, attention=attention)


def learner(model, **settings):
    return Adversarial(
        model,
        **{"discriminator_rate": 2.0, "ema_decay": 0.9, "weight_decay": 0.0, "clip": 10.0}
        | settings,
    )


def images(count=7):
    draw = np.random.default_rng(1)
    return LabelledImages(
        pixels=draw.integers(0, 256, (count, 8, 8, 1), np.uint8),
        labels=np.arange(count) % 3,
        seeds=np.arange(count) + 40,
        known=np.arange(count) > 0,
        flip=False,
    )


@pytest.fixture(scope="module")
def evaluator():
    known, labels, _ = images(30).batch(range(30), "cpu")
    return ImageEvaluator.fit(known, labels, classes=3, seed=0, steps=5)


def test_a_step_is_one_of_each_network_on_the_hinge_loss():
    model, plain = networks(), networks()
    batch = images().batch(range(7), "cpu")
    torch.manual_seed(5)
    values = learner(model, clip=1e9).step(batch, 1e-3)

    torch.manual_seed(5)  # the same step in plain words
    real, labels, _ = batch
    wanted = labels[torch.randperm(7)]
    optimizers = {
        name: torch.optim.AdamW(
            getattr(plain, name).parameters(), rate, betas=(0.0, 0.9), weight_decay=0.0
        )
        for name, rate in (("discriminator", 2e-3), ("generator", 1e-3))
    }
    with torch.no_grad():
        made = plain.generator(torch.randn(7, 5), wanted)
    scores = plain.discriminator(torch.cat([real, made]), torch.cat([labels, wanted]))
    loss = (1 - scores[:7]).clamp(min=0).mean() + (1 + scores[7:]).clamp(min=0).mean()
    loss.backward()
    optimizers["discriminator"].step()
    generated = -plain.discriminator(plain.generator(torch.randn(7, 5), wanted), wanted).mean()
    generated.backward()
    optimizers["generator"].step()
    plain.update_average(0.1)  # at first it follows fast

    assert values["discriminator"] == pytest.approx(loss.item())
    assert values["generator"] == pytest.approx(generated.item())
    assert values["gamma_generator"] == model.generator.attention.gamma.item() != 0
    for (name, one), other in zip(
        model.state_dict().items(), plain.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, msg=name)


def test_the_average_slows_down():
    model, decays = networks(), []
    model.update_average = decays.append
    steps = learner(model, ema_decay=0.25)
    for _ in range(5):
        steps.step(images(2).batch(range(2), "cpu"), 1e-3)
    assert decays == [1 / 10, 2 / 11, 3 / 12, 0.25, 0.25]


def test_gradients_are_clipped():
    model = networks()
    before = model.generator.first.parametrizations.weight.original.detach().clone()
    learner(model, clip=1e-30).step(images().batch(range(7), "cpu"), 1e-3)  # far below Adam's eps
    moved = model.generator.first.parametrizations.weight.original - before
    assert moved.abs().max() < 1e-12


def test_images_are_judged_as_they_are_delivered(evaluator):
    model, data = networks().eval(), images()
    made = make_images(model, evaluator, NAMES, data)
    assert [each.label for each in made] == ["a", "b", "c", "a", "b", "c", "a"]
    assert [each.seed for each in made] == [*range(40, 47)]
    assert [each.original is None for each in made] == [True] + [False] * 6
    drawn = model(draw_noise(model, torch.arange(40, 47)), torch.arange(7) % 3)
    pixels = ((drawn + 1) * 127.5).round()
    seen, own = evaluator(pixels / 127.5 - 1), evaluator(data.batch(range(7), "cpu")[0])
    for row, each in enumerate(made):
        assert np.array_equal(each.pixels, pixels[row].permute(1, 2, 0).detach().numpy())
        assert each.scores.predicted == NAMES[seen.predicted[row]]
        assert each.scores.features == pytest.approx(seen.features[row].tolist(), abs=1e-5)
        assert each.scores.nearest == pytest.approx(seen.nearest[row].item())
        if each.original is not None:
            assert each.original.nearest == pytest.approx(own.nearest[row].item())
    torch.testing.assert_close(Drawing(model, data)(model)[0], drawn)


@pytest.mark.parametrize("attention, maps", [(True, 4), (False, 0)])
def test_four_places_show_where_they_looked(evaluator, attention, maps):
    model, data = networks(attention=attention).eval(), images()
    picture = attention_picture(model, data.batch([3], "cpu"), title="mine")
    assert np.array_equal(picture.pixels, make_images(model, evaluator, NAMES, data)[3].pixels)
    assert picture.title == "mine"
    places = [(each.row, each.column) for each in picture.maps]
    assert places == [(2, 2), (2, 5), (5, 2), (5, 5)][:maps]
    for each in picture.maps:
        assert np.shape(each.weights) == (8, 8)
        assert np.sum(each.weights) == pytest.approx(1)


def test_what_is_kept_is_what_was_learned(evaluator, tmp_path):
    save_parts(tmp_path, FILES, NAMES, evaluator)
    names, again = load_parts(tmp_path, FILES)
    assert names == NAMES
    assert not again.training
    for one, other in zip(
        evaluator.state_dict().values(), again.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "damage",
    [
        *({"size": "x"}, {"images": -3}, {"labels": 4}, {"size": None}, {"size": float("inf")}),
        *({"images": 1 << 39}, {"labels": [1, 2, 3]}, {"labels": ["a", "a", "b"]}, {"labels": []}),
    ],
)
def test_a_damaged_file_is_refused(evaluator, tmp_path, damage):
    save_parts(tmp_path, FILES, NAMES, evaluator)
    about = json.loads((tmp_path / FILES[0]).read_text())
    (tmp_path / FILES[0]).write_text(json.dumps(about | damage))
    with pytest.raises(RunError, match=r"labels.json must hold labels, size, channels and images"):
        load_parts(tmp_path, FILES)


def test_the_numbers_of_another_judge_are_refused(evaluator, tmp_path):
    save_parts(tmp_path, FILES, NAMES, evaluator)
    save_parts(tmp_path, FILES, [*NAMES, "d"], evaluator)
    with pytest.raises(RunError, match=r"evaluator.safetensors must fit the model"):
        load_parts(tmp_path, FILES)
