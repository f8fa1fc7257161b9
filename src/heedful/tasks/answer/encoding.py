"""Questions made ready for batches: sentence by sentence for a memory, or as one text for spans."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from heedful.data.batches import MULTIPLE
from heedful.data.ragged import Ints, Ragged
from heedful.data.stories import Question, compared
from heedful.data.tokens import PAD, Vocabulary
from heedful.metrics.rows import UNKNOWN
from heedful.tasks.answer.config import BidafModel, MemoryModel
from heedful.tasks.remarks import never_seen, not_read, on_text, shortened, unknown_pieces

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Batch = dict[str, "Tensor"]


def typed(text: str) -> str:
    """Return a text as it is read: in small letters, and with a space before its first word.

    It is one character longer than the text, so that places in it can be found again.
    """
    small = "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)
    return f" {small}"


class Memories:
    """Questions with the sentences of their stories, the last ones of a long one.

    Args:
        questions: What is asked.
        vocabulary: Of tokens.
        answers: The number of each one that is known, by what it is `compared` by.
        sentences: That are read of a story.
        noise: In training, the chance that a sentence seems to be one longer ago.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        vocabulary: Vocabulary,
        answers: dict[str, int],
        *,
        sentences: int,
        noise: float,
    ) -> None:
        stories = [question.story[-sentences:] for question in questions]
        self.cut = sum(len(question.story) > sentences for question in questions)
        texts = dict.fromkeys(sentence for story in stories for sentence in story)
        tokens = dict(zip(texts, _tokens(vocabulary, list(texts)), strict=True))
        self.sentences = Ragged.pack([tokens[each] for story in stories for each in story])
        self.counts = np.array([len(story) for story in stories], np.int64)
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.counts)])
        self.questions = Ragged.pack(_tokens(vocabulary, [each.question for each in questions]))
        self.right = [question.right for question in questions]
        self.truth = np.array([_number(each, answers) for each in questions], np.int64)
        self.noise = noise
        self.sizes = np.ones((len(questions), 1), np.int64)
        self.amounts = np.ones(len(questions), np.int64)

    def __len__(self) -> int:
        return len(self.truth)

    def batch(
        self,
        rows: Sequence[int],
        device: "torch.device | str",
        *,
        random: np.random.Generator | None = None,
    ) -> Batch:
        """Return these questions as tensors; in training some sentences seem longer ago."""
        import torch

        parts = [part for row in rows for part in range(self.starts[row], self.starts[row + 1])]
        words, lengths = self.sentences.padded(parts, pad=PAD)
        asked, asked_lengths = self.questions.padded(rows, pad=PAD)
        here = np.fromiter(rows, np.int64)
        counts = self.counts[here]
        ends = np.repeat(np.cumsum(counts), counts)
        ago = ends - 1 - np.arange(len(parts))
        if random is not None and self.noise:
            later = np.cumsum((random.random(len(parts)) < self.noise)[::-1])[::-1]
            ago = ago + later - np.append(later, 0)[ends]
        arrays = {
            **{"sentences": words, "lengths": lengths, "ago": ago, "counts": counts},
            **{"question": asked, "question_lengths": asked_lengths, "truth": self.truth[here]},
        }
        return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}

    def fingerprint(self) -> list[int]:
        """Return numbers of which one changes when any question does."""
        rest = Ragged.pack([self.counts.tolist(), self.truth.tolist()])
        return [each.fingerprint() for each in (self.sentences, self.questions, rest)]


