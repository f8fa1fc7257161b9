"""Tiny translators, trained once, and one of them as ONNX."""

import pytest

import heedful
from heedful.checkpoints.examples import CheckpointData
from heedful.data.load import TsvData
from heedful.tasks.translation.config import Config, Decode, Tokens, Train, TransformerModel


@pytest.fixture(scope="session")
def translator(digit_files, tmp_path_factory):
    """Train one with other settings for its model; the folder is named after them."""

    def train(**model):
        folder = tmp_path_factory.mktemp("translator") / "run"
        files = {name: str(digit_files / f"{name}.tsv") for name in ("train", "dev", "test")}
        sizes = {"width": 24, "heads": 3, "encoder_layers": 1, "decoder_layers": 1}
        heedful.train(
            Config(
                output=str(folder),
                data=TsvData(**files, max_length=32),
                tokens=Tokens(),
                model=TransformerModel(**{**sizes, "feedforward": 20, **model}),
                train=Train(steps=60, tokens_per_batch=512, precision="fp32"),
                decode=Decode(max_length=24, batch=16, beam=3),
            )
        )
        return folder

    return train


@pytest.fixture(scope="session")
def run(translator):
    """Rotary positions, shared keys, three heads."""
    return translator(positions="rotary", kv_heads=1)


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory):
    """The same as ONNX."""
    folder = tmp_path_factory.mktemp("exported") / "onnx"
    heedful.export(run, to="onnx", output=folder)
    return folder


SIZES = {
    "vocab_size": 9,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 40,
    "initializer_range": 0.3,  # else nothing differs from anything
    "pad_token_id": 0,
}
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "e")


def make_tokenizer():
    """A word is a token."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", model_max_length=30
    )


@pytest.fixture
def tokenizer():
    """Of all checkpoints here."""
    return make_tokenizer()


@pytest.fixture
def sizes():
    """Of tiny checkpoints."""
    return SIZES


@pytest.fixture
def texts(tmp_path):
    """Texts of one to seven words, as data of a checkpoint."""
    path = tmp_path / "texts.txt"
    rows = [" ".join("abcde"[(n * k) % 5] for k in range(1 + n % 7)) for n in range(1, 20)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return CheckpointData(path=path)


@pytest.fixture
def checkpoint(tmp_path):
    """Save a model of some class, and its tokeniser."""
    import torch
    import transformers

    def made(kind, config, dtype=None):
        torch.manual_seed(0)
        folder = tmp_path / kind
        model = getattr(transformers, kind)(config)
        (model if dtype is None else model.to(dtype)).save_pretrained(folder)
        make_tokenizer().save_pretrained(folder)
        return folder

    return made


@pytest.fixture
def smaller(tmp_path):
    """Write a checkpoint after some moves, as an optimisation leaves it."""
    from heedful.allocation.plan import Plan
    from heedful.allocation.stored import save_model
    from heedful.checkpoints.folder import open_checkpoint

    def made(folder, moves):
        plan, model = Plan(moves=moves).resolved(open_checkpoint(folder).model)
        beside = {
            path.name: path.read_bytes() for path in folder.iterdir() if path.name.startswith("tok")
        }
        save_model(tmp_path / "smaller", model, plan, beside=beside)
        return tmp_path / "smaller"

    return made
