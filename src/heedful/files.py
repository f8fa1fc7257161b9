"""Files that are either whole or absent, whenever the power goes."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heedful.errors import RunError


def write_bytes(path: Path, content: bytes) -> None:
    """Write under a temporary name, force it to the disk, rename.

    Raises:
        RunError: The folder cannot be written, or the disk is full; the old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path} must be writable, got: {error.strerror or error}") from None


def write_json(path: Path, content: Any) -> None:
    """Write `content` as UTF-8 JSON, whole or not at all.

    Raises:
        RunError: As for `write_bytes`.
    """
    write_bytes(path, (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read UTF-8 JSON.

    Raises:
        RunError: The file is missing or damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"a run folder must hold {path.name}, got none in {path.parent}") from None
    except OSError as error:
        raise RunError(f"{path} must be readable, got: {error.strerror or error}") from None
    except ValueError as error:
        raise RunError(f"{path} must be whole, got damaged JSON: {error}") from None


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a temporary folder, then give it its name, which must be unused.

    Raises:
        RunError: As for `write_bytes`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        fill(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"{path} must be writable, got: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
