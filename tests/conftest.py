"""A translation task small enough to train in a second: English digits to Chinese ones."""

import gc
import os
import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from heedful.data.load import TsvData
from heedful.tasks.translation.config import Config, Decode, Tokens, Train, TransformerModel

# which kernel runs must not depend on how busy the machine is; the tests of the choice switch it on
os.environ.setdefault("HEEDFUL_CHOICE", "static")

settings.register_profile("patient", deadline=None)  # nor may whether a test passes
settings.load_profile("patient")


def pytest_configure() -> None:
    from heedful.testing.contracts import AttentionContract  # here: after the choice is settled

    AttentionContract.every_case = False  # some forty functions share them


ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CHINESE = "零一二三四五六七八九"


def digits(count: int, *, seed: int) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    numbers = [[draw.randrange(10) for _ in range(draw.randint(1, 6))] for _ in range(count)]
    return [
        (" ".join(ENGLISH[digit] for digit in number), "".join(CHINESE[digit] for digit in number))
        for number in numbers
    ]


@pytest.fixture(scope="session")
def digit_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.tsv, dev.tsv and test.tsv; what is held out is not in the first."""
    folder = tmp_path_factory.mktemp("digits")
    splits = {"dev": digits(40, seed=1), "test": digits(50, seed=2)}
    held_out = {*splits["dev"], *splits["test"]}
    splits["train"] = [pair for pair in digits(1_000, seed=0) if pair not in held_out][:600]
    for name, pairs in splits.items():
        lines = [f"{source}\t{target}\n" for source, target in pairs]
        (folder / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def digit_config(digit_files: Path, tmp_path: Path) -> Callable[..., Config]:
    """Make a config for the digits; keywords go to the `train` section."""

    def make(**train: Any) -> Config:
        settings = {"steps": 40, "tokens_per_batch": 512, "precision": "fp32", **train}
        return Config(
            output=str(tmp_path / "run"),
            data=TsvData(
                **{name: str(digit_files / f"{name}.tsv") for name in ("train", "dev", "test")},
                max_length=32,
            ),
            tokens=Tokens(),
            model=TransformerModel(
                width=32,
                heads=4,
                encoder_layers=1,
                decoder_layers=1,
                feedforward=32,
            ),
            train=Train(**settings),
            decode=Decode(max_length=24, batch=16),
        )

    return make


@pytest.fixture(scope="session")
def planted_module() -> Callable[..., types.ModuleType]:
    """Make a module from its source with one line changed; nobody else sees it."""

    def make(
        module: types.ModuleType, right: str | None = None, wrong: str | None = None
    ) -> types.ModuleType:
        text = Path(str(module.__file__)).read_text(encoding="utf-8")
        if right is not None and wrong is not None:
            assert right in text, f"{module.__name__} no longer holds: {right}"
            text = text.replace(right, wrong)
        made = types.ModuleType(f"{module.__name__}_planted")
        made.__file__ = module.__file__
        sys.modules[made.__name__] = made  # dataclasses look their module up
        try:
            exec(compile(text, str(module.__file__), "exec"), made.__dict__)
        finally:
            del sys.modules[made.__name__]
        return made

    return make


@pytest.fixture
def loaded() -> Callable[[Callable[[], Any]], Any]:
    """Load a native library; where it cannot be had, and only there, the test is skipped."""
    from heedful.errors import KernelError
    from heedful.kernels.cpu import build

    def load(library: Callable[[], Any]) -> Any:
        try:
            return library()
        except KernelError as error:
            if build.switched_on() and build.compiler() is not None:
                raise  # it could be had
            pytest.skip(f"the library cannot be had here: {error}".partition("\n")[0])

    return load


def pytest_collection_finish() -> None:
    """Leave tens of thousands of tests out of every garbage collection: they stay to the end."""
    gc.collect()
    gc.freeze()
