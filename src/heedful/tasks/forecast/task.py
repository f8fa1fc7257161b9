"""Forecasting: what follows the last rows of a table, by a Transformer over patches."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from heedful.data.alignment import Alignment
from heedful.data.examples import Splits
from heedful.errors import DataError, RunError
from heedful.files import read_whole, write_json
from heedful.metrics.metric import Metric, SumMetric
from heedful.metrics.regression import mean_absolute_error, mean_squared_error
from heedful.tasks.base import Rows, Task, device_of
from heedful.tasks.forecast.config import Config, PatchModel, problem
from heedful.tasks.forecast.windows import (
    Numbers,
    Scale,
    Window,
    all_windows,
    next_window,
    open_series,
    read_windows,
)
from heedful.texts import parse_json_as

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question

LARGEST = 1 << 26  # bytes of scales
ANSWERED = 256  # windows at a time


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What follows a window.

    Args:
        times: Of each row that is forecast.
        columns: Their names.
        values: `(horizon, columns)`, as in the table.
        scaled: The same without the mean of training rows, in their deviations.
        truth: What came instead, scaled; `None` where nobody knows.
    """

    times: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]
    scaled: NDArray[np.float32]
    truth: NDArray[np.float32] | None

    def __str__(self) -> str:
        """Return the first and the last row; JSON has all."""
        lines = [
            f"{time} " + " ".join(f"{n}={v:.4g}" for n, v in zip(self.columns, row, strict=True))
            for time, row in zip(self.times, self.values, strict=True)
        ]
        return "\t".join(lines[:1] + lines[1:][-1:])


def _errors(metric: SumMetric) -> Metric:
    """A metric of what forecasts themselves hold: examples only say where it is."""

    def of(answers: Sequence[Any], examples: Sequence[Any]) -> Any:
        if any(answer.truth is None for answer in answers):
            raise DataError("every window to judge with must have a known future, got one without")
        return metric.statistics(answers, answers)

    return SumMetric(name=metric.name, of=of, higher_is_better=False)


SIDES: dict[str, Any] = {"answer": attrgetter("scaled"), "truth": attrgetter("truth")}


