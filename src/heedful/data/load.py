"""From the `data` section of a config to examples in three splits."""

import os
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


def load_training(data: Data, seed: int) -> list[Example]:
    """Read or make the training split alone; files of the others may be gone.

    Raises:
        ConfigError: As for `load_data`.
        DataError: As for `load_data`.
        MissingExtraError: As for `load_data`.
    """
    match data:
        case TsvData():
            return read_tsv(data.train)
        case AlignedData():
            return read_aligned(data.train_source, data.train_target)
        case HubData():
            return read_hub(
                data.path, data.train, source=data.source, target=data.target, subset=data.subset
            )
        case CldrData():
            return _cldr(data, seed).train


def located(data: Data) -> Data:
    """Return the section with absolute paths, so that files are found from every folder.

    Raises:
        ConfigError: A path is not UTF-8, so no config can hold it.
    """
    names = [key for key in type(data).model_fields if key.startswith(("train", "dev", "test"))]
    if isinstance(data, HubData):  # a name on the hub stays one
        names = ["path"] if os.path.exists(data.path) else []
    elif isinstance(data, CldrData):
        names = []
    paths = {key: os.path.abspath(path) for key in names if (path := getattr(data, key))}
    for key, path in paths.items():
        try:
            path.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"data.{key} must be a path in UTF-8, got {path!a}") from None
    return data.model_copy(update=paths)


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
