"""What the settings of a module must be, with one wording."""

from heedful.errors import ConfigError


def check_sizes(**sizes: int) -> None:
    """Raise unless every size is at least 1.

    Raises:
        ConfigError: One is smaller.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(f"{name} must be at least 1, got {size}")


def check_dropout(dropout: float) -> None:
    """Raise unless it is a share that leaves something.

    Raises:
        ConfigError: It is below 0, or 1 and more.
    """
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout must be at least 0 and below 1, got {dropout}")
