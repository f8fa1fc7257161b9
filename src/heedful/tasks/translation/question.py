"""Why a translation is what it is: the words of its source, and the source without some of them."""

from torch import Tensor, nn

from heedful.data.ragged import Ragged
from heedful.data.tokens import Vocabulary
from heedful.errors import UnsupportedError
from heedful.explaining.question import Question
from heedful.explaining.routes import encoder_decoder
from heedful.explaining.scores import written_odds
from heedful.explaining.texts import REMOVAL, words_of


def why_written(
    model: nn.Module, source: Vocabulary, target: Vocabulary, text: str, written: str
) -> Question:
    """Ask why a model wrote each token of a text, given those before it.

    Args:
        model: A `Seq2Seq`.
        source: Cuts what was read.
        target: Cuts what was written.
        text: What was read.
        written: What was written.

    Raises:
        UnsupportedError: Nothing was written.
    """
    longest = getattr(model, "longest", None)
    numbers, said_pieces = target.written(written)
    read, said = (
        Ragged.pack([row]).cut(longest).flat.tolist() for row in (source.encode([text])[0], numbers)
    )
    if len(said) < 3:
        raise UnsupportedError(f"an answer must hold a token to be explained, got {written!r}")
    pieces = source.pieces(text)
    words = words_of(read, [*pieces[: len(read) - 1], pieces[-1]])

    def scores(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        tokens, lengths = batch
        return written_odds(lambda target: model(tokens, lengths, target), said[:-1], tokens)

    return Question(
        pieces=words.words,
        targets=tuple(said_pieces[1 : len(said) - 1]),
        inputs=words.batch,
        scores=scores,
        removal=REMOVAL,
        route=encoder_decoder(model, words.places, rows=range(len(said) - 2)),
        embedding="source_embedding",
        embedded=words.places,
        title=f"{text} → {written}",
    )
