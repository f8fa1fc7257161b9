"""Image generation: a small image of a class, made from noise by a self-attention GAN."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field

from heedful.config.base import Count, Fraction, Positive, Rate, Section, TaskConfig, Width
from heedful.config.base import Train as AnyTrain
from heedful.config.hints import Choices, Fractions, Powers
from heedful.config.problems import unknown_choice
from heedful.data.examples import Splits
from heedful.data.image_attention import ImageAttention
from heedful.data.images import ImageReference
from heedful.data.load_images import (
    DigitsData,
    ImageData,
    load_images,
    problem_of,
    source_of,
)
from heedful.errors import DataError
from heedful.tasks.base import Rows, Task, device_of
from heedful.tasks.classification import check_labels
from heedful.tasks.generate_image.images import (
    LabelledImages,
    MadeImage,
    image_metrics,
    read_images,
)

if TYPE_CHECKING:
    from torch import nn

    from heedful.explaining.question import Question
    from heedful.models.image_evaluator import ImageEvaluator
    from heedful.models.sagan import ImageGan
    from heedful.tasks.generate_image.gan import Adversarial

ADVERSARIAL = {"discriminator_rate", "ema_decay", "weight_decay", "clip"}  # settings of the learner
Size = Annotated[Width, Fractions()]
Divisor = Annotated[Width, Powers(divide="width")]


class Model(Section):
    """`heedful.models.sagan.ImageGan`."""

    width: Size = 16  # channels at full size; doubled with every halving of the image
    latent: Size = 32  # numbers of noise for each image
    attention: Annotated[bool, Choices()] = True  # self-attention in generator and discriminator
    reduction: Divisor = 4  # how many times fewer numbers a query of it has


class Train(AnyTrain):
    """How long, how fast, how often. The first limit reached ends the training."""

    order = ("steps", "epochs", "minutes", "batch_size", "learning_rate", "discriminator_rate")
    batch_size: Count = 64
    learning_rate: Rate = 5e-4  # of the generator
    discriminator_rate: Positive = 2.0  # its learning rate, in those of the generator
    weight_decay: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    clip: Positive = 10.0  # largest gradient norm, of either network
    ema_decay: Fraction = 0.995  # share of the generator's moving average that stays in a step
    flip: bool = False  # mirror half of the training images
    classifier_steps: Count = 800  # of the classifier that evaluates images


class Config(TaskConfig):
    """One training, whole."""

    order = ("task", "seed", "output", "data", "model")
    task: Literal["generate-image"] = "generate-image"
    data: ImageData = DigitsData()
    model: Model = Model()
    train: Train = Train(minutes=2.0)


class GenerateImage(Task[ImageReference, MadeImage]):
    """An image of a class from noise, by a self-attention GAN.

    Args:
        config: Of the training.
        labels: The classes, in the order of their numbers.
        evaluator: What images are worth, learned from the training split.
    """

    config_class = Config
    example_class = ImageReference
    metrics = image_metrics()
    files = ("task/labels.json", "task/evaluator.safetensors")
    monitor = "frechet"
    unit = "images"
    verb = "make"

    def __init__(self, config: Config, labels: Sequence[str], evaluator: "ImageEvaluator") -> None:
        super().__init__(config)
        self.labels, self.evaluator = list(labels), evaluator

    @classmethod
    def read(cls, config: Config) -> Splits[ImageReference]:
        """Refer to all images; the dev split is taken out of the training images."""
        return check_labels(load_images(config.data, config.seed))

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is missing, or does not fit together."""
        model = config.model
        if model.attention and (model.width % model.reduction or model.width % 2):
            return (
                "model.width must be even and a multiple of model.reduction where there is "
                f"attention, got model.width = {model.width}, model.reduction = {model.reduction}"
            )
        if config.train.precision == "bf16":
            return 'train.precision must be "fp32" where two networks learn, got "bf16"'
        return problem_of(config.data)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[ImageReference]) -> Self:
        """Learn which classes there are, and what their images look like."""
        from heedful.models.image_evaluator import ImageEvaluator

        labels = sorted({each.label for each in examples}, key=_in_order)
        data = read_images(source_of(config.data), examples, labels)
        images, numbers, _ = data.batch(range(len(data)), "cpu")
        settings: dict[str, int] = {"seed": config.seed, "steps": config.train.classifier_steps}
        return cls(
            config, labels, ImageEvaluator.fit(images, numbers, classes=len(labels), **settings)
        )

    def save(self, folder: Path) -> None:
        """Write the classes and the evaluator."""
        from heedful.tasks.generate_image.gan import save_parts

        save_parts(folder, self.files, self.labels, self.evaluator)

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read the classes and the evaluator."""
        from heedful.tasks.generate_image.gan import load_parts

        return cls(config, *load_parts(folder, cls.files))

    def encode(
        self, examples: Sequence[ImageReference], *, training: bool = False
    ) -> LabelledImages:
        """Read the images; there is none where an example is but a class and a seed."""
        shape = (self.evaluator.size, self.evaluator.size, self.evaluator.channels)
        flip = self.config.train.flip and training
        return read_images(source_of(self.config.data), examples, self.labels, shape, flip=flip)

    def build(self) -> "ImageGan":
        """Make both networks, and the generator's average."""
        from heedful.models.sagan import ImageGan

        evaluator = self.evaluator
        sizes = {
            "classes": len(self.labels),
            "size": evaluator.size,
            "channels": evaluator.channels,
        }
        return ImageGan(**sizes, **self.config.model.model_dump())

    def learner(self, model: Any) -> "Adversarial":
        """Return what lets both networks take a step."""
        from heedful.tasks.generate_image.gan import Adversarial

        settings = self.config.train.model_dump(include=ADVERSARIAL)
        return Adversarial(model, **settings)

    def scores(self, model: "nn.Module", dev: Any) -> dict[str, float]:
        """Return what made images are worth beside those of the split."""
        made = self.answer(model, dev)
        return {each.name: each.score(each.statistics(made, made)) for each in self.metrics}

    def answer(self, model: Any, data: Any) -> list[MadeImage]:
        """Make an image for each example, and evaluator it beside the example's own."""
        import torch

        from heedful.tasks.generate_image.gan import make_images

        with torch.inference_mode():
            return make_images(model, self.evaluator, self.labels, data)

    def parse(self, text: str) -> ImageReference:
        """Take a class, or a class and the seed of its noise, such as `7:12`."""
        return _wanted(text, self.labels)

    def identity(self, example: ImageReference) -> Hashable:
        """Return the pixels of an image, wherever it is."""
        return example.hash

    def to_json(self, example: ImageReference, answer: MadeImage) -> dict[str, Any]:
        """Return pixels, and what is known of them."""
        return answer.plain()

    def question(self, model: Any, example: ImageReference, answer: MadeImage) -> "Question":
        """Ask which places of a smaller image, within the generator, four of the image rest on."""
        from heedful.tasks.generate_image.question import why_made

        return why_made(self, model, example, answer)

    def picture(self, model: Any, example: ImageReference, answer: MadeImage) -> ImageAttention:
        """Return the image, and where some of its places looked."""
        from heedful.tasks.generate_image.gan import attention_picture

        batch = self.encode([example]).batch([0], device_of(model))
        return attention_picture(model, batch, title=str(answer))

    def rows(self, model: Any, batch: Any) -> Rows:
        """Return all pixels of each image."""
        import torch

        from heedful.tasks.generate_image.gan import draw_noise

        _, labels, seeds = batch
        pixels = model(draw_noise(model, seeds), labels).flatten(1)
        example = torch.arange(len(labels), device=labels.device)
        return Rows(outputs=pixels, truth=None, example=example, kind="values")

    def work(self, model: Any, data: Any) -> "Callable[[nn.Module], object]":
        """Return a function that only makes images: judging them costs every model the same."""
        from heedful.tasks.generate_image.gan import Drawing

        return Drawing(model, data)


def _wanted(text: str, labels: Sequence[str]) -> ImageReference:
    """The class and the seed that a user typed."""
    label, colon, seed = text.strip().rpartition(":")
    if text.strip() in labels or not colon:
        label, seed = text.strip(), "0"
    if label not in labels:
        raise DataError(unknown_choice("class", labels, label))
    digits = seed.isascii() and seed.isdigit() and len(seed) < 20
    if not (digits and int(seed) < 2**63):
        raise DataError(f"seed must be a whole number below 2^63, got {seed!r:.60}")
    return ImageReference("", 0, label, seed=int(seed))


def _in_order(label: str) -> str:
    """Numbers by their size, and before words."""
    return label.zfill(9) if label.isdigit() else label
