"""Text that somebody else may have written, as plain data: JSON and TOML."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from heedful.errors import RunError


def parse_json(content: bytes, path: Path) -> Any:
    """Turn what `path` holds into plain data.

    Raises:
        RunError: It is no JSON, or nested deeper than anybody nests.
    """
    try:
        return json.loads(content)
    except ValueError as error:
        raise RunError(f"{path} must be whole, got damaged JSON: {error}") from None
    except RecursionError:
        raise RunError(f"{path} must be whole, got JSON that is nested too deep") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Read TOML that somebody else may have written: `tomllib` may take hours, or fall over.

    Raises:
        ValueError: It is no TOML (`tomllib.TOMLDecodeError` says where), or nested without end.
    """
    if re.search(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){64}""", text):
        raise ValueError("a key of more than 64 parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("brackets without end") from None
