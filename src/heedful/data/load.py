"""From the `data` section of a config to examples in three splits."""

from collections.abc import Callable
from typing import Any

from heedful.config import AlignedData, CldrData, Data, HubData, TsvData
from heedful.data.cldr import cldr_corpus
from heedful.data.examples import Example, Splits
from heedful.data.files import read_aligned, read_tsv
from heedful.data.hub import read_hub
from heedful.errors import ConfigError


def load_data(data: Data, seed: int) -> Splits:
    """Read or make the examples that a config asks for.

    Args:
        data: The `data` section. `max_length` counts tokens, so it is left to whoever has some.
        seed: Decides the built-in corpus; files do not depend on it.

    Returns:
        The splits. `test` is empty where the section names none.

    Raises:
        ConfigError: The built-in corpus cannot be made as asked, or only one of two aligned test
            files is named.
        DataError: A file or dataset cannot be used.
        MissingExtraError: A dataset is asked for without the extra `hf`.
    """
    return READERS[data.name](data, seed)


def _cldr(data: CldrData, seed: int) -> Splits:
    return cldr_corpus(
        data.source_locale,
        data.target_locale,
        examples=data.examples,
        dev=data.dev,
        test=data.test,
        seed=seed,
    )


def _tsv(data: TsvData, seed: int) -> Splits:
    return Splits(
        train=read_tsv(data.train),
        dev=read_tsv(data.dev),
        test=read_tsv(data.test) if data.test else [],
    )


def _aligned(data: AlignedData, seed: int) -> Splits:
    if (data.test_source is None) != (data.test_target is None):
        raise ConfigError(
            "test_source and test_target must be given together, "
            f"got test_source={data.test_source!r}, test_target={data.test_target!r}"
        )
    test: list[Example] = []
    if data.test_source and data.test_target:
        test = read_aligned(data.test_source, data.test_target)
    return Splits(
        train=read_aligned(data.train_source, data.train_target),
        dev=read_aligned(data.dev_source, data.dev_target),
        test=test,
    )


def _hub(data: HubData, seed: int) -> Splits:
    def read(split: str) -> list[Example]:
        return read_hub(
            data.path, split, source=data.source, target=data.target, subset=data.subset
        )

    return Splits(
        train=read(data.train), dev=read(data.dev), test=read(data.test) if data.test else []
    )


# `data.name` -> its reader.
READERS: dict[str, Callable[[Any, int], Splits]] = {
    "cldr": _cldr,
    "tsv": _tsv,
    "aligned": _aligned,
    "hub": _hub,
}
