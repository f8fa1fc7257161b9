"""Tiny checkpoints of many kinds, as `save_pretrained` writes them, and texts for them."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heedful.bench.timing import Ratio
from heedful.optimizing import proof

T = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

WORDS = tuple("a b c d e f g h i j k l m n o p q r s t u v w x y z".split())
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS) + len(SPECIAL),
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}

Save = Callable[..., Path]


def make_texts(count: int, *, seed: int = 0) -> list[str]:
    """Different texts of two to nine words."""
    draw = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found[" ".join(draw.choices(WORDS, k=draw.randint(2, 9)))] = None
    return list(found)


def make_tokenizer() -> Any:
    """A word is a token; [CLS] before and [SEP] behind a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(
        models.WordLevel({w: n for n, w in enumerate((*SPECIAL, *WORDS))}, unk_token="[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return T.PreTrainedTokenizerFast(
        tokenizer_object=made, **dict(zip(names, SPECIAL, strict=True)), model_max_length=30
    )


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Build a model of some class from its config, and save it with a processor."""

    def made(kind: str, config: Any, processor: Any = None, *, name: str = "checkpoint") -> Path:
        torch.manual_seed(0)
        folder = tmp_path / name
        getattr(T, kind)(config).save_pretrained(folder)
        (make_tokenizer() if processor is None else processor).save_pretrained(folder)
        return folder

    return made


@pytest.fixture
def encoder(save: Save) -> Path:
    """A BERT without a head."""
    return save("BertModel", T.BertConfig(**SIZES))


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A file of 400 different texts."""
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"{text}\n" for text in make_texts(400)), encoding="utf-8")
    return path


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every model that was changed be faster, whatever else the machine does."""
    latency = {"before": 2.0, "after": 1.0}
    monkeypatch.setattr(proof, "_timed", lambda *_: (Ratio(2, 1.9, 2.1), latency))


@pytest.fixture
def texts() -> Callable[..., list[str]]:
    """Different texts of two to nine words."""
    return make_texts


@pytest.fixture
def tokenizer() -> Callable[[], Any]:
    """A tokeniser to which a word is a token."""
    return make_tokenizer


@pytest.fixture
def sizes() -> dict[str, Any]:
    """Of a tiny BERT."""
    return SIZES