class ForecastTask(Task[Window, Forecast]):
    """The next rows of a table.

    Errors are measured on scaled numbers, so that every column counts alike.

    Args:
        config: Of the training.
        scale: What numbers of the training rows are like.
    """

    config_class = Config
    example_class = Window
    takes = ("rows",)
    metrics = (_errors(mean_squared_error(**SIDES)), _errors(mean_absolute_error(**SIDES)))
    files = ("task/scale.json",)
    unit = "windows"

    def __init__(self, config: Config, scale: Scale) -> None:
        super().__init__(config)
        self.scale = scale

    @classmethod
    def read(cls, config: Config) -> Splits[Window]:
        """Refer to all windows; those of dev and test may read rows of the split before."""
        return read_windows(config)

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Window]:
        """Refer to all windows of another table."""
        return all_windows(config, os.path.abspath(path))

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with the sizes of splits or of the network."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Window]) -> Self:
        """Learn mean and deviation of each column in the rows of training."""
        if not examples:
            raise DataError("the training split must hold a window, got none")
        series = open_series(config, examples[0].file)
        rows = [window.row for window in examples]
        known = series.values[min(rows) - config.window.history : max(rows) + config.window.horizon]
        mean, deviation = known.mean(0), known.std(0)
        deviation[deviation == 0] = 1
        numbers = (tuple(mean.tolist()), tuple(deviation.tolist()))
        scale = Scale(series.columns, *numbers, pace=series.clock.pace)
        return cls(config, scale)

    def save(self, folder: Path) -> None:
        """Write the scales."""
        write_json(folder / self.files[0], asdict(self.scale))

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read the scales."""
        path = folder / cls.files[0]
        scale = parse_json_as(Scale, read_whole(path, most=LARGEST), path)
        sizes = {len(scale.columns), len(scale.mean), len(scale.deviation)}
        good = np.isfinite(scale.mean).all() and np.isfinite(scale.deviation).all()
        if len(sizes) > 1 or not scale.columns or not good or min(scale.deviation) <= 0:
            raise RunError(f"{path} must have a mean and a deviation for each column, got others")
        return cls(config, scale)

    def encode(self, examples: Sequence[Window], *, training: bool = False) -> Numbers:
        """Read the rows that windows refer to."""
        return Numbers(self.config, self.scale, examples)

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.forecaster import build_forecaster

        sizes = self.config.window.model_dump()
        return build_forecaster(**sizes, **self.config.model.model_dump())

    def loss(self, model: "nn.Module", batch: Any) -> "tuple[Tensor, int]":
        """Return squared errors summed over all numbers, and how many those are."""
        future = batch["future"]
        error = model(batch["history"]).float() - future
        return error.square().sum(), future.numel()

    def answer(self, model: "nn.Module", data: Any) -> list[Forecast]:
        """Forecast what follows every window."""
        import torch

        answers: list[Forecast] = []
        with torch.inference_mode():
            for start in range(0, len(data), ANSWERED):
                rows = range(start, min(start + ANSWERED, len(data)))
                said = model(data.batch(rows, device_of(model))["history"]).float().cpu().numpy()
                answers += [self._forecast(data, *pair) for pair in zip(rows, said, strict=True)]
        return answers

    def _forecast(self, data: Numbers, row: int, scaled: NDArray[np.float32]) -> Forecast:
        window = data.windows[row]
        clock, first = data.series[window.file].clock, window.row
        return Forecast(
            times=tuple(clock.text(each) for each in range(first, first + len(scaled))),
            columns=self.scale.columns,
            values=self.scale.undo(scaled),
            scaled=scaled,
            truth=data.future(row),
        )

    def parse(self, text: str) -> Window:
        """Take the path of a table, whose last rows are continued."""
        return next_window(self.config, os.path.abspath(text.strip()), self.scale.columns)

    def to_json(self, example: Window, answer: Forecast) -> dict[str, Any]:
        """Return the rows that are forecast, column by column."""
        columns = dict(zip(answer.columns, answer.values.T.tolist(), strict=True))
        return {"file": example.file, "times": list(answer.times), "columns": columns}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no rows."""
        return {"file": text, "times": [], "columns": {}}

    def picture(self, model: "nn.Module", example: Window, answer: Forecast) -> Alignment | None:
        """Return where patches look in the last layer: the mean over heads and columns."""
        from heedful.probing.probe import probe

        settings = self.config.model
        if not isinstance(settings, PatchModel) or settings.attention == "none":
            return None
        site = f"encoder.layers.{settings.layers - 1}.self_attention"
        data = self.encode([example])
        with probe(model, sites=site) as heard:
            self.answer(model, data)
        weights = heard.maps(site).flatten(0, 1).mean(0)
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)
        history, stride = self.config.window.history, settings.stride
        starts = tuple(str(n * stride - history) for n in range(len(weights)))
        return Alignment(
            source=starts,
            target=starts,
            weights=tuple(map(tuple, weights.tolist())),
            title=f"patches by their first row, counted from {answer.times[0]}",
        )

    def question(self, model: "nn.Module", example: Window, answer: Forecast) -> "Question":
        """Ask which stretches of the history speak for what is forecast of each column."""
        from heedful.tasks.forecast.question import why_forecast

        return why_forecast(self, model, example, answer)

    def rows(self, model: "nn.Module", batch: Any) -> Rows:
        """Return the forecast of each column of each window."""
        import torch

        said = model(batch["history"]).transpose(1, 2)
        example = torch.arange(len(said), device=said.device).repeat_interleave(said.shape[1])
        return Rows(outputs=said.flatten(0, 1), truth=None, example=example, kind="values")
