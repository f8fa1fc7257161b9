"""Why a translation is what it is: the words of its source, and the source without some of them."""

import torch
from torch import Tensor, nn

from heedful.data.ragged import Ragged
from heedful.data.tokens import PAD, Vocabulary
from heedful.errors import UnsupportedError
from heedful.explaining.question import Question
from heedful.explaining.routes import encoder_decoder
from heedful.explaining.scores import log_odds
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
    read, said = (
        Ragged.pack(side.encode([given])).cut(longest).flat.tolist()
        for side, given in ((source, text), (target, written))
    )
    if len(said) < 3:
        raise UnsupportedError(f"an answer must hold a token to be explained, got {written!r}")
    pieces = source.pieces(text)
    words = words_of(read, [*pieces[: len(read) - 1], pieces[-1]])
    known = torch.tensor(said[:-2])  # each target is read where the token before it stands
    truth = torch.tensor(said[1:-1])

    def inputs(kept: Tensor) -> tuple[Tensor, Tensor]:
        tokens, lengths = Ragged.pack(words.kept(kept)).padded(range(len(kept)), pad=PAD)
        return torch.from_numpy(tokens).to(kept.device), torch.from_numpy(lengths).to(kept.device)

    def scores(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        tokens, lengths = batch
        rows = known.to(tokens.device).expand(len(tokens), -1)
        return log_odds(model(tokens, lengths, rows), truth.to(rows).expand_as(rows))

    return Question(
        pieces=words.words,
        targets=tuple(target.pieces(written)[1 : len(said) - 1]),
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        route=encoder_decoder(model, words.places, rows=range(len(truth))),
        embedding="source_embedding",
        embedded=words.places,
        title=f"{text} → {written}",
    )
