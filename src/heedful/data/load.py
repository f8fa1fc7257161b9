"""The `data` section of a translation, and from it to examples in three splits."""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field

from heedful.config.base import (
    Count,
    DataPath,
    Length,
    OptionalText,
    Section,
    check_utf8,
)
from heedful.config.base import located as with_absolute_paths
from heedful.data.examples import Example, Splits
from heedful.data.files import read_aligned, read_tsv
from heedful.data.hub import read_hub
from heedful.errors import ConfigError


class CldrData(Section):
    """The built-in corpus: the same Unicode CLDR phrase written in two locales."""

    name: Literal["cldr"] = "cldr"
    source_locale: str = "en"
    target_locale: str = "zh_Hans"
    examples: Count = 156_000  # distinct source phrases over all three splits
    dev: Count = 1_000
    test: Count = 8_000  # so many that a loss of half a chrF can be told from chance
    max_length: Length = 256  # tokens on either side; longer pairs are left out and counted


class TsvData(Section):
    """One file a split: source, target and anything else separated by tabs; `.gz` is unpacked."""

    name: Literal["tsv"] = "tsv"
    train: DataPath
    dev: DataPath
    test: DataPath | None = None  # None: `heedful evaluate` then needs --split dev
    max_length: Length = 256


class AlignedData(Section):
    """Two files a split, line n of one translates line n of the other; `.gz` is unpacked."""

    name: Literal["aligned"] = "aligned"
    train_source: DataPath
    train_target: DataPath
    dev_source: DataPath
    dev_target: DataPath
    test_source: DataPath | None = None
    test_target: DataPath | None = None
    max_length: Length = 256


class HubData(Section):
    """A Hugging Face dataset, by name or local folder; needs the extra `hf`."""

    name: Literal["hub"] = "hub"
    path: str
    subset: str | None = None
    source: str  # a column, or "column.key" into a dictionary column, e.g. "translation.en"
    target: str
    train: str = "train"
    dev: str = "validation"
    test: OptionalText = "test"  # "": `heedful evaluate` then needs --split dev
    max_length: Length = 256


Data = Annotated[CldrData | TsvData | AlignedData | HubData, Field(discriminator="name")]


def load_data(data: Data, seed: int) -> Splits[Example]:
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
    if isinstance(data, HubData) and os.path.exists(data.path):  # a name on the hub stays one
        path = os.path.abspath(data.path)
        check_utf8(path, "data.path")
        return data.model_copy(update={"path": path})
    return with_absolute_paths(data)


def _cldr(data: CldrData, seed: int) -> Splits[Example]:
    sizes = data.examples, data.dev, data.test
    made = _made(data.source_locale, data.target_locale, *sizes, seed)
    return Splits(train=list(made.train), dev=list(made.dev), test=list(made.test))


@lru_cache(maxsize=1)  # who trains and then optimises in one process reads it twice
def _made(
    source_locale: str, target_locale: str, examples: int, dev: int, test: int, seed: int
) -> Splits[Example]:
    from heedful.data.cldr import cldr_corpus  # here, so that a run is opened without locales

    return cldr_corpus(
        source_locale, target_locale, examples=examples, dev=dev, test=test, seed=seed
    )


def _tsv(data: TsvData, seed: int) -> Splits[Example]:
    return Splits(
        train=read_tsv(data.train),
        dev=read_tsv(data.dev),
        test=read_tsv(data.test) if data.test else [],
    )


def _aligned(data: AlignedData, seed: int) -> Splits[Example]:
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


def _hub(data: HubData, seed: int) -> Splits[Example]:
    def read(split: str) -> list[Example]:
        return read_hub(
            data.path, split, source=data.source, target=data.target, subset=data.subset
        )

    return Splits(
        train=read(data.train), dev=read(data.dev), test=read(data.test) if data.test else []
    )


# `data.name` -> its reader.
READERS: dict[str, Callable[[Any, int], Splits[Example]]] = {
    "cldr": _cldr,
    "tsv": _tsv,
    "aligned": _aligned,
    "hub": _hub,
}
