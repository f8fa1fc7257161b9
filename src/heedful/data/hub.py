"""A reader of Hugging Face datasets, by name or from a local folder."""

from pathlib import Path
from typing import Any

from heedful.data.blank import is_blank
from heedful.data.examples import Example
from heedful.errors import DataError, MissingExtraError


def read_hub(
    path: str, split: str, *, source: str, target: str, subset: str | None = None
) -> list[Example]:
    """Read one split of a dataset.

    Args:
        path: A name on the hub (which downloads), or a local folder of parquet, JSON, CSV files or
            of `save_to_disk`. A single saved split is the one it was saved as; without a name it is
            `train`.
        split: E.g. `train`, `validation`.
        source: A column, or `column.key` into a column of dictionaries, e.g. `translation.en`.
        target: The same for the translations.
        subset: The configuration, for datasets that have several.

    Raises:
        MissingExtraError: The package `datasets` is not installed.
        DataError: The dataset cannot be read, has no such split or column, or holds a row whose
            source or target is not text or blank.
    """
    rows = _open(path, split, subset)
    columns = [name.split(".", 1) for name in (source, target)]
    for name, (column, *_) in zip((source, target), columns, strict=True):
        if column not in rows.column_names:
            raise DataError(
                f"{path} must have the column {name!r}, got {', '.join(rows.column_names)}"
            )
    if len(rows) == 0:
        raise DataError(f"{path} must have at least one row in {split!r}, got none")
    examples: list[Example] = []
    for number, row in enumerate(rows.select_columns(sorted({c[0] for c in columns})), start=1):
        texts: list[str] = []
        for name, keys in zip((source, target), columns, strict=True):
            text = row
            for key in keys:
                text = text.get(key) if isinstance(text, dict) else None
            if not isinstance(text, str) or is_blank(text):
                raise DataError(
                    f"{path}, {split}, row {number} must have text in {name!r}, got {text!r}"
                )
            texts.append(text)
        examples.append(Example(*texts))
    return examples


def _open(path: str, split: str, subset: str | None) -> Any:
    try:
        import datasets  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError:
        raise MissingExtraError(
            "reading a Hugging Face dataset needs the package datasets, got none. "
            "Run: pip install 'heedful[hf]'"
        ) from None
    try:
        if any((Path(path) / name).exists() for name in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(path)
        else:
            found = datasets.load_dataset(path, subset)
    except Exception as error:  # datasets raises a dozen unrelated types for what users mistype
        first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise DataError(f"{path} must be a Hugging Face dataset, got: {first}") from None
    if not isinstance(found, dict):  # one saved split: to serve as another would be a leak
        found = {str(found.split or "train"): found}
    if split not in found:
        raise DataError(f"{path} must have the split {split!r}, got {', '.join(found)}")
    return found[split]
