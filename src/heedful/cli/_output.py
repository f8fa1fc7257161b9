"""Where results go, checked before any work."""

import os
from pathlib import Path

from heedful.errors import ConfigError
from heedful.files import named


def check_file(path: Path, *, force: bool) -> None:
    """Check, before anything is computed, that a file can be written and nothing is overwritten.

    Raises:
        ConfigError: It is there and `force` is not given, is no file, or has no folder to be in.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(f"--output must be an ordinary file, got {path}")
    if not named(path).parent.is_dir():
        raise ConfigError(f"--output must be in a folder that exists, got {path}")
    if (path.exists() or path.is_symlink()) and not force:
        raise ConfigError(f"output must be a new file, got {path}. --force replaces it.")


def check_folder(path: Path) -> None:
    """Check, before anything is computed, that a folder can be made where it is to go.

    Raises:
        ConfigError: One of its parents is no folder, or cannot be written to.
    """
    above = next((parent for parent in path.absolute().parents if os.path.lexists(parent)), None)
    if above is None or not above.is_dir():
        raise ConfigError(f"output must be in a folder, got {path}, and {above} is none")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"output must be in a folder that can be written, got {path}")


def check_replaced(path: Path) -> None:
    """As `check_folder`, for a folder that takes another's place under its name.

    Raises:
        ConfigError: As there, or somebody stands in it: their shell would be left without a folder.
    """
    if Path.cwd().is_relative_to(path.resolve()):
        raise ConfigError(f"output must be another folder than the current one, got {path}")
    check_folder(path)
