"""Texts as tokens of the checkpoint's own tokeniser."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from heedful.checkpoints.examples import CheckpointExample
from heedful.checkpoints.folder import Checkpoint
from heedful.checkpoints.inputs.base import Inputs, opened
from heedful.errors import DataError, RunError

LONGEST = 512  # tokens that are read of a text, where the model itself could take more


class TextInputs(Inputs):
    """Texts, or pairs of them.

    Args:
        checkpoint: Which brings its tokeniser along.
        longest: Tokens that are read of a text. `None` means `LONGEST`, or fewer where the model
            takes no more.

    Raises:
        RunError: There is no tokeniser, or it is damaged.
    """

    needs = "text"
    wants = ("pair",)
    most: ClassVar[Mapping[str, int]] = {"calibration": 20_000, "dev": 1_024, "test": 2_048}

    def __init__(self, checkpoint: Checkpoint, longest: int | None = None) -> None:
        self.tokenizer = tokenizer_of(checkpoint)
        known = [
            longest or LONGEST,
            int(min(self.tokenizer.model_max_length, 1 << 30)),
            getattr(checkpoint.config, "max_position_embeddings", None),
            checkpoint.read("sentence_bert_config.json").get("max_seq_length"),
        ]
        self.longest = min(value for value in known if isinstance(value, int) and value > 0)
        self.keys = {"input_ids", "token_type_ids", "attention_mask"}
        self._encoded: dict[CheckpointExample, dict[str, list[int]]] = {}

    @property
    def processor(self) -> Any:
        """The tokeniser."""
        return self.tokenizer

    def encode(self, example: CheckpointExample) -> dict[str, list[int]]:
        """Return the tokens of an example, and what goes with them.

        Raises:
            DataError: There are none.
        """
        known = self._encoded.get(example)
        if known is None:
            pair = (example.pair,) if example.pair else ()
            found = self.tokenizer(example.text, *pair, truncation=True, max_length=self.longest)
            known = {name: list(found[name]) for name in found if name in self.keys}
            if not known["input_ids"]:
                raise DataError(f"a text must have tokens, got none for {example.text!r:.80}")
            self._encoded[example] = known
        return known

    def identity(self, example: CheckpointExample) -> str:
        """Return the tokens as a text."""
        found = self.encode(example)
        kinds = found.get("token_type_ids", ())
        return f"{found['input_ids']}{sum(kinds) or ''}"

    def size(self, example: CheckpointExample) -> int:
        """Return the number of tokens."""
        return len(self.encode(example)["input_ids"])

    def batch(self, examples: Sequence[CheckpointExample]) -> dict[str, Tensor]:
        """Return padded tokens with their mask."""
        rows = [self.encode(example) for example in examples]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return dict(self.tokenizer.pad(columns, padding=True, return_tensors="pt"))


def tokenizer_of(checkpoint: Checkpoint) -> Any:
    """Return the tokeniser of a checkpoint, which can pad.

    Raises:
        RunError: There is none, or it is damaged.
    """
    from transformers import AutoTokenizer

    found: Any = opened(AutoTokenizer, checkpoint, "tokeniser", config=checkpoint.config)
    files = [name for name in found.vocab_files_names.values() if isinstance(name, str)]
    if files and not any((checkpoint.folder / name).is_file() for name in files):
        # without any file transformers makes a tokeniser of special tokens alone, and says nothing
        raise RunError(
            f"{checkpoint.folder} must hold its tokeniser, got none of {', '.join(files)}"
        )
    if found.pad_token_id is None:
        if found.eos_token_id is None:
            raise RunError(
                f"the tokeniser of {checkpoint.folder} must have a padding token, got none"
            )
        found.pad_token = found.eos_token  # what the mask hides
    return found
