"""Why a text goes on as it does: the words of its prompt, and the prompt without some of them."""

from collections.abc import Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from heedful.data.ragged import Ragged
from heedful.data.tokens import BOS, EOS, PAD
from heedful.explaining.question import NOWHERE, Question
from heedful.explaining.routes import encoder
from heedful.explaining.scores import log_odds, words_odds
from heedful.explaining.texts import words_of
from heedful.tasks.generate_text.passages import Passage

if TYPE_CHECKING:
    from heedful.tasks.generate_text.task import Continuation, GenerateText

Token = tuple[int, str]  # its number and its text

ASKED = 8  # words that were written, the first ones
REMOVAL = "left out of the text; a line break where nothing is left"


class Copies(NamedTuple):
    """Prompts, each with what was written behind it.

    Args:
        tokens: Padded, without the last one.
        places: For each written token, where the one before it stands.
        written: What was written.
    """

    tokens: Tensor
    places: Tensor
    written: Tensor


def why_continued(
    task: "GenerateText", model: nn.Module, prompt: Passage, answer: "Continuation"
) -> Question:
    """Ask why a model wrote each of the first words of a continuation, given what is before it.

    A word is decided by its first token; what follows that is written, and seldom rests on the
    prompt. So attention is read where the first one is, while the score is that of the word.

    A model of limited sight is asked about as many last tokens of the prompt, and as many first
    ones of what was written, as it sees at once.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        prompt: What was gone on with.
        answer: What was written.
    """
    before, written, sizes = _seen(task, model, prompt, answer.written)
    tokens, pieces = zip(*before, strict=True)
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    # without the markers that `words_of` expects: a language model reads none
    words = words_of((BOS, *tokens, EOS), ("", *pieces, ""))
    said = [token for token, _ in written]
    blank = task.vocabulary.encode(["\n"])[0][1]
    places = (*words.places[1:-1], *[NOWHERE] * (len(said) - 1))

    def inputs(kept: Tensor) -> Copies:
        prompts = [row[1:-1] or [blank] for row in words.kept(kept).lists()]
        rows = Ragged.pack([[*row, *said[:-1]] for row in prompts])
        padded, lengths = rows.padded(range(len(kept)), pad=PAD)
        steps = torch.arange(len(said)) - len(said)
        return Copies(
            torch.from_numpy(padded).to(kept.device),
            (torch.from_numpy(lengths)[:, None] + steps).to(kept.device),
            torch.tensor(said, device=kept.device).expand(len(kept), -1),
        )

    def scores(model: nn.Module, batch: Copies) -> Tensor:
        logits = model(batch.tokens)
        places = batch.places[..., None].expand(-1, -1, logits.shape[-1])
        return words_odds(log_odds(logits.gather(1, places), batch.written), sizes)

    return Question(
        pieces=words.words,
        targets=_words(written, sizes),
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        route=encoder(
            model, places, sites="layers", rows=[len(before) - 1 + start for start in starts]
        ),
        embedding="embedding",
        embedded=places,
        title=f"{prompt.text:.200} → {answer.text:.200}",
    )


def _words(tokens: list[Token], sizes: list[int]) -> tuple[str, ...]:
    pieces = (piece for _, piece in tokens)
    return tuple("".join(islice(pieces, size)) for size in sizes)


def _seen(
    task: "GenerateText", model: nn.Module, prompt: Passage, tokens: Sequence[int]
) -> tuple[list[Token], list[Token], list[int]]:
    """The tokens of a prompt and of the words asked for that a model sees at once; their sizes."""
    vocabulary = task.vocabulary
    before = [
        pair
        for side in (prompt.before, prompt.text)
        for pair in list(zip(vocabulary.encode([side])[0], vocabulary.pieces(side), strict=True))[
            1:-1
        ]
    ]
    spelled = vocabulary.spelled(tokens)
    places = words_of((BOS, *tokens, EOS), ("", *spelled, "")).places[1:-1]
    sizes = [len([*word]) for _, word in groupby(places)][:ASKED]
    written = list(zip(tokens, spelled, strict=True))[: sum(sizes)]
    sight = getattr(model, "longest", None)
    if sight is None:
        return before, written, sizes
    before = before[-max(sight - len(written) + 1, sight // 2) :]
    written = written[: sight - len(before) + 1]
    ends = np.minimum(np.cumsum([0, *sizes]), len(written))
    return before, written, [size for size in np.diff(ends).tolist() if size]
