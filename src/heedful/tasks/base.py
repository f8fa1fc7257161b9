"""What a task says; the loop, run folders, evaluate, predict, optimize, tune are written once.

A task is one file. It says how files become examples, examples become batches, and what is learned
from them; everything else has a default here. Nothing here loads torch: `heedful new` and a config
that is wrong should not wait for it.
"""

import abc
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast

from heedful.config.base import Section, TaskConfig, located
from heedful.data.alignment import Alignment
from heedful.data.batches import size_batches
from heedful.data.examples import Splits
from heedful.data.image_attention import ImageAttention
from heedful.devices import device_of
from heedful.errors import UnsupportedError
from heedful.metrics.metric import Metric
from heedful.tasks.parts import Batch, Dataset, Learner, Rows

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

Example = TypeVar("Example")
Answer = TypeVar("Answer")
Picture = Alignment | ImageAttention  # plain data that `report` draws


class Task(abc.ABC, Generic[Example, Answer]):
    """One kind of training.

    Args:
        config: Of the training.

    Attributes:
        config_class: The sections of its config, with `task: Literal["its-name"] = "its-name"`.
        example_class: A frozen dataclass of texts and numbers: so a run keeps held-out examples.
            Images and sounds are kept by reference and hash.
        metrics: What `evaluate` reports, and budgets can be about.
        files: What `save` writes, relative to the run folder.
        monitor: The dev score that chooses the best checkpoint. Lower is better, unless it has the
            name of a metric where higher is.
        unit: What throughput is counted in.
        inference: Sections of the config that only change how answers are made: `--set` may change
            them for `evaluate` and `predict`.
        remarks: Words for what `remark` counts.
        takes: What an input is that comes over HTTP: `text`, `sequence`, `image`, `sound`, `video`,
            `rows`. A task whose `parse` opens the file that a text names must not say `text`:
            whoever asks could read files of the server.
    """

    config_class: ClassVar[type[TaskConfig]]
    example_class: ClassVar[type]
    metrics: ClassVar[tuple[Metric, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()
    monitor: ClassVar[str] = "dev_loss"
    unit: ClassVar[str] = "examples"
    inference: ClassVar[tuple[str, ...]] = ()
    remarks: ClassVar[Mapping[str, str]] = {}
    takes: ClassVar[tuple[str, ...]] = ("text",)

    def __init__(self, config: Any) -> None:
        self.config = config

    # ---- what every task says -------------------------------------------------------------------

    @classmethod
    @abc.abstractmethod
    def read(cls, config: Any) -> Splits[Example]:
        """Read or make the examples; a bad one is refused with its file and line, never skipped."""

    @abc.abstractmethod
    def encode(self, examples: Sequence[Example], *, training: bool = False) -> Dataset:
        """Make examples ready. For training, those that are too long may be left out."""

    @abc.abstractmethod
    def build(self) -> "nn.Module":
        """Make the network, with fresh weights."""

    @abc.abstractmethod
    def answer(self, model: "nn.Module", data: Dataset) -> list[Answer]:
        """Answer every example: the one inference behind predict, evaluate and what is timed."""

    @abc.abstractmethod
    def parse(self, text: str) -> Example:
        """Turn what a user types into an example whose truth is not known."""

    # ---- with one loss, or with a learner and scores ---------------------------------------------

    def loss(self, model: "nn.Module", batch: Batch) -> "tuple[Tensor, int]":
        """Return the loss summed over decisions, and how many those are."""
        raise NotImplementedError(f"{type(self).__name__} must have a loss or a learner")

    def learner(self, model: "nn.Module") -> Learner | None:
        """Return what takes a training step; `None` means AdamW on the mean of `loss`."""
        return None

    def proceed(self, model: "nn.Module", done: float) -> None:
        """Tell a model before each step which share of its training is done; by default nothing."""

    def scores(self, model: "nn.Module", dev: Dataset) -> dict[str, float]:
        """Measure the dev split while training; `monitor` is one of the scores."""
        total, count = 0.0, 0
        device = device_of(model)
        for rows in size_batches(dev.sizes, most=self.batch_limit, seed=0, epoch=0):
            loss, decisions = self.loss(model, dev.batch(rows, device))
            total, count = total + loss.item(), count + decisions
        return {"dev_loss": total / count}

    # ---- with defaults --------------------------------------------------------------------------

    @classmethod
    def fit(cls, config: Any, examples: Sequence[Example]) -> Self:
        """Learn vocabularies, labels, scales from the training split; by default nothing."""
        return cls(config)

    def save(self, folder: Path) -> None:
        """Write `files` into a run folder; their own folders are there."""
        if self.files:
            raise NotImplementedError(f"{type(self).__name__} must save {', '.join(self.files)}")

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        """Read `files` from a run folder; they are what was written."""
        if cls.files:
            raise NotImplementedError(f"{cls.__name__} must load {', '.join(cls.files)}")
        return cls(config)

    @classmethod
    def read_training(cls, config: Any) -> list[Example]:
        """Read or make the training split alone; files of the others may be gone."""
        return cls.read(config).train

    @classmethod
    def read_file(cls, config: Any, path: Path | str) -> list[Example]:
        """Read one file of examples, to judge with in place of the test split.

        Raises:
            UnsupportedError: The task does not say how.
        """
        raise UnsupportedError(
            f"the task must say how one file of examples is read, got {config.task}, which does not"
        )

    @classmethod
    def located(cls, config: Any) -> Any:
        """Return the config with absolute paths in its `data` section."""
        data = getattr(config, "data", None)
        if not isinstance(data, Section):
            return config
        return config.model_copy(update={"data": located(data)})

    @classmethod
    def problem(cls, config: Any) -> str | None:
        """Say what is wrong with settings that no schema can tell, or `None`."""
        return None

    @property
    def batch_limit(self) -> int:
        """Largest room of a batch: of its padded sizes, summed up."""
        return self.config.train.batch_size

    def identity(self, example: Example) -> Hashable:
        """Return what two examples share that are the same one."""
        return cast(Hashable, example)

    def right_answers(self, example: Example) -> frozenset[Hashable]:
        """Return the answers of which each is right to an example, and no other one is.

        By default its label. Empty where nobody knows any, or where others may be right as well: a
        text has many good translations.
        """
        label: Hashable = getattr(example, "label", None)
        return frozenset() if label in (None, "") else frozenset([label])

    def kind(self, example: Example) -> str:
        """Return what sort of example this is, for scores by kind; empty where there are none."""
        return ""

    def show(self, answer: Answer) -> str:
        """Return an answer as one line."""
        return str(answer)

    def to_json(self, example: Example, answer: Answer) -> dict[str, Any]:
        """Return an answer as plain data."""
        plain = asdict(answer) if is_dataclass(answer) else {"answer": answer}  # type: ignore[call-overload]
        return cast(dict[str, Any], plain)

    def blank(self, text: str) -> dict[str, Any]:
        """Return what stands for the answer to a blank line, as plain data."""
        return {"input": text, "answer": None}

    def warnings(self, example: Example, answer: Answer) -> list[str]:
        """Say what a user should know about an answer."""
        return []

    def remark(self, data: Dataset, answers: Sequence[Answer]) -> dict[str, int]:
        """Count what is remarkable about answers, under the names of `remarks`."""
        return {}

    def amount(self, answers: Sequence[Answer]) -> int:
        """Return how much was answered, in `unit`."""
        return len(answers)

    def details(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return what else a report of these examples should say: how was measured and searched."""
        return {}

    def picture(self, model: "nn.Module", example: Example, answer: Answer) -> Picture | None:
        """Return where the model looked for an answer, as `report` draws it."""
        return None

    def question(self, model: "nn.Module", example: Example, answer: Answer) -> "Question":
        """Return what `explain` may ask about an answer: pieces of the input, how to remove some.

        Raises:
            UnsupportedError: The task does not say it.
        """
        name = self.config.task
        raise UnsupportedError(
            "the task must say what its inputs are made of to be explained, "
            f"got {name}, which does not"
        )

    def rows(self, model: "nn.Module", batch: Batch) -> Rows:
        """Return what the model says to a batch, for `optimize` to imitate.

        Raises:
            UnsupportedError: The task does not say it.
        """
        name = self.config.task
        raise UnsupportedError(
            f"the task must say what its model decides row by row to be optimised, got {name}, "
            "which does not"
        )

    def truth(self, batch: Batch) -> "Tensor | None":
        """Return the truth of `rows` without asking a model; `None` means `rows` must be asked."""
        return None

    def work(self, model: "nn.Module", data: Dataset) -> "Callable[[nn.Module], object]":
        """Return work that is the same for every model, made with the original: what is timed."""
        return lambda candidate: self.answer(candidate, data)

    # ---- what follows ---------------------------------------------------------------------------

    @classmethod
    def metric(cls, name: str) -> Metric | None:
        """Return the metric of this name."""
        return next((metric for metric in cls.metrics if metric.name == name), None)

    @classmethod
    def monitor_is_better_higher(cls) -> bool:
        """Say whether a larger dev score chooses the checkpoint."""
        metric = cls.metric(cls.monitor)
        return metric is not None and metric.higher_is_better
