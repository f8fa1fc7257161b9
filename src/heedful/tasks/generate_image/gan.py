"""How a GAN learns, makes images, and what those are worth."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import relu

from heedful.allocation.weights import LARGEST, fill, parse_tensors, weights_of
from heedful.data.image_attention import AttentionMap, ImageAttention
from heedful.errors import RunError
from heedful.files import read_json, read_whole, write_bytes, write_json
from heedful.models.image_evaluator import ImageEvaluator
from heedful.models.sagan import ImageGan
from heedful.probing.probe import probe
from heedful.tasks.base import device_of
from heedful.tasks.generate_image.images import ImageScores, LabelledImages, MadeImage

BATCH = 250  # images made at once
ATTENTION = "average.attention"  # the site that is watched
BETAS = (0.0, 0.9)  # of Adam, in the paper's section 5


class Adversarial:
    """One step of the discriminator, then one of the generator, both on the hinge loss.

    Args:
        model: Both networks, and the average that follows the generator.
        discriminator_rate: Its learning rate, in those of the generator.
        ema_decay: The share of the moving average that stays in a step.
        weight_decay: Of both networks.
        clip: The largest gradient norm of either.

    Source:
        Zhang et al. 2019, arXiv:1805.08318, equation 4 (the losses) and section 4.2 (two learning
        rates).
    """

    def __init__(
        self,
        model: ImageGan,
        *,
        discriminator_rate: float,
        ema_decay: float,
        weight_decay: float,
        clip: float,
    ) -> None:
        self.model, self.ema_decay, self.clip = model, ema_decay, clip
        self.rates = {"discriminator": discriminator_rate, "generator": 1.0}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.AdamW(
                getattr(model, name).parameters(), betas=BETAS, weight_decay=weight_decay
            )
            for name in self.rates
        }

    def step(self, batch: tuple[Tensor, Tensor, Tensor], rate: float) -> dict[str, float]:
        """Learn from real images, and from as many made ones."""
        model = self.model
        real, labels, _ = batch
        wanted = labels[torch.randperm(len(labels)).to(labels.device)]
        with torch.no_grad():
            made = self._make(wanted)
        scores = model.discriminator(torch.cat([real, made]), torch.cat([labels, wanted]))
        true, false = scores.chunk(2)
        discriminator = relu(1 - true).mean() + relu(1 + false).mean()
        self._take("discriminator", discriminator, rate)
        generator = -model.discriminator(self._make(wanted), wanted).mean()
        self._take("generator", generator, rate)
        model.update_average(min(self.ema_decay, self._steps() / (self._steps() + 9)))
        losses = {"discriminator": discriminator.item(), "generator": generator.item()}
        return losses | {f"gamma_{name}": gamma for name, gamma in model.gammas()}

    def _steps(self) -> int:
        """How many steps were taken, which checkpoints keep: at first the average follows fast."""
        state = next(iter(self.optimizers["generator"].state.values()))
        return int(state["step"])

    def _make(self, labels: Tensor) -> Tensor:
        """Images from new noise, which is drawn on the CPU to be the same everywhere."""
        noise = torch.randn(len(labels), self.model.generator.latent)
        return self.model.generator(noise.to(labels.device), labels)

    def _take(self, name: str, loss: Tensor, rate: float) -> None:
        optimizer, parameters = self.optimizers[name], getattr(self.model, name).parameters()
        for group in optimizer.param_groups:
            group["lr"] = rate * self.rates[name]
        self.model.zero_grad()  # also what the generator's loss left in the discriminator
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, self.clip)
        optimizer.step()


def draw_noise(model: ImageGan, seeds: Tensor) -> Tensor:
    """Return noise for each seed, the same whatever stands beside it."""
    latent = model.average.latent
    rows = [
        torch.randn(latent, generator=torch.Generator().manual_seed(seed))
        for seed in seeds.tolist()
    ]
    return torch.stack(rows).to(device_of(model))


def make_images(
    model: ImageGan, evaluator: ImageEvaluator, names: list[str], data: LabelledImages
) -> list[MadeImage]:
    """Make an image for each example, and evaluator it and the example's own.

    Args:
        model: In evaluation mode.
        evaluator: Of the training.
        names: Of the classes.
        data: Classes and seeds, and the images that are there.
    """
    device = device_of(model)
    evaluator, made = evaluator.to(device), list[MadeImage]()
    for start in range(0, len(data), BATCH):
        rows = range(start, min(start + BATCH, len(data)))
        own, labels, seeds = data.batch(rows, device)
        drawn = model(draw_noise(model, seeds), labels)
        pixels = _to_bytes(drawn)
        seen = _score(evaluator, pixels / 127.5 - 1, names)  # what is delivered is judged
        originals = _score(evaluator, own, names)
        shown = pixels.permute(0, 2, 3, 1).cpu().numpy()
        for place, row in enumerate(rows):
            made.append(
                MadeImage(
                    pixels=shown[place],
                    label=names[int(labels[place])],
                    seed=int(seeds[place]),
                    scores=seen[place],
                    original=originals[place] if data.known[row] else None,
                )
            )
    return made


def _to_bytes(images: Tensor) -> Tensor:
    return ((images + 1) * 127.5).round().to(torch.uint8)


def _score(evaluator: ImageEvaluator, images: Tensor, names: list[str]) -> list[ImageScores]:
    features, labels, nearest = (each.cpu().tolist() for each in evaluator(images))
    return [
        ImageScores(predicted=names[label], features=tuple(found), nearest=distance)
        for found, label, distance in zip(features, labels, nearest, strict=True)
    ]


def attention_picture(
    model: ImageGan, batch: tuple[Tensor, Tensor, Tensor], *, title: str
) -> ImageAttention:
    """Make one image, and note where four of its places look meanwhile.

    Args:
        model: In evaluation mode.
        batch: Of one example.
        title: What the picture is of.
    """
    _, labels, seeds = batch
    noise = draw_noise(model, seeds)
    with torch.inference_mode():
        image = model(noise, labels)[0]
    maps: list[AttentionMap] = []
    if model.average.attention is not None:
        with torch.inference_mode(), probe(model, sites=ATTENTION) as heard:
            model(noise, labels)
        weights = heard.maps(ATTENTION)[0, 0]
        side = math.isqrt(len(weights))
        for row, column in itertools.product((side // 4, side - 1 - side // 4), repeat=2):
            cells = weights[row * side + column].view(side, side).float().cpu().numpy()
            maps.append(AttentionMap.of(cells, place=(row, column)))
    pixels = _to_bytes(image[None])[0].permute(1, 2, 0).cpu().numpy()
    return ImageAttention.of(pixels, maps, title=title)


class Drawing:
    """The work of making images alone, with noise that is drawn beforehand.

    Args:
        model: One of those that are to be compared.
        data: Classes and seeds.
    """

    def __init__(self, model: ImageGan, data: LabelledImages) -> None:
        self.batches: list[tuple[Tensor, Tensor]] = []
        for start in range(0, len(data), BATCH):
            rows = range(start, min(start + BATCH, len(data)))
            _, labels, seeds = data.batch(rows, device_of(model))
            self.batches.append((draw_noise(model, seeds), labels))

    @torch.inference_mode()
    def __call__(self, model: nn.Module) -> list[Tensor]:
        """Make the images."""
        return [model(*batch) for batch in self.batches]


def save_parts(
    folder: Path, files: Sequence[str], names: Sequence[str], evaluator: ImageEvaluator
) -> None:
    """Write the names of the classes, and the evaluator."""
    about = {
        "labels": [*names],
        "size": evaluator.size,
        "channels": evaluator.channels,
        "images": len(evaluator.thumbnails),
    }
    write_json(folder / files[0], about)
    write_bytes(folder / files[1], save(weights_of(evaluator)))


def load_parts(folder: Path, files: Sequence[str]) -> tuple[list[str], ImageEvaluator]:
    """Read the names of the classes, and the evaluator.

    Raises:
        RunError: They are damaged.
    """
    about = read_json(folder / files[0])
    try:
        names = _texts(about["labels"])
        sizes = {key: _count(about[key]) for key in ("size", "channels", "images")}
        evaluator = ImageEvaluator(classes=len(names), **sizes)
    except (KeyError, TypeError, ValueError, MemoryError, RuntimeError) as error:
        raise RunError(
            f"{folder / files[0]} must hold labels, size, channels and images, got: {error!r:.80}"
        ) from None
    path = folder / files[1]
    fill(evaluator, parse_tensors(read_whole(path, most=LARGEST), path), path)
    return names, evaluator.eval().requires_grad_(False)


def _texts(values: list[object]) -> list[str]:
    texts = [value for value in values if isinstance(value, str)]
    if not texts or len(set(texts)) < len(values):
        raise ValueError(f"{values!r:.40} are no labels")
    return texts


def _count(value: object) -> int:
    if type(value) is not int or not 0 < value < 1 << 40:
        raise ValueError(f"{value!r:.40} is no count")
    return value
