"""A folder that has a folder for each label, with files of some kinds in it."""

import os
from collections.abc import Sequence
from pathlib import Path

from heedful.errors import DataError


def list_label_folders(
    folder: Path | str, *, suffixes: Sequence[str], others: Sequence[str], kind: str
) -> list[tuple[str, str]]:
    """Return the absolute path and the label of each file, in order of labels and of names.

    What begins with a dot, and what has no suffix of either list, is not looked at.

    Args:
        folder: Whose folders are the labels.
        suffixes: Of the files that are wanted.
        others: Of files that are nearly what is wanted: whoever has one would miss it.
        kind: What a file must be, e.g. `a PNG or JPEG image`.

    Raises:
        DataError: It is none, it has no label, a label has no file, or a file is in no label's
            folder or of another kind.
    """
    folder, wanted = Path(folder), f"{', '.join(suffixes)} files in it, got none"
    if not folder.is_dir():
        raise DataError(f"{folder} must be a folder with a folder for each label, got none")
    found: list[tuple[str, str]] = []
    for label in sorted(folder.iterdir()):
        if label.name.startswith("."):
            continue
        if not label.is_dir():
            if label.suffix.lower() in (*suffixes, *others):
                raise DataError(
                    f"{label} must lie in a folder that is its label, got it beside them"
                )
            continue
        paths = [path for path in sorted(label.iterdir()) if not path.name.startswith(".")]
        for path in paths:
            if path.suffix.lower() in others:
                raise DataError(f"{path} must be {kind}, got one of another kind")
        files = [os.path.abspath(path) for path in paths if path.suffix.lower() in suffixes]
        if not files:
            raise DataError(f"{label} must have {wanted}")
        found += [(file, label.name) for file in files]
    if not found:
        raise DataError(f"{folder} must have a folder for each label with {wanted}")
    return found
