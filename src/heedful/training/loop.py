"""The training loop: a thin one, on Accelerate."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import broadcast
from torch import Tensor, nn

from heedful.config import Config
from heedful.data.batches import token_batches
from heedful.data.tokens import PAD
from heedful.errors import TrainingError
from heedful.tasks.translation import Corpus, Network, Pairs, loss_tokens
from heedful.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from heedful.training.events import Evaluated, Event, Finished, Step
from heedful.training.interrupts import Interrupts
from heedful.training.losses import LOSSES, cross_entropy
from heedful.training.metrics import MetricsLog, Window
from heedful.training.optimizer import adamw
from heedful.training.precision import faster_in_bf16
from heedful.training.processes import accelerator, decided, draw_apart
from heedful.training.schedule import rate

Listener = Callable[[Event], None]
LOG_EVERY = 20  # steps
DEV_TOKENS = 8_192  # a batch


def ignore(event: Event) -> None:
    """Listen to nothing."""


class Training:
    """One training: its model, its data, its folder and where it stands.

    Args:
        config: What to do.
        corpus: What to learn from.
        model: Fresh, or as far as the last checkpoint once `restore` is called.
        folder: The run folder; exists.
        listener: Called with every event.
    """

    def __init__(
        self, config: Config, corpus: Corpus, model: Network, folder: Path, listener: Listener
    ) -> None:
        self.config, self.corpus, self.folder = config, corpus, folder
        self.settings = config.train
        self.accelerator = accelerator()
        self.several = self.accelerator.num_processes > 1
        self.main = self.accelerator.is_main_process
        self.emit: Listener = listener if self.main else ignore
        self.bare, self.plain = model, adamw(model, config.train)  # as checkpoints hold them
        self.model: nn.Module
        self.optimizer: torch.optim.Optimizer
        self.model, self.optimizer = self.accelerator.prepare(model, self.plain)
        self.loss = LOSSES[self.settings.loss]
        self.progress = Progress()
        self.precision = self.settings.precision
        self.metrics = MetricsLog(folder, tensorboard=self.settings.tensorboard and self.main)
        self._interrupts, self._saved = Interrupts(), 0
        self._epoch: tuple[int, list[list[int]]] | None = None  # the last one cut into batches

    def choose_precision(self) -> str:
        """Settle `auto` by measuring passes over batches of three shapes, once for all ranks."""
        if self.precision == "auto":
            self.precision = decided(self._measured_precision)
        return self.precision

    def _measured_precision(self) -> str:
        ranked = sorted(self._batches(epoch=0), key=len)
        chosen = [ranked[len(ranked) * quarter // 4] for quarter in (1, 2, 3)]

        def step() -> None:
            for rows in chosen:
                self.bare.zero_grad()
                batch = self.corpus.train.batch(rows, self.accelerator.device)
                self._loss(self.bare, batch)[0].backward()

        low = faster_in_bf16(step, device=self.accelerator.device.type)
        self.bare.zero_grad()
        return "bf16" if low else "fp32"

    def restore(self) -> None:
        """Go back to the last checkpoint.

        Raises:
            RunError: It is missing or damaged.
        """
        self.progress = load_checkpoint(self.folder, self.bare, self.plain)
        self._saved = self.progress.step
        if self.main:
            self.metrics.forget_after(self.progress.step)
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
            save_checkpoint(folder or self.folder, self.bare, self.plain, self.progress, best=best)

    def run(self) -> None:
        """Train until a limit is reached; every checkpoint on the way can be gone on from.

        Ctrl-C and SIGTERM end it between two steps, with a checkpoint.
        """
        if not self.progress.finished:
            with self._interrupts.heard(), self.metrics:
                self._run()

    def _run(self) -> None:
        began, saved = time.monotonic() - self.progress.seconds, time.monotonic()
        stream, window = self._stream(), Window()
        while (fraction := self._fraction()) < 1 and not self._patience_is_over():
            learning_rate = self.settings.learning_rate * rate(
                fraction, warmup=self.settings.warmup
            )
            self._step(next(stream), learning_rate, window)
            seconds, signal = self._same_everywhere(
                time.monotonic() - began, self._interrupts.number
            )
            self.progress = replace(self.progress, step=self.progress.step + 1, seconds=seconds)
            if self.progress.step % LOG_EVERY == 0:
                self._log(window, learning_rate)
                window = Window()
            if self._evaluation_is_due():
                self._evaluate()
                saved = time.monotonic()
            elif signal or time.monotonic() - saved >= self.settings.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
            if signal:
                self._interrupts.obey(signal)
        self._finish()
        self.accelerator.wait_for_everyone()  # else others could open the run before it is whole
        if self._interrupts.number:  # heard while the last evaluation ran
            self._interrupts.obey(self._interrupts.number)

    def _stream(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield batches for ever, from where the training stands."""
        while True:
            batches = self._batches(self.progress.epoch)
            while self.progress.batch < len(batches):
                rows = batches[self.progress.batch]
                self.progress = replace(self.progress, batch=self.progress.batch + 1)
                yield self.corpus.train.batch(rows, self.accelerator.device)
            self.progress = replace(self.progress, epoch=self.progress.epoch + 1, batch=0)

    def _batches(self, epoch: int) -> list[list[int]]:
        """Return this process's share of an epoch: as many batches as every other process has."""
        if self._epoch is not None and self._epoch[0] == epoch:
            return self._epoch[1]
        train = self.corpus.train
        batches = token_batches(
            train.lengths,
            tokens_per_batch=self.settings.tokens_per_batch,
            seed=self.config.seed,
            epoch=epoch,
        )
        count = max(len(batches) // self.accelerator.num_processes, 1)
        first = self.accelerator.process_index % len(batches)
        self._epoch = epoch, batches[first :: self.accelerator.num_processes][:count]
        return self._epoch[1]

    def _step(
        self, batch: tuple[Tensor, Tensor, Tensor], learning_rate: float, window: Window
    ) -> None:
        self.model.train()
        if self.several:
            draw_apart(
                self.config.seed, process=self.accelerator.process_index, step=self.progress.step
            )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        with torch.autocast(
            self.accelerator.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        ):
            total, tokens = self._loss(self.model, batch)
        # DDP averages over processes, but each holds a different number of tokens
        everywhere = torch.tensor(tokens, device=total.device)
        loss = total.detach()
        if self.several:
            sums = torch.stack([loss.float(), everywhere.float()])
            loss, everywhere = cast(Tensor, self.accelerator.reduce(sums))
        self.accelerator.backward(total * self.accelerator.num_processes / everywhere)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        summed, targets = loss.item(), everywhere.item() if self.several else tokens
        if not math.isfinite(summed) or norm is None or not math.isfinite(norm.item()):
            raise TrainingError(
                f"the loss must stay a number, got {summed / targets} with a gradient "
                f"of norm {norm} at step {self.progress.step}. {self._what_is_left()} "
                'Try a lower train.learning_rate or train.precision = "fp32".'
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        window.add(summed, targets, tokens + int(batch[1].sum()))

    def _loss(self, model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, int]:
        """Return the loss summed over target tokens, and how many those are."""
        source, lengths, target = batch
        logits = model(source, lengths, target[:, :-1])
        smoothing = self.settings.label_smoothing
        loss = self.loss(logits, target[:, 1:], pad=PAD, smoothing=smoothing)
        return loss, loss_tokens(target)

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
            share = self.progress.batch / len(self._batches(self.progress.epoch))
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

    def _same_everywhere(self, *numbers: float) -> list[Any]:
        """Return the main process's numbers, so that all processes do the same at the same step."""
        if not self.several:
            return [*numbers]
        sent = torch.tensor(numbers, dtype=torch.float64, device=self.accelerator.device)
        kinds = map(type, numbers)
        return [kind(x) for kind, x in zip(kinds, cast(Tensor, broadcast(sent)), strict=True)]

    def _log(self, window: Window, learning_rate: float) -> None:
        fraction, seconds = self._fraction(), self.progress.seconds
        event = Step(
            step=self.progress.step,
            fraction=fraction,
            loss=window.loss / max(window.targets, 1),
            learning_rate=learning_rate,
            tokens_per_second=window.tokens / window.seconds() * self.accelerator.num_processes,
            seconds=seconds,
            remaining=seconds * (1 - fraction) / max(fraction, 1e-9),
        )
        if self.main:
            self.metrics.write(event)
        self.emit(event)

    @torch.inference_mode()
    def _evaluate(self) -> None:
        """Measure the dev split, and save: as the best too where it is."""
        loss, accuracy = self._same_everywhere(
            *dev_scores(self.bare, self.corpus.dev, self.accelerator.device)
        )
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss on the dev split must be a number, got {loss} at step "
                f"{self.progress.step}. {self._what_is_left()}"
            )
        best = self.progress.best_loss is None or loss < self.progress.best_loss
        self.progress = replace(
            self.progress,
            evaluations=self.progress.evaluations + 1,
            best_loss=loss if best else self.progress.best_loss,
            waiting=0 if best else self.progress.waiting + 1,
        )
        event = Evaluated(
            step=self.progress.step,
            fraction=self._fraction(),
            dev_loss=loss,
            token_accuracy=accuracy,
            best=best,
        )
        if self.main:
            self.metrics.write(event)
        self.save(best=best)
        self.emit(event)

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


@torch.inference_mode()
def dev_scores(model: Network, pairs: Pairs, device: torch.device | str) -> tuple[float, float]:
    """Return the cross-entropy a token, and the share of tokens guessed right from those before."""
    model.eval()
    total, right, tokens = 0.0, 0, 0
    for rows in token_batches(pairs.lengths, tokens_per_batch=DEV_TOKENS, seed=0, epoch=0):
        source, lengths, target = pairs.batch(rows, device)
        logits, truth = model(source, lengths, target[:, :-1]), target[:, 1:]
        total += cross_entropy(logits, truth, pad=PAD).item()
        right += int(((logits.argmax(-1) == truth) & (truth != PAD)).sum())
        tokens += loss_tokens(target)
    return total / tokens, right / tokens
