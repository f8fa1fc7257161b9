"""What may be deleted again: folders that hold nothing but what this program wrote."""

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path


def remove_written(folder: Path, holds: Sequence[str]) -> bool:
    """Delete a folder that this program wrote; one that holds anything else stays as it is, whole.

    So a user's notes, a copy of a checkpoint or somebody else's files are never lost: what is
    deleted could be named beforehand. Nothing is deleted through a symbolic link, and a folder with
    a link in it is not one that this program wrote.

    Args:
        folder: Where it is. Nothing happens where it is missing, a link or a file.
        holds: The files that may be in it, relative to it. Every part of a name may be a shell
            pattern, and `*` never reaches into a folder: `("log", "runs/*/model.safetensors")`.
            What an interrupted `write_bytes` or `write_folder` left of them may be there too.

    Returns:
        Whether it is gone.
    """
    try:
        if folder.is_symlink() or not folder.is_dir():
            return False
        files, folders = _listed(folder)
        names = [path.relative_to(folder).parts for path in (*files, *folders)]
        patterns = [tuple(pattern.split("/")) for pattern in holds]
        fits = [_fits(name, patterns, whole=row < len(files)) for row, name in enumerate(names)]
        if not all(fits):
            return False
        for path in files:
            path.unlink()
        for path in (*reversed(folders), folder):
            path.rmdir()
    except OSError:
        return False
    return True


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """All files and, outer ones first, all folders below a folder; a link counts as a file."""
    files, folders, waiting = list[Path](), list[Path](), [folder]
    while waiting:
        for entry in os.scandir(waiting.pop()):
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
                waiting.append(Path(entry.path))
            else:
                # a link or a pipe gets a name that no pattern fits
                ordinary = entry.is_file(follow_symlinks=False)
                files.append(Path(entry.path) if ordinary else Path(entry.path, "\0"))
    return files, folders


def _fits(name: Sequence[str], patterns: Sequence[Sequence[str]], *, whole: bool) -> bool:
    """Is it, or for a folder: can it hold, one of the files that are meant?"""
    shown = [_without_temporary(part) for part in name]
    return any(
        (len(shown) == len(pattern) if whole else len(shown) < len(pattern))
        and all(map(fnmatchcase, shown, pattern))
        for pattern in patterns
    )


def _without_temporary(name: str) -> str:
    found = re.fullmatch(r"\.(.+)\.\d+\.tmp", name)
    return found[1] if found else name
