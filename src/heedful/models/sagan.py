"""A self-attention GAN: small images of a class, made from noise."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu
from torch.nn.utils.parametrizations import spectral_norm

from heedful.errors import ConfigError
from heedful.nn.vision import Sagan

Image = Float[Tensor, "batch channels height width"]
Labels = Int[Tensor, " batch"]
Noise = Float[Tensor, "batch latent"]

SMALLEST = 4  # pixels a side from which a generator starts, or more
SLOPE = 0.1  # of the leaky ReLU of the discriminator

_Norm = Callable[[nn.Module], nn.Module]


class Generator(nn.Module):
    """Make an image of each class asked for, from noise, with values from -1 to 1.

    Noise and class become a small image, which transposed convolutions double until the size is
    reached; after each a batch normalisation with scales and shifts for every class. Self-attention
    stands where the image is doubled for the first time.

    Args:
        classes: Number of classes.
        size: Pixels of either side; halved for as long as that gives whole numbers from 4 on.
        channels: Of the images.
        width: Channels before the last convolution; doubled with every halving of the image.
        latent: Numbers of noise for each image.
        attention: Is there self-attention?
        reduction: How many times fewer numbers a query of it has; divides the channels there.
        normalized: Are the weights divided by their spectral norm, as is right while learning?

    Raises:
        ConfigError: `reduction` does not divide, or a size is below 1.

    Source:
        Zhang et al. 2019, arXiv:1805.08318: section 3 (self-attention), 4.1 (spectral normalisation
        in both networks), 5 (class-conditional batch normalisation). The convolutions are those of
        Radford et al. 2016, arXiv:1511.06434, not its residual blocks.
    """

    def __init__(
        self,
        *,
        classes: int,
        size: int,
        channels: int = 1,
        width: int = 16,
        latent: int = 32,
        attention: bool = True,
        reduction: int = 4,
        normalized: bool = True,
    ) -> None:
        super().__init__()
        _check_sizes(classes=classes, size=size, channels=channels, width=width, latent=latent)
        norm = spectral_norm if normalized else _as_it_is
        self.latent = latent
        self.start, steps = _smallest(size)
        widths = [width * 2 ** (steps - step) for step in range(steps + 1)]
        self.label = nn.Embedding(classes, latent)
        # no biases where a batch normalisation would take them away again
        self.first = norm(nn.Linear(2 * latent, widths[0] * self.start**2, bias=False))
        self.first_norm = ClassNorm(channels=widths[0], classes=classes)
        pairs = list(pairwise(widths))
        self.up = nn.ModuleList(
            norm(nn.ConvTranspose2d(*pair, 4, 2, 1, bias=False)) for pair in pairs
        )
        self.norms = nn.ModuleList(ClassNorm(channels=w, classes=classes) for _, w in pairs)
        self.attention = None
        if attention:
            self.attention = _attention(widths[min(1, steps)], reduction, norm)
        self.last = norm(nn.Conv2d(widths[-1], channels, 3, padding=1))
        self.inner_side = self.start * 2 ** min(1, steps)

    def inner(self) -> nn.Module:
        """Return what gets the first image that was doubled, `inner_side` places a side.

        Self-attention, or what comes next where there is none.
        """
        if self.attention is not None:
            return self.attention
        return self.up[1] if len(self.up) > 1 else self.last

    def forward(self, noise: Noise, labels: Labels) -> Image:
        """Make one image for each row of noise."""
        start = self.first(torch.cat([noise, self.label(labels)], 1))
        x = relu(self.first_norm(start.unflatten(1, (-1, self.start, self.start)), labels))
        x = self._double(x, labels, 0) if len(self.up) else x
        if self.attention is not None:
            x = self.attention(x)
        for step in range(1, len(self.up)):
            x = self._double(x, labels, step)
        return torch.tanh(self.last(x))

    def _double(
        self, x: Image, labels: Labels, step: int
    ) -> Float[Tensor, "batch fewer_channels twice_height twice_width"]:
        return relu(self.norms[step](self.up[step](x), labels))


class Discriminator(nn.Module):
    """Tell real images from made ones: above 0 is real.

    Strided convolutions halve the image, with self-attention before the last halving; the score is
    a projection on the vector of the class. Every weight is divided by its spectral norm.

    Args:
        classes: Number of classes.
        size: Pixels of either side.
        channels: Of the images.
        width: Channels after the first convolution; doubled with every halving.
        attention: Is there self-attention?
        reduction: How many times fewer numbers a query of it has; divides the channels there.

    Raises:
        ConfigError: `reduction` does not divide, or a size is below 1.

    Source:
        Miyato and Koyama 2018, arXiv:1802.05637, equation 3 (projection).
        Miyato et al. 2018, arXiv:1802.05957, section 2.1 (spectral normalisation).
    """

    def __init__(
        self,
        *,
        classes: int,
        size: int,
        channels: int = 1,
        width: int = 16,
        attention: bool = True,
        reduction: int = 4,
    ) -> None:
        super().__init__()
        _check_sizes(classes=classes, size=size, channels=channels, width=width)
        _, steps = _smallest(size)
        widths = [width * 2**step for step in range(steps + 1)]
        self.first = spectral_norm(nn.Conv2d(channels, width, 3, padding=1))
        pairs = pairwise(widths)
        self.down = nn.ModuleList(spectral_norm(nn.Conv2d(*pair, 4, 2, 1)) for pair in pairs)
        self.attention = None
        if attention:
            self.attention = _attention(widths[max(0, steps - 1)], reduction, spectral_norm)
        self.last = spectral_norm(nn.Conv2d(widths[-1], widths[-1], 3, padding=1))
        self.score = spectral_norm(nn.Linear(widths[-1], 1))
        self.label = spectral_norm(nn.Embedding(classes, widths[-1]))

    def forward(self, images: Image, labels: Labels) -> Float[Tensor, " batch"]:
        """Return a score for each image, given the class that it should show."""
        x = leaky_relu(self.first(images), SLOPE)
        for step, down in enumerate(self.down, start=1):
            if step == len(self.down):
                x = self._attend(x)
            x = leaky_relu(down(x), SLOPE)
        if not self.down:
            x = self._attend(x)
        x = leaky_relu(self.last(x), SLOPE).sum((2, 3))
        return self.score(x)[:, 0] + (self.label(labels) * x).sum(1)

    def _attend(self, x: Image) -> Image:
        return x if self.attention is None else self.attention(x)


class ImageGan(nn.Module):
    """A generator and the discriminator that teaches it, and the generator's moving average.

    The average is what makes images in the end. It holds weights already divided by their spectral
    norm, and takes no gradient.

    Args:
        classes: Number of classes.
        size: Pixels of either side.
        channels: Of the images.
        width: Channels of both networks at full size.
        latent: Numbers of noise for each image.
        attention: Is there self-attention in both?
        reduction: How many times fewer numbers a query of it has.

    Raises:
        ConfigError: `reduction` does not divide, or a size is below 1.
    """

    def __init__(
        self,
        *,
        classes: int,
        size: int,
        channels: int = 1,
        width: int = 16,
        latent: int = 32,
        attention: bool = True,
        reduction: int = 4,
    ) -> None:
        super().__init__()
        shared: dict[str, Any] = {
            "classes": classes,
            "size": size,
            "channels": channels,
            "width": width,
            "attention": attention,
            "reduction": reduction,
        }
        self.discriminator = Discriminator(**shared)
        self.generator = Generator(**shared, latent=latent)
        self.average = Generator(**shared, latent=latent, normalized=False)
        self.average.requires_grad_(False)
        self.update_average(0.0)

    def forward(self, noise: Noise, labels: Labels) -> Image:
        """Make images with the average of the generator."""
        return self.average(noise, labels)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average towards the generator: `average = decay average + (1 - decay) now`.

        Args:
            decay: The share that stays.
        """
        training = self.generator.training
        self.generator.eval()  # or reading a weight would take a step of its power iteration
        for name, tensor in self.average.state_dict().items():
            owner, _, attribute = name.rpartition(".")
            now = getattr(self.generator.get_submodule(owner), attribute)
            if tensor.is_floating_point():
                tensor.lerp_(now, 1.0 - decay)
            else:
                tensor.copy_(now)
        self.generator.train(training)

    def gammas(self) -> Iterator[tuple[str, float]]:
        """Yield how much self-attention adds in each network, by the network's name."""
        for name in ("generator", "discriminator"):
            attention = getattr(self, name).attention
            if attention is not None:
                yield name, attention.gamma.item()


