"""Text to token numbers and back, without loss for every piece that the vocabulary knows."""

import os
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from tokenizers import Regex, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend
from tokenizers.models import BPE, WordLevel

from heedful.data.scripts import UNSPACED, WORD, composed, typed_parts
from heedful.errors import ConfigError, RunError
from heedful.files import read_whole, reason, write_bytes

Kind = Literal["words", "characters", "bpe"]

PAD, BOS, EOS, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")

_LARGEST = 1 << 26  # bytes of a saved vocabulary
_CHUNK = 4_096  # texts that one thread encodes at a time
# How text falls into pieces; together they are the text again, whatever it is. \X is one visible
# character with all its marks, "(?m:.)" one code point, line ends included.
_PIECES: dict[Kind, str] = {
    "words": rf"{WORD}|\X",
    "characters": r"(?m:.)",
    "bpe": rf"{WORD}|{UNSPACED}+|\X",  # merges never cross these
}


class Vocabulary:
    """The pieces that one side of a model knows, and their numbers.

    `<pad>` is 0, `<s>` 1, `</s>` 2, `<unk>` 3. Text is composed (NFC) first. Pieces written one
    after the other are the text, so decoding needs no rules of its own.

    Args:
        backend: A tokeniser of Hugging Face's with these four numbers.
    """

    def __init__(self, backend: Backend) -> None:
        # The backend's own threads, once used, warn in every process that is forked later.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._backend = backend
        pieces = backend.get_vocab(with_added_tokens=False)
        self._surface = sorted(pieces, key=pieces.__getitem__)

    @property
    def size(self) -> int:
        """How many pieces there are, the four special ones included."""
        return len(self._surface)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of each text's pieces between `<s>` and `</s>`."""
        chunks = [list(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]
        if len(chunks) < 2:
            return [row for chunk in chunks for row in self._encode(chunk)]
        with ThreadPoolExecutor() as threads:  # the backend lets go of Python's lock
            return [row for rows in threads.map(self._encode, chunks) for row in rows]

    def decode(self, numbers: Sequence[Sequence[int]]) -> list[str]:
        """Texts again, each up to its first `</s>`; an unknown piece reads `<unk>`."""
        return [self._text(row) for row in numbers]

    def pieces(self, text: str) -> list[str]:
        """The text of each number that `encode` gives, as it was typed, also where unknown.

        Between the markers they are `text` again.
        """
        typed = typed_parts(text)
        with _panics():
            encoding = self._backend.encode(composed(text))  # of other text it loses marks
        return [
            SPECIAL[number] if number in (BOS, EOS) else "".join(typed[start:end])
            for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    def spelled(self, numbers: Sequence[int]) -> list[str]:
        """The text of each number by itself, of special ones their names; nothing is left out."""
        return [self._surface[number] for number in numbers]

    def save(self, path: Path | str) -> None:
        """Write a `tokenizer.json`, whole or not at all.

        Raises:
            RunError: The folder cannot be written.
        """
        write_bytes(Path(path), self._backend.to_str(pretty=True).encode())

    @classmethod
    def load(cls, path: Path | str) -> "Vocabulary":
        """Read what `save` wrote.

        Raises:
            RunError: There is no such file, or it holds something else.
        """
        path = Path(path)
        if not (path.exists() or path.is_symlink()):
            raise RunError(f"{path} must be a saved vocabulary, got no such file")
        try:
            with _panics():
                backend = Backend.from_str(read_whole(path, most=_LARGEST).decode())
                found = tuple(backend.id_to_token(number) for number in range(len(SPECIAL)))
                strange = _strange(backend) if found == SPECIAL else None
        except RunError:
            raise
        except Exception as error:  # tokenizers raises bare Exception for a damaged file
            raise RunError(f"{path} must be a saved vocabulary, got {reason(error):.200}") from None
        if found != SPECIAL:
            raise RunError(f"{path} must begin with the pieces {SPECIAL}, got {found!r:.200}")
        if strange is not None:
            raise RunError(f"{path} must be a saved vocabulary, got {strange}")
        return cls(backend)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        with _panics():
            return [encoding.ids for encoding in self._backend.encode_batch_fast(texts)]

    def _text(self, row: Sequence[int]) -> str:
        end = row.index(EOS) if EOS in row else len(row)
        return "".join(self._surface[i] for i in row[:end] if i not in (PAD, BOS))


def _strange(backend: Backend) -> str | None:
    """Say what a tokeniser does that none of ours does; `None` where it is like ours."""
    pieces = backend.get_vocab(with_added_tokens=True)
    if sorted(pieces.values()) != list(range(backend.get_vocab_size(with_added_tokens=False))):
        return "numbers of pieces that do not count from 0 without a gap"
    if (
        not isinstance(backend.model, WordLevel | BPE)
        or backend.model.unk_token != SPECIAL[UNKNOWN]
    ):
        return f"a model without {SPECIAL[UNKNOWN]} for what it does not know"
    if isinstance(backend.model, BPE) and backend.model.dropout:
        return "a model that leaves merges out by chance"
    if backend.truncation is not None or backend.padding is not None:
        return "one that cuts or fills texts"
    if backend.encode("").ids != [BOS, EOS]:
        return f"one that does not write {SPECIAL[BOS]} and {SPECIAL[EOS]} around a text"
    return None


@contextmanager
def _panics() -> Generator[None]:
    """What the tokeniser's own language cannot go on from is no `Exception` in Python."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RunError(
            f"a vocabulary must be able to cut every text, got: {reason(error):.200}"
        ) from None


def train_tokenizer(
    kind: Kind, texts: Iterable[str], *, vocabulary: int, min_count: int = 1
) -> Vocabulary:
    """Collect the pieces of `texts`, the most frequent first.

    Args:
        kind: `words`: a word with the space before it, one digit, one mark, or one character of a
            script without spaces. `characters`: one code point. `bpe`: the longest frequent parts
            of words (or of runs of unspaced script) that fit.
        texts: What to learn from.
        vocabulary: Upper limit of pieces, the four special ones included.
        min_count: Words and characters that are rarer become `<unk>`; with `bpe`, rarer pairs are
            not merged.

    Raises:
        ConfigError: `kind` is unknown, or no piece is left by `texts`, `vocabulary`, `min_count`.

    Source:
        Sennrich et al. 2016, arXiv:1508.07909, section 3.2 (BPE).
    """
    if kind not in _PIECES:
        raise ConfigError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    if vocabulary <= len(SPECIAL):
        raise ConfigError(f"vocabulary must be more than {len(SPECIAL)}, got {vocabulary}")
    raw = _backend(kind, BPE(unk_token="<unk>") if kind == "bpe" else WordLevel(unk_token="<unk>"))
    texts = list(texts)
    raw.train_from_iterator(texts, _trainer(kind, texts, vocabulary, min_count))
    if raw.get_vocab_size() == len(SPECIAL):
        raise ConfigError(
            f"min_count must leave some piece of the texts, got {min_count}, and none that often"
        )
    # Trained backends also look for "<s>" and the like *inside* text. A fresh one around the same
    # model does not: a user's "<s>" is three pieces, not the start of a sentence.
    return Vocabulary(_backend(kind, raw.model))


def _trainer(kind: Kind, texts: list[str], vocabulary: int, min_count: int) -> trainers.Trainer:
    options: dict[str, Any] = {
        "vocab_size": vocabulary,
        "min_frequency": min_count,
        "special_tokens": list(SPECIAL),
        "show_progress": False,
    }
    if kind != "bpe":
        return trainers.WordLevelTrainer(**options)
    # The trainer itself would cut equally frequent letters in another order each time.
    letters = Counter(letter for text in texts for letter in composed(text))
    alphabet = sorted(letters, key=lambda letter: (-letters[letter], letter))
    alphabet = alphabet[: vocabulary - len(SPECIAL)]
    return trainers.BpeTrainer(**options, initial_alphabet=alphabet, limit_alphabet=len(alphabet))


def _backend(kind: Kind, model: WordLevel | BPE) -> Backend:
    backend = Backend(model)
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECES[kind]), "isolated")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", BOS), ("</s>", EOS)]
    )
    return backend
