"""A trained translator as a problem of optimisation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from heedful.data.batches import token_batches
from heedful.data.examples import Example
from heedful.data.load import load_training
from heedful.data.scripts import composed
from heedful.data.tokens import PAD
from heedful.errors import ConfigError, DataError, RunError, UnsupportedError
from heedful.metrics.metric import Floats, Metric, per_example, ratio_metric
from heedful.metrics.texts import TEXT_METRICS, text_metric
from heedful.models import Transformer
from heedful.optimizing.forced_decoding import ForcedDecoding
from heedful.optimizing.problem import Problem, Split, unavailable
from heedful.tasks.translation import Pairs, Translator, Vocabularies, encode
from heedful.training.run import Run

CALIBRATION = 256  # pairs for scores and least squares
FINETUNING = 150_000  # pairs to fine-tune with, at most
TIMED = 128  # phrases that are written to measure what sites cost
TOKEN_METRICS = ("loss", "token_accuracy")
METRICS = (*TEXT_METRICS, *TOKEN_METRICS)
FINETUNING_RATE = 0.6  # of the learning rate of the training

Pair = tuple[Tensor, Tensor, Tensor]


def problem_of_run(
    run: Run, metric: str, *, seed: int = 0, test: Sequence[Example] | None = None
) -> Problem:
    """Return what must be known about a run.

    It is calibrated and fine-tuned on the training split, searched with on `dev`, and judged on
    `test`. An example that training saw is left out of `dev` and `test`, and one of `dev` out of
    `test`: the verdict is about what neither has seen.

    Args:
        run: A Transformer that translates.
        metric: One of `METRICS`.
        seed: Of the calibration pairs.
        test: Examples to judge with. `None` means the test split of the run.

    Raises:
        ConfigError: There is no such metric.
        UnsupportedError: The model is no Transformer.
        DataError: A split is empty, or all of its examples are in another one.
        RunError: The training data is not what it was.
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
    train = _trained_on(run)
    fresh, left_out = _unseen(train, data)
    pairs = {
        split: encode(examples, run.vocabularies)[0].cut(model.longest)
        for split, examples in fresh.items()
    }
    quality, statistics = _quality(metric, run, pairs)
    timed = pairs["dev"].examples[:TIMED]
    return replace(
        _to_finetune(run, model, train, seed),
        statistics=statistics,
        metric=quality,
        dev_examples=len(pairs["dev"]),
        test_examples=len(pairs["test"]),
        work=ForcedDecoding(run.translator, timed),
        use=_writing(run, timed),
        left_out=left_out,
    )


def problem_to_finetune(run: Run, *, seed: int = 0) -> Problem:
    """Return what its training split alone tells about a run; it cannot be judged, nor timed.

    Args:
        run: A Transformer that translates.
        seed: Of the calibration pairs.

    Raises:
        UnsupportedError: The model is no Transformer.
        RunError: The training data is not what it was.
    """
    model = _transformer(run)  # another network is refused before its data is read
    return _to_finetune(run, model, _trained_on(run), seed)


def problem_to_profile(run: Run, *, seed: int = 0) -> Problem:
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
        work=ForcedDecoding(run.translator, timed),
        use=_writing(run, timed),
    )


def translator_of(
    run: Run, model: nn.Module, vocabularies: Vocabularies | None = None
) -> Translator:
    """Return a translator like the run's with another model.

    Args:
        run: Of the original.
        model: In its place.
        vocabularies: Those of the run where they were read already.
    """
    return Translator(
        cast(Transformer, model),
        run.vocabularies if vocabularies is None else vocabularies,
        run.config.decode,
        longest=run.config.data.max_length,
    )


def _trained_on(run: Run) -> list[Example]:
    """The training split, which must be what the run was trained on."""
    train = load_training(run.config.data, run.config.seed)
    pairs = _encoded(run, train)
    found = [pairs.source.fingerprint(), pairs.target.fingerprint()]
    if run.about.get("data_fingerprint") != found:
        raise RunError(
            f"the training data of {run.folder} must be what it was, got other examples. "
            "Restore the files, or train anew."
        )
    return train


def _to_finetune(run: Run, model: Transformer, train: Sequence[Example], seed: int) -> Problem:
    order = np.random.default_rng(seed).permutation(len(train))
    pairs = _encoded(run, [train[row] for row in order[:FINETUNING]])
    chosen = range(min(CALIBRATION, len(pairs)))
    return replace(
        _bare(model, _batches(pairs, list(chosen), run.device)),
        training=partial(_endless, pairs, run),
        learning_rate=run.config.train.learning_rate * FINETUNING_RATE,
        low_precision=run.about["precision"] == "bf16",
    )


def _bare(model: Transformer, calibration: Sequence[Pair]) -> Problem:
    """What a model says to batches, and nothing to fine-tune, judge or time it with."""
    return Problem(
        model=model,
        calibration=calibration,
        training=unavailable,
        outputs=_outputs,
        kind="logits",
        truth=_truth,
        statistics=unavailable,
        metric=ratio_metric("loss", higher_is_better=False),
        dev_examples=0,
        test_examples=0,
        work=unavailable,
        use=unavailable,
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
    vocabularies = run.vocabularies  # read once: the files are no part of the time
    source = encode(examples, vocabularies)[0].source
    return lambda model: translator_of(run, model, vocabularies).write(source)


def _unseen(
    train: Sequence[Example], data: Mapping[str, Sequence[Example]]
) -> tuple[dict[str, list[Example]], dict[str, int]]:
    """The examples of splits that neither the training split nor an earlier one holds."""
    seen = set(_texts(train))
    fresh, left_out = dict[str, list[Example]](), dict[str, int]()
    for split, examples in data.items():
        texts = _texts(examples)
        fresh[split] = [x for x, text in zip(examples, texts, strict=True) if text not in seen]
        left_out[split] = len(examples) - len(fresh[split])
        if not fresh[split]:
            raise DataError(
                f"the {split} split must hold an example that no earlier split holds, "
                f"got {len(examples)} that one does"
            )
        seen.update(texts)
    return fresh, left_out


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
    splits = {"dev": pairs["dev"], "test": pairs["test"]}
    if name in TOKEN_METRICS:
        metric = ratio_metric(name, higher_is_better=name != "loss")
        return metric, lambda model, split: _token_statistics(model, splits[split], run, name)
    texts = {key: [example.target for example in of.examples] for key, of in splits.items()}
    vocabularies = run.vocabularies
    made = {key: text_metric(name, references) for key, references in texts.items()}

    def statistics(model: nn.Module, split: Split) -> Floats:
        written = translator_of(run, model, vocabularies).write(splits[split].source)
        return made[split][1](vocabularies.target.decode(written))

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
