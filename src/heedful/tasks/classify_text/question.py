"""Why a text has its label: its words, and the text without some of them."""

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from heedful.data.ragged import Ragged
from heedful.explaining.question import Question
from heedful.explaining.routes import encoder
from heedful.explaining.scores import label_odds
from heedful.explaining.stretches import MOST
from heedful.explaining.texts import REMOVAL, words_of
from heedful.metrics.rows import UNKNOWN
from heedful.tasks.classification import Prediction
from heedful.tasks.classify_text.texts import Batch, Texts

if TYPE_CHECKING:
    from heedful.tasks.classify_text.task import ClassifyText


def why_label(task: "ClassifyText", model: nn.Module, text: str, answer: Prediction) -> Question:
    """Ask why a text has a label.

    Args:
        task: With what it has learned.
        model: That gave the answer.
        text: As the task reads it.
        answer: Whose label is asked for.
    """
    tokens = Ragged.pack(task.vocabulary.encode([text])).cut(task.config.tokens.max_length)
    ids, pieces = tokens.flat.tolist(), task.vocabulary.pieces(text)
    words = words_of(ids, [*pieces[: len(ids) - 1], pieces[-1]])
    label = task.labels[answer.label]

    def inputs(kept: Tensor) -> Batch:
        labels = np.full(len(kept), UNKNOWN, np.int64)
        texts = Texts(words.kept(kept), task.ngrams, labels)
        return texts.batch(range(len(kept)), kept.device)

    def scores(model: nn.Module, batch: Batch) -> Tensor:
        logits = task.logits(model, batch)
        return label_odds(logits, label)

    return Question(
        pieces=words.words,
        targets=(answer.label,),
        inputs=inputs,
        scores=scores,
        removal=REMOVAL,
        route=encoder(model, words.places, sites="encoder", pooling="pooling"),
        embedding="embedding",
        embedded=words.places,
        # attention to a word grows with its letters in any model: see docs/explaining.md; of long
        # texts slopes would take too long
        method="integrated-gradients" if len(words.words) <= MOST else "",
        title=f"{text} → {answer.label}",
    )
