"""A trained translator as a subject of optimisation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from heedful.data.batches import token_batches
from heedful.data.examples import Example
from heedful.data.load import load_data
from heedful.data.scripts import composed
from heedful.data.tokens import BOS, PAD
from heedful.errors import ConfigError, DataError, UnsupportedError
from heedful.models import Transformer
from heedful.optimizing.metric import (
    TEXT_METRICS,
    Floats,
    Metric,
    per_example,
    ratio_metric,
    text_metric,
)
from heedful.optimizing.splits import Splits
from heedful.optimizing.subject import Split, Subject, unjudged
from heedful.tasks.translation import Pairs, Translator, encode
from heedful.training.run import Run

CALIBRATION = 256  # pairs for scores and least squares
HEALING = 150_000  # pairs to heal with, at most
TIMED = 128  # phrases that are written to measure what sites cost
TOKEN_METRICS = ("loss", "token_accuracy")
METRICS = (*TEXT_METRICS, *TOKEN_METRICS)
HEALING_RATE = 0.6  # of the learning rate of the training

Pair = tuple[Tensor, Tensor, Tensor]


def subject_of_run(
    run: Run, metric: str, *, seed: int = 0, test: Sequence[Example] | None = None
) -> Subject:
    """Return what must be known about a run.

    It is calibrated and healed on the training split, searched with on `dev`, and judged on `test`.

    Args:
        run: A Transformer that translates.
        metric: One of `METRICS`.
        seed: Of the calibration pairs.
        test: Examples to judge with. `None` means the test split of the run.

    Raises:
        ConfigError: There is no such metric.
        UnsupportedError: The model is no Transformer.
        DataError: A split is empty, or examples are in two of them.
    """
    if metric not in METRICS:
        raise ConfigError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}")
    model = _transformer(run)  # another network is refused before its data is read
    data = {"dev": run.examples("dev"), "test": run.examples("test") if test is None else test}
    if not data["test"]:
        raise DataError(
            f"{run.folder} must have a test split for the verdict, got none. "
            "Give a file of examples to judge with (--test), or set data.test and train anew."
        )
    train = load_data(run.config.data, run.config.seed).train
    Splits(calibration=_texts(train), validation=_texts(data["dev"]), test=_texts(data["test"]))
    pairs = {
        split: encode(examples, run.vocabularies)[0].cut(model.longest)
        for split, examples in data.items()
    }
    quality, statistics = _quality(metric, run, pairs)
    timed = pairs["dev"].examples[:TIMED]
    return replace(
        _to_heal(run, model, train, seed),
        statistics=statistics,
        metric=quality,
        test_examples=len(data["test"]),
        work=Rewriting(run.translator, timed),
        use=_writing(run, timed),
    )


def subject_to_heal(run: Run, *, seed: int = 0) -> Subject:
    """Return what its training split alone tells about a run; it cannot be judged, nor timed.

    Args:
        run: A Transformer that translates.
        seed: Of the calibration pairs.

    Raises:
        UnsupportedError: The model is no Transformer.
    """
    model = _transformer(run)  # another network is refused before its data is read
    return _to_heal(run, model, load_data(run.config.data, run.config.seed).train, seed)


def subject_to_profile(run: Run, *, seed: int = 0) -> Subject:
    """Return what can be known about a run from its `dev` split alone; it cannot be judged.

    Args:
        run: A Transformer that translates.
        seed: Of the pairs that it is looked at with.

    Raises:
        UnsupportedError: The model is no Transformer.
    """
    model = _transformer(run)  # another network is refused before its data is read
    pairs = _encoded(run, run.examples("dev"))
    chosen = np.random.default_rng(seed).permutation(len(pairs))[:CALIBRATION]
    timed = pairs.examples[:TIMED]
    return replace(
        _bare(model, _batches(pairs, chosen.tolist(), run.device)),
        work=Rewriting(run.translator, timed),
        use=_writing(run, timed),
    )


class Rewriting:
    """Let a model write again, step by step, what the original wrote: the same work for all.

    Args:
        translator: With the original.
        examples: Whose sources are read.
    """

    def __init__(self, translator: Translator, examples: Sequence[Example]) -> None:
        vocabularies = translator.vocabularies
        source = encode(examples, vocabularies)[0].source.cut(translator.model.longest)
        texts = translator.write(source, beam=1)
        order = sorted(range(len(texts)), key=lambda row: int(source.lengths[row]))
        device = next(translator.model.parameters()).device
        size = translator.decode.batch
        self.batches: list[tuple[Tensor, Tensor, Tensor, list[int]]] = []
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            # finished texts leave the batch: those that end first stand last
            rows.sort(key=lambda row: -len(texts[row]))
            tokens, lengths = (
                torch.from_numpy(array).to(device) for array in source.padded(rows, pad=PAD)
            )
            written = nn.utils.rnn.pad_sequence(
                [torch.tensor([BOS, *texts[row]]) for row in rows], batch_first=True
            ).to(device)
            self.batches.append((tokens, lengths, written, [len(texts[row]) for row in rows]))

    @torch.inference_mode()
    def __call__(self, model: nn.Module) -> None:
        """Write everything once."""
        network = cast(Transformer, model)
        for tokens, lengths, written, ends in self.batches:
            state = network.start(tokens, lengths)
            active = len(ends)
            for place in range(max(ends) + 1):
                network.step(written[:active, place], state).argmax(-1)
                still = sum(end > place for end in ends)
                if not still:
                    break
                if still < active:
                    state.select(torch.arange(still, device=tokens.device))
                    active = still


def translator_of(run: Run, model: nn.Module) -> Translator:
    """Return a translator like the run's with another model."""
    return Translator(
        cast(Transformer, model),
        run.vocabularies,
        run.config.decode,
        longest=run.config.data.max_length,
    )