class Passages:
    """Questions with their texts, and where in these the answers are.

    Args:
        questions: What is asked.
        vocabulary: Of tokens.
        longest: Tokens that are read of a text.
    """

    def __init__(
        self, questions: Sequence[Question], vocabulary: Vocabulary, *, longest: int
    ) -> None:
        self.texts = [question.text for question in questions]
        pieces = [vocabulary.pieces(typed(text))[1:-1] for text in self.texts]
        self.cut = sum(len(each) > longest for each in pieces)
        # where each token ends in its text, the space before it left out of the count
        self.ends = [np.cumsum([len(p) for p in each])[:longest] - 1 for each in pieces]
        self.tokens = Ragged.pack([r[:longest] for r in _tokens(vocabulary, self.texts)])
        self.questions = Ragged.pack(_tokens(vocabulary, [each.question for each in questions]))
        spans = [_span(*pair) for pair in zip(questions, self.ends, strict=True)]
        self.spans = np.array(spans, np.int64).reshape(-1, 2)
        self.right = [question.right for question in questions]
        self.sizes = np.ones((len(questions), 1), np.int64)
        self.amounts = np.ones(len(questions), np.int64)

    def __len__(self) -> int:
        return len(self.spans)

    def batch(
        self, rows: Sequence[int], device: "torch.device | str", *, random: object = None
    ) -> Batch:
        """Return these questions as tensors."""
        import torch

        text, lengths = self.tokens.padded(rows, pad=PAD, multiple=MULTIPLE)
        asked, asked_lengths = self.questions.padded(rows, pad=PAD, multiple=MULTIPLE)
        here = np.fromiter(rows, np.int64)
        arrays = {
            **{"text": text, "lengths": lengths, "question": asked},
            **{"question_lengths": asked_lengths, "spans": self.spans[here]},
        }
        return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}

    def words(self, row: int, first: int, last: int) -> str:
        """Return the text from one token to another."""
        start = int(self.ends[row][first - 1]) if first else 0
        return self.texts[row][start : int(self.ends[row][last])].strip()

    def fingerprint(self) -> list[int]:
        """Return numbers of which one changes when any question does."""
        spans = Ragged.pack(self.spans.tolist())
        return [each.fingerprint() for each in (self.tokens, self.questions, spans)]


def remarks_on(question: Question, known: Vocabulary, model: MemoryModel | BidafModel) -> list[str]:
    """Say what of a text is not read, and which words of it and of the question are new.

    Args:
        question: With its text.
        known: The tokens of the model.
        model: Its settings.
    """
    text = typed(question.text)
    if isinstance(model, MemoryModel):
        given, read = len(question.story), model.sentences
        said = not_read("a story", "last sentences", given, read, "model.sentences")
        said += never_seen(repr(shortened(question.text)), unknown_pieces(known, text))
    else:
        said = on_text(question.text, text, known, model.max_length, "model.max_length")
    asked = unknown_pieces(known, typed(question.question))
    return said + never_seen(repr(question.question), asked)


def _number(question: Question, answers: dict[str, int]) -> int:
    """The number of an answer; of another right one where that one is not known."""
    for answer in (question.answer, *question.others):
        if compared(answer) in answers:
            return answers[compared(answer)]
    return UNKNOWN


def _tokens(vocabulary: Vocabulary, texts: Sequence[str]) -> list[list[int]]:
    """Tokens of each text, without the markers of its beginning and its end."""
    return [row[1:-1] for row in vocabulary.encode([typed(text) for text in texts])]


def _span(question: Question, ends: Ints) -> tuple[int, int]:
    """The first and the last token of an answer; -100 where it is not in what is read."""
    if not question.answer:
        return UNKNOWN, UNKNOWN
    lengths = [len(sentence) + 1 for sentence in question.story]
    facts = [sum(lengths[:fact]) for fact in question.facts]
    bounds = [(start, start + lengths[f]) for start, f in zip(facts, question.facts, strict=True)]
    whole = rf"(?<!\w){re.escape(question.answer)}(?!\w)"
    for low, high in [*reversed(bounds), (0, len(question.text))]:
        part = question.text[low:high]
        found = re.search(whole, part) or re.search(re.escape(question.answer), part)
        if found is not None:
            start, end = low + found.start(), low + found.end()
            # a token ends behind its last letter; the first one that ends after `start` holds it
            first, last = np.searchsorted(ends, [start, end - 1], side="right").tolist()
            return (first, last) if last < len(ends) else (UNKNOWN, UNKNOWN)
    return UNKNOWN, UNKNOWN
