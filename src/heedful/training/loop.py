"""The training loop: a thin one, on Accelerate, that knows no task."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from heedful.distributed.fsdp import whole
from heedful.errors import TrainingError, UnsupportedError
from heedful.tasks.base import Dataset, Task
from heedful.training.checkpoint import Progress, give_shares, load_checkpoint, save_checkpoint
from heedful.training.events import Evaluated, Event, Finished, Step
from heedful.training.interrupts import Interrupts
from heedful.training.learners import NoNumberError, Supervised, stepper
from heedful.training.metrics import MetricsLog, Window, read_metrics
from heedful.training.precision import measured_precision
from heedful.training.processes import accelerator, decided, draw_apart, same_everywhere
from heedful.training.schedule import rate
from heedful.training.stream import Stream
from heedful.training.watch import Watch

Listener = Callable[[Event], None]
LOG_EVERY = 20  # steps


def ignore(event: Event) -> None:
    """Listen to nothing."""


class Ready(NamedTuple):
    """What a training reads, made ready."""

    train: Dataset
    dev: Dataset


class Training:
    """One training: its model, its data, its folder and where it stands.

    Args:
        task: What is learned, and how.
        data: To learn from, and to watch.
        model: Fresh, or as far as the last checkpoint once `restore` is called.
        folder: The run folder; exists.
        listener: Called with every event.

    Raises:
        UnsupportedError: Several processes are to train what only one can.
    """

    def __init__(
        self,
        task: Task[Any, Any],
        data: Ready,
        model: nn.Module,
        folder: Path,
        listener: Listener,
    ) -> None:
        self.task, self.config, self.data, self.folder = task, task.config, data, folder
        self.settings = task.config.train
        self.accelerator = accelerator()
        self.several = self.accelerator.num_processes > 1
        self.main = self.accelerator.is_main_process
        self.emit: Listener = listener if self.main else ignore
        self.learner = stepper(task, model, self.accelerator)
        self.bare = self.learner.bare  # as checkpoints hold it
        self.progress = Progress(processes=self.accelerator.num_processes)
        self.metrics = MetricsLog(folder, tensorboard=self.settings.tensorboard and self.main)
        self.stream = Stream(
            task,
            data.train,
            device=self.accelerator.device,
            share=(self.accelerator.process_index, self.accelerator.num_processes),
            accumulate=self.settings.accumulate,
        )
        self.watch = Watch(task.config, on=self.settings.watch and self.main)
        self._interrupts, self._saved = Interrupts(), 0

    def choose_precision(self) -> str:
        """Settle `auto` by measuring passes over batches of three shapes, once for all ranks."""
        learner = self.learner
        if isinstance(learner, Supervised) and learner.precision == "auto":
            data, device = self.data.train, self.accelerator.device
            learner.precision = decided(
                lambda: measured_precision(learner, data, self.stream, device)
            )
        return learner.precision

    def restore(self) -> None:
        """Go back to the last checkpoint.

        Raises:
            RunError: It is missing or damaged.
        """
        self.progress = load_checkpoint(self.folder, self.bare, self.learner.optimizers)
        now, before = self.accelerator.num_processes, self.progress.processes
        if before != now:  # as many batches of the epoch are behind all of them together
            batch = self.progress.batch * (before or now) // now
            self.progress = replace(self.progress, batch=batch, processes=now)
        self._saved = self.progress.step
        if self.main:
            self.metrics.forget_after(self.progress.step)
            self.watch.recall(read_metrics(self.folder))
        if self._fraction() < 1 and not self._patience_is_over():
            self.progress = replace(
                self.progress,
                finished=False,  # where a limit was raised
                evaluations=min(self.progress.evaluations, self._evaluations_due()),
            )

    def save(self, folder: Path | None = None, *, best: bool = False) -> None:
        """Write a checkpoint of where the training stands, into `folder` where it is not ours."""
        self._saved = self.progress.step
        if self.main:
            place, optimizers = folder or self.folder, self.learner.optimizers
            save_checkpoint(place, self.bare, optimizers, self.progress, best=best)
        else:
            give_shares(self.bare, self.learner.optimizers)

    def run(self) -> None:
        """Train until a limit is reached; every checkpoint on the way can be gone on from.

        Ctrl-C and SIGTERM end it between two steps, with a checkpoint.
        """
        if not self.progress.finished:
            with self._interrupts.heard(), self.metrics:
                self._run()

    def _run(self) -> None:
        began, saved = time.monotonic() - self.progress.seconds, time.monotonic()
        batches, window = self._batches(), Window()
        while (fraction := self._fraction()) < 1 and not self._patience_is_over():
            learning_rate = self.settings.learning_rate * rate(
                fraction, warmup=self.settings.warmup
            )
            self.task.proceed(self.bare, fraction)
            some = [next(batches) for _ in range(self.settings.accumulate)]
            self._step(some, learning_rate, window)
            seconds, signal, unsaved = same_everywhere(
                self.accelerator,
                time.monotonic() - began,
                self._interrupts.number,
                time.monotonic() - saved,
            )
            self.progress = replace(self.progress, step=self.progress.step + 1, seconds=seconds)
            if self.progress.step % LOG_EVERY == 0:
                self._log(window, learning_rate)
                window = Window()
            if self._evaluation_is_due():
                self._evaluate()
                saved = time.monotonic()
            elif signal or unsaved >= self.settings.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
            if signal:
                self._interrupts.obey(signal)
        self._finish()
        self.accelerator.wait_for_everyone()  # else others could open the run before it is whole
        if self._interrupts.number:  # heard while the last evaluation ran
            self._interrupts.obey(self._interrupts.number)

    def _batches(self) -> Iterator[tuple[Any, int]]:
        """Yield batches for ever, from where the training stands, and how much each is."""
        for place, batch, amount in self.stream.after(self.progress.epoch, self.progress.batch):
            self.progress = replace(self.progress, epoch=place.epoch, batch=place.batch + 1)
            yield batch, amount

    def _step(self, some: list[tuple[Any, int]], learning_rate: float, window: Window) -> None:
        if self.learner.draws_anew:
            draw_apart(
                self.config.seed, process=self.accelerator.process_index, step=self.progress.step
            )
        try:
            batches = [batch for batch, _ in some]
            loss, count, values = self.learner.step(batches, learning_rate)
        except NoNumberError as error:
            raise TrainingError(
                f"the loss must stay a number, got {error} at step {self.progress.step}. "
                f"{self._what_is_left()} "
                'Try a lower train.learning_rate or train.precision = "fp32".'
            ) from None
        window.add(loss, count, sum(amount for _, amount in some), values)

    def _what_is_left(self) -> str:
        if self._saved == 0:
            return "Nothing is learned yet: the run holds the untrained model alone."
        return f"The last good checkpoint, of step {self._saved}, is intact."

    def _fractions(self) -> dict[str, float]:
        """Return the share of the training that is done, by each limit."""
        done: dict[str, float] = {}
        if self.settings.steps is not None:
            done["steps"] = self.progress.step / self.settings.steps
        if self.settings.minutes is not None:
            done["minutes"] = self.progress.seconds / (60 * self.settings.minutes)
        if self.settings.epochs is not None:
            share = self.progress.batch / len(self.stream.batches(self.progress.epoch))
            done["epochs"] = (self.progress.epoch + share) / self.settings.epochs
        return done

    def _fraction(self) -> float:
        """Return the share of the training that is done, by the limit that is nearest."""
        return max(self._fractions().values(), default=0.0)

    def reached(self) -> list[str]:
        """Return the settings that end the training where it stands."""
        over = [key for key, done in self._fractions().items() if done >= 1]
        over += ["patience"] if self._patience_is_over() else []
        return [f"train.{key} = {getattr(self.settings, key)}" for key in over]

    def _evaluation_is_due(self) -> bool:
        due = self._evaluations_due() > self.progress.evaluations
        return due and self._fraction() < 1  # the last one belongs to the end

    def _evaluations_due(self) -> int:
        return int(self._fraction() / self.settings.evaluate_every + 1e-9)  # 0.3 / 0.1 is below 3

    def _patience_is_over(self) -> bool:
        return self.settings.patience is not None and (
            self.progress.waiting >= self.settings.patience
        )

    def _log(self, window: Window, learning_rate: float) -> None:
        fraction, seconds = self._fraction(), self.progress.seconds
        event = Step(
            step=self.progress.step,
            fraction=fraction,
            loss=window.loss / max(window.count, 1),
            learning_rate=learning_rate,
            per_second=window.amount / window.seconds() * self.accelerator.num_processes,
            unit=self.task.unit,
            values=window.means(),
            seconds=seconds,
            remaining=seconds * (1 - fraction) / max(fraction, 1e-9),
        )
        if self.main:
            self.metrics.write(event)
        self.emit(event)

    def _evaluate(self) -> None:
        """Measure the dev split, and save: as the best too where it is."""
        self.bare.eval()
        with whole(self.learner.root), torch.inference_mode(), self.watch.hear(self.bare):
            found = self.task.scores(self.bare, self.data.dev)
        numbers = same_everywhere(self.accelerator, *found.values())
        scores = dict(zip(found, numbers, strict=True))
        name = self.task.monitor
        if name not in scores:
            raise UnsupportedError(
                f"the scores of a task must give the monitor {name}, got {', '.join(scores)}"
            )
        score = scores[name]
        if not math.isfinite(score):
            raise TrainingError(
                f"{name} on the dev split must be a number, got {score} at step "
                f"{self.progress.step}. {self._what_is_left()}"
            )
        before = self.progress.best_score
        sign = -1 if self.task.monitor_is_better_higher() else 1
        best = before is None or sign * score < sign * before
        self.progress = replace(
            self.progress,
            evaluations=self.progress.evaluations + 1,
            best_score=score if best else before,
            waiting=0 if best else self.progress.waiting + 1,
        )
        event = Evaluated(
            step=self.progress.step, fraction=self._fraction(), scores=scores, best=best
        )
        seen = self.watch.seen(event)
        if self.main:
            self.metrics.write(event, *seen)
        self.save(best=best)
        for each in (event, *seen, *self.watch.told()):
            self.emit(each)

    def _finish(self) -> None:
        stopped_early = self._patience_is_over()
        self.progress = replace(self.progress, finished=True)
        if stopped_early:  # on an evaluation, so there is nothing new to measure
            self.save()
        else:
            self._evaluate()
        self.emit(
            Finished(
                run=self.folder,
                step=self.progress.step,
                seconds=self.progress.seconds,
                reason="no better for a while" if stopped_early else "limit reached",
            )
        )