class ClassNorm(nn.Module):
    """Batch normalisation with a scale and a shift for every class.

    Args:
        channels: Of the image.
        classes: Number of classes.

    Source:
        de Vries et al. 2017, arXiv:1707.00683, section 3 (conditional batch normalisation).
    """

    def __init__(self, *, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = (nn.Embedding(classes, channels) for _ in range(2))
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Image, labels: Labels) -> Image:
        """Normalise, then scale and shift as the class of each image has it."""
        scale, shift = self.scale(labels), self.shift(labels)
        return self.norm(x) * scale[:, :, None, None] + shift[:, :, None, None]


def _attention(channels: int, reduction: int, norm: _Norm) -> Sagan:
    """Self-attention with its four maps normalised."""
    block = Sagan(channels=channels, reduction=reduction)
    for name in ("query", "key", "value", "out"):
        setattr(block, name, norm(getattr(block, name)))
    return block


def _as_it_is(module: nn.Module) -> nn.Module:
    return module


def _smallest(size: int) -> tuple[int, int]:
    """The side from which doubling reaches `size`, and how often."""
    steps = 0
    while size % 2 == 0 and size // 2 >= SMALLEST:
        size, steps = size // 2, steps + 1
    return size, steps


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(f"{name} must be at least 1, got {size}")
