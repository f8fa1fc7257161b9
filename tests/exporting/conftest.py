"""Tiny translators, trained once, and one of them as ONNX."""

import pytest

import heedful
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
