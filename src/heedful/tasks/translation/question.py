"""Why a translation is what it is: the words of its source, and the source without some of them."""

from collections.abc import Sequence

from torch import Tensor, nn

from heedful.errors import UnsupportedError
from heedful.explaining.question import Question
from heedful.explaining.routes import encoder_decoder
from heedful.explaining.scores import written_odds
from heedful.explaining.texts import REMOVAL, words_of
from heedful.tasks.translation.pairs import Vocabularies, exchange


def why_written(
    model: nn.Module, vocabularies: Vocabularies, text: str, written: Sequence[int]
) -> Question:
    """Ask why a model wrote each token of a text, given those before it.

    Args:
        model: A `Seq2Seq`.
        vocabularies: Cut what was read, and spell what was written.
        text: What was read.
        written: The tokens that were written.

    Raises:
        UnsupportedError: Nothing was written.
    """
    both = exchange(vocabularies, text, written, longest=getattr(model, "longest", None))
    if not both.said_pieces:
        raise UnsupportedError("an answer must hold a token to be explained, got none")
    words = words_of(both.read, both.read_pieces)

    def scores(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        tokens, lengths = batch
        return written_odds(lambda target: model(tokens, lengths, target), both.said, tokens)

    return Question(
        pieces=words.words,
        targets=tuple(both.said_pieces),
        inputs=words.batch,
        scores=scores,
        removal=REMOVAL,
        route=encoder_decoder(model, words.places, rows=range(len(both.said_pieces))),
        embedding="source_embedding",
        embedded=words.places,
        title=f"{text} → {''.join(both.said_pieces)}",
    )
