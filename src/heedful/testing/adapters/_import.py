"""Libraries that are there only where somebody installed them."""

from collections.abc import Generator
from contextlib import contextmanager

from heedful.errors import MissingExtraError


@contextmanager
def needs(package: str) -> Generator[None]:
    """Say which package to install when an import inside fails.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"{package} must be installed for this, got {error}; try: pip install {package}"
        ) from None
