"""Why a summary is what it is: the words of its text, and the text without some of them."""

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn

from heedful.data.examples import Example
from heedful.data.tokens import BOS
from heedful.errors import UnsupportedError
from heedful.explaining.question import Question
from heedful.explaining.routes import encoder_decoder
from heedful.explaining.scores import written_odds
from heedful.explaining.texts import REMOVAL, words_of
from heedful.models.pointer import LEAST
from heedful.tasks.summarise.config import RnnModel
from heedful.tasks.summarise.pairs import as_read, spelled

if TYPE_CHECKING:
    from heedful.tasks.summarise.task import Summarise, Summary


def why_summarised(task: "Summarise", model: nn.Module, text: str, summary: "Summary") -> Question:
    """Ask why a model wrote each word of a summary, given those before it.

    A word that can only be copied has next to no odds where it was left out of the text.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        text: That was read.
        summary: That was written.

    Raises:
        UnsupportedError: Nothing was written.
    """
    if not summary.written:
        raise UnsupportedError("a summary must hold a word to be explained, got none")
    vocabulary, lowercase = task.vocabulary, task.config.tokens.lowercase
    data = task.encode([Example(text, "")])
    read, said = data.source.flat.tolist(), [BOS, *summary.written]
    pieces = vocabulary.pieces(as_read(text, lowercase))
    words = words_of(read, [*pieces[: len(read) - 1], pieces[-1]])
    size = vocabulary.size + len(data.words[0])

    def scores(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        tokens, lengths = batch

        def logits(target: Tensor) -> Tensor:
            found = model(tokens, lengths, target)
            # no place is left that could be pointed at for words that no copy has
            missing = max(size - found.shape[-1], 0)
            return nn.functional.pad(found, (0, missing), value=math.log(LEAST))

        return written_odds(logits, said, tokens)

    recurrent = isinstance(task.config.model, RnnModel)
    inside = "" if recurrent else "network."
    return Question(
        pieces=words.words,
        targets=tuple(spelled(vocabulary, summary.written, data.words[0])),
        inputs=words.batch,
        scores=scores,
        removal=REMOVAL,
        route=encoder_decoder(
            model,
            words.places,
            rows=range(len(said) - 1),
            encoder=f"{inside}encoder",
            decoder=f"{inside}decoder",
        ),
        embedding=f"{inside}source_embedding",
        embedded=words.places,
        title=f"{text:.200} → {summary.text}",
    )
