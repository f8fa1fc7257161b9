"""The training loop: a thin one, on Accelerate."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from heedful.config import Config
from heedful.data.batches import token_batches
from heedful.data.tokens import PAD
from heedful.errors import TrainingError
from heedful.tasks.translation import Corpus, Network, Pairs, loss_tokens
from heedful.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from heedful.training.events import Evaluated, Event, Finished, Step
from heedful.training.losses import LOSSES, cross_entropy
from heedful.training.metrics import MetricsLog
from heedful.training.precision import faster_in_bf16
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
        self.accelerator = Accelerator()
        self.main = self.accelerator.is_main_process
        self.emit: Listener = listener if self.main else ignore
        self.model: nn.Module = self.accelerator.prepare(model)
        self.bare = model
        self.optimizer: torch.optim.Optimizer = _optimizer(model, config)
        self.loss = LOSSES[self.settings.loss]
        self.progress = Progress()
        self.precision = self.settings.precision
        self.metrics = MetricsLog(folder, tensorboard=self.settings.tensorboard and self.main)
        self._epoch: tuple[int, list[list[int]]] | None = None  # the last one cut into batches

    def choose_precision(self) -> str:
        """Settle `auto` by measuring passes over batches of three shapes."""
        if self.precision == "auto":
            batches = self._batches(epoch=0)
            ranked = sorted(batches, key=len)
            chosen = [ranked[len(ranked) * quarter // 4] for quarter in (1, 2, 3)]

            def step() -> None:
                for rows in chosen:
                    self.bare.zero_grad()
                    batch = self.corpus.train.batch(rows, self.accelerator.device)
                    self._loss(self.bare, batch)[0].backward()

            low = faster_in_bf16(step, device=self.accelerator.device.type)
            self.bare.zero_grad()
            self.precision = "bf16" if low else "fp32"
        return self.precision

    def restore(self) -> None:
        """Go back to the last checkpoint.

        Raises:
            RunError: It is missing or damaged.
        """
        self.progress = load_checkpoint(self.folder, self.bare, self.optimizer)
        self.metrics.forget_after(self.progress.step)

    def save(self, *, best: bool = False) -> None:
        """Write a checkpoint of where the training stands."""
        if self.main:
            save_checkpoint(self.folder, self.bare, self.optimizer, self.progress, best=best)

    def run(self) -> None:
        """Train until a limit is reached; every checkpoint on the way can be gone on from."""
        if self.progress.finished:
            return
        began = time.monotonic() - self.progress.seconds
        saved = time.monotonic()
        stream, window = self._stream(), _Window()
        while (fraction := self._fraction()) < 1 and not self._patience_is_over():
            learning_rate = self.settings.learning_rate * rate(
                fraction, warmup=self.settings.warmup
            )
            self._step(next(stream), learning_rate, window)
            seconds = self._same_everywhere(time.monotonic() - began)
            self.progress = replace(self.progress, step=self.progress.step + 1, seconds=seconds)
            if self.progress.step % LOG_EVERY == 0:
                self._log(window, learning_rate)
                window = _Window()
            if self._evaluation_is_due():
                self._evaluate()
                saved = time.monotonic()
            elif time.monotonic() - saved >= self.settings.checkpoint_seconds:
                self.save()
                saved = time.monotonic()
        self._finish()

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
        self, batch: tuple[Tensor, Tensor, Tensor], learning_rate: float, window: "_Window"
    ) -> None:
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        with torch.autocast(
            self.accelerator.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        ):
            total, tokens = self._loss(self.model, batch)
        # DDP averages over processes, but each holds a different number of tokens
        everywhere = self.accelerator.reduce(torch.tensor(tokens, device=total.device))
        self.accelerator.backward(total * self.accelerator.num_processes / everywhere)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        if not math.isfinite(total.item()) or norm is None or not math.isfinite(norm.item()):
            raise TrainingError(
                f"the loss must stay a number, got {total.item() / tokens} with a gradient of norm "
                f"{norm} at step {self.progress.step}. The last good checkpoint is intact; "
                'try a lower train.learning_rate or train.precision = "fp32".'
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        window.add(total.item(), tokens, tokens + int(batch[1].sum()))

    def _loss(self, model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, int]:
        """Return the loss summed over target tokens, and how many those are."""
        source, lengths, target = batch
        logits = model(source, lengths, target[:, :-1])
        smoothing = self.settings.label_smoothing
        loss = self.loss(logits, target[:, 1:], pad=PAD, smoothing=smoothing)
        return loss, loss_tokens(target)

    def _fraction(self) -> float:
        """Return the share of the training that is done, by the limit that is nearest."""
        done = [0.0]
        if self.settings.steps is not None:
            done.append(self.progress.step / self.settings.steps)
        if self.settings.minutes is not None:
            done.append(self.progress.seconds / (60 * self.settings.minutes))
        if self.settings.epochs is not None:
            share = self.progress.batch / len(self._batches(self.progress.epoch))
            done.append((self.progress.epoch + share) / self.settings.epochs)
        return max(done)

    def _evaluation_is_due(self) -> bool:
        fraction = self._fraction()
        due = int(fraction / self.settings.evaluate_every + 1e-9)  # 0.3 / 0.1 is below 3
        return due > self.progress.evaluations and fraction < 1  # the last one belongs to the end

    def _patience_is_over(self) -> bool:
        return self.settings.patience is not None and (
            self.progress.waiting >= self.settings.patience
        )

    def _same_everywhere(self, seconds: float) -> float:
        """Return the main process's clock, so that all processes stop at the same step."""
        if self.accelerator.num_processes == 1:
            return seconds
        clock = broadcast(torch.tensor(seconds, device=self.accelerator.device))
        return float(cast(Tensor, clock))

    def _log(self, window: "_Window", learning_rate: float) -> None:
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
        loss, accuracy = dev_scores(self.bare, self.corpus.dev, self.accelerator.device)
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss on the dev split must be a number, got {loss} at step "
                f"{self.progress.step}. The last good checkpoint is intact."
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


class _Window:
    """Sums since the last line of the log."""

    def __init__(self) -> None:
        self.loss, self.targets, self.tokens = 0.0, 0, 0
        self.began = time.perf_counter()

    def add(self, loss: float, targets: int, tokens: int) -> None:
        self.loss += loss
        self.targets += targets
        self.tokens += tokens

    def seconds(self) -> float:
        return time.perf_counter() - self.began


def _optimizer(model: nn.Module, config: Config) -> torch.optim.Optimizer:
    """AdamW; matrices decay, biases and norms do not (Loshchilov and Hutter 2017, 1711.05101)."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.train.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    learning_rate = config.train.learning_rate
    return torch.optim.AdamW(groups, learning_rate, betas=(0.9, 0.98), fused=True)