def _to_heal(run: Run, model: Transformer, train: Sequence[Example], seed: int) -> Subject:
    order = np.random.default_rng(seed).permutation(len(train))
    pairs = _encoded(run, [train[row] for row in order[:HEALING]])
    chosen = range(min(CALIBRATION, len(pairs)))
    return replace(
        _bare(model, _batches(pairs, list(chosen), run.device)),
        training=partial(_endless, pairs, run),
        learning_rate=run.config.train.learning_rate * HEALING_RATE,
        low_precision=run.about["precision"] == "bf16",
    )


def _bare(model: Transformer, calibration: Sequence[Pair]) -> Subject:
    """What a model says to batches, and nothing to heal, judge or time it with."""
    return Subject(
        model=model,
        calibration=calibration,
        training=unjudged,
        outputs=_outputs,
        kind="logits",
        truth=_truth,
        statistics=unjudged,
        metric=ratio_metric("loss", higher_is_better=False),
        test_examples=0,
        work=unjudged,
        use=unjudged,
    )


def _encoded(run: Run, examples: Sequence[Example]) -> Pairs:
    return encode(examples, run.vocabularies, max_length=run.config.data.max_length)[0]


def _transformer(run: Run) -> Transformer:
    model = run.translator.model
    if not isinstance(model, Transformer):
        raise UnsupportedError(
            f"the model of a run must be a Transformer, got {type(model).__name__}"
        )
    return model


def _writing(run: Run, examples: Sequence[Example]) -> Callable[[nn.Module], object]:
    source = encode(examples, run.vocabularies)[0].source
    return lambda model: translator_of(run, model).write(source)


def _texts(examples: Sequence[Example]) -> list[str]:
    return [composed(f"{example.source}\t{example.target}") for example in examples]


def _batches(pairs: Pairs, rows: list[int], device: str) -> list[Pair]:
    rows.sort(key=lambda row: tuple(pairs.lengths[row]))
    return [pairs.batch(rows[start : start + 64], device) for start in range(0, len(rows), 64)]


def _endless(pairs: Pairs, run: Run, seed: int) -> Iterator[Pair]:
    epoch = 0
    while True:
        tokens = run.config.train.tokens_per_batch
        for rows in token_batches(pairs.lengths, tokens_per_batch=tokens, seed=seed, epoch=epoch):
            yield pairs.batch(rows, run.device)
        epoch += 1


def _outputs(model: nn.Module, batch: Pair) -> Tensor:
    source, lengths, target = batch
    return model(source, lengths, target[:, :-1])[target[:, 1:] != PAD]


def _truth(batch: Pair) -> Tensor:
    target = batch[2][:, 1:]
    return target[target != PAD]


def _quality(
    name: str, run: Run, pairs: dict[str, Pairs]
) -> tuple[Metric, Callable[[nn.Module, Split], Floats]]:
    splits = {"validation": pairs["dev"], "test": pairs["test"]}
    if name in TOKEN_METRICS:
        metric = ratio_metric(name, higher_is_better=name != "loss")
        return metric, lambda model, split: _token_statistics(model, splits[split], run, name)
    texts = {key: [example.target for example in of.examples] for key, of in splits.items()}
    made = {key: text_metric(name, references) for key, references in texts.items()}

    def statistics(model: nn.Module, split: Split) -> Floats:
        written = translator_of(run, model).write(splits[split].source)
        return made[split][1](run.vocabularies.target.decode(written))

    return made["test"][0], statistics


@torch.inference_mode()
def _token_statistics(model: nn.Module, pairs: Pairs, run: Run, name: str) -> Floats:
    values, sizes = np.zeros(len(pairs)), np.zeros(len(pairs))
    for rows in run.translator.batches(pairs.target.lengths):
        source, lengths, target = pairs.batch(rows, run.device)
        truth = target[:, 1:]
        logits = model(source, lengths, target[:, :-1]).float()
        here = truth != PAD
        if name == "loss":
            found = nn.functional.cross_entropy(logits.mT, truth, reduction="none")
        else:
            found = 100.0 * (logits.argmax(-1) == truth)
        values[rows] = (found * here).sum(-1).cpu().numpy()
        sizes[rows] = here.sum(-1).cpu().numpy()
    return per_example(values, sizes)
