"""Explaining a checkpoint folder: why it says what it says of a text, and whether that holds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heedful.checkpoints.folder import open_checkpoint
from heedful.checkpoints.heads import Head, head_of
from heedful.checkpoints.heads._texts import written
from heedful.checkpoints.heads.causal import CausalHead
from heedful.checkpoints.heads.encoder import EncoderHead, pooled
from heedful.checkpoints.heads.labels import LabelsHead
from heedful.checkpoints.heads.seq2seq import Seq2SeqHead
from heedful.checkpoints.inputs.text import TextInputs
from heedful.errors import DataError, UnsupportedError
from heedful.explaining.explain import explain_question
from heedful.explaining.explanation import Explanation
from heedful.explaining.foreign._model import whole
from heedful.explaining.foreign.label import ask, why_label, why_similar
from heedful.explaining.foreign.tokens import Copies, Tokens, tokenized
from heedful.explaining.foreign.written import why_continued, why_written
from heedful.explaining.paths import decision_paths
from heedful.explaining.question import Question

WRITTEN = 20  # tokens that are written and explained, at most

Asked = tuple[Question, str]  # and what was answered


def explain_checkpoint(
    folder: Path | str, text: str, *, paths: int = 0, seed: int = 0, **options: Any
) -> Explanation:
    """Answer a text by a checkpoint of Hugging Face, and say which of its words that rests on.

    A classifier is asked for its label, a language model for the tokens with which it goes on, an
    encoder-decoder for those that it writes, and an encoder for how far its vector reaches in the
    direction that it has.

    Args:
        folder: As `save_pretrained` wrote it, or as `heedful optimize` left it.
        text: To be read.
        paths: How many of the strongest paths through heads are cut for each target.
        seed: Of what is random.
        options: Of `heedful.explaining.explain.explain_question`, by name.

    Raises:
        ConfigError: There is no such method, site or head.
        DataError: The text holds nothing, or more than the model reads, or nothing is written.
        RunError: The folder is damaged.
        UnsupportedError: The checkpoint reads no texts, or does something else with them.

    Cost:
        As `heedful.explain`.
    """
    checkpoint = open_checkpoint(folder)
    model, head = checkpoint.model, head_of(checkpoint)
    kind = next((each for each in ASKED if isinstance(head, each)), None)
    if kind is None or not isinstance(head.inputs, TextInputs):
        raise UnsupportedError(
            "a checkpoint must label texts, write them or make vectors of them to be explained, "
            f"got {checkpoint.architecture}"
        )
    question, answered = ASKED[kind](head, model, _read(head.inputs, text))
    shown = f"{text} → {answered}" if answered else text
    question = replace(question, title=shown)
    found = explain_question(model, question, seed=seed, **options)
    if not paths:
        return found
    return replace(found, paths=decision_paths(model, question, paths=paths, seed=seed))


def _read(inputs: TextInputs, text: str) -> Tokens:
    if not text.strip():
        raise DataError(f"an input must hold something to explain, got {text!r}")
    found = tokenized(inputs.tokenizer, text)
    if len(found.numbers) > inputs.longest:
        raise DataError(
            f"a text must have at most {inputs.longest:,} tokens, as many as the model reads, "
            f"got {len(found.numbers):,}"
        )
    return found


def _labelled(head: Any, model: nn.Module, text: Tokens) -> Asked:
    with torch.inference_mode():
        label = int(ask(model, whole(model, text)).argmax())
    question = why_label(model, text, label)
    return question, question.targets[0]


def _described(head: Any, model: nn.Module, text: Tokens) -> Asked:
    def vectors(model: nn.Module, copies: Copies) -> Tensor:
        found: Any = model(input_ids=copies.tokens, attention_mask=copies.there.long())
        return pooled(found.last_hidden_state.float(), copies.there, head.pooling)

    return why_similar(model, text, pooled=vectors), ""


def _continued(head: Any, model: nn.Module, text: Tokens) -> Asked:
    names, numbers = _written(head.inputs.tokenizer, model, text, len(text.numbers))
    return why_continued(model, text, numbers, names), "".join(names)


def _translated(head: Any, model: nn.Module, text: Tokens) -> Asked:
    names, numbers = _written(head.tokenizer, model, text, 1)  # behind what writing begins with
    return why_written(model, text, numbers, names), head.tokenizer.decode(numbers)


def _written(
    tokenizer: Any, model: Any, text: Tokens, before: int
) -> tuple[Sequence[str], Sequence[int]]:
    """The tokens that a model writes, likeliest first, up to what ends a text, and their texts."""
    copies = whole(model, text)
    inputs = {"input_ids": copies.tokens, "attention_mask": copies.there.long()}
    row = written(model, inputs, max_new_tokens=WRITTEN, num_beams=1)[0]
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    numbers = row[before:].tolist()
    numbers = numbers[: next((at for at, each in enumerate(numbers) if each in ends), None)]
    if not numbers:
        raise DataError("a model must write something to be explained, got the end of a text")
    return [tokenizer.decode([number]) for number in numbers], numbers


ASKED: dict[type[Head], Callable[[Any, nn.Module, Tokens], Asked]] = {
    LabelsHead: _labelled,
    EncoderHead: _described,
    CausalHead: _continued,
    Seq2SeqHead: _translated,
}
