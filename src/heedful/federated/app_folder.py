"""The Flower app of a federated training, as a folder that `flwr run` takes."""

from collections.abc import Mapping
from pathlib import Path

from heedful.config.file import toml
from heedful.files import write_bytes

FLOWER = "1.42"

_PROJECT = """\
[project]
name = "heedful-federated"
version = "1.0.0"
license = {{ file = "LICENSE" }}
dependencies = ["flwr>={flower}"]

[tool.flwr.app]
publisher = "heedful"
fab-format-version = 1
flwr-version-target = "{flower}.0"

[tool.flwr.app.components]
serverapp = "heedful_app.server:app"
clientapp = "heedful_app.client:app"

[tool.flwr.app.config]
{settings}
"""
_SERVER = """\
from flwr.serverapp import ServerApp

from heedful.federated.sides import serve_rounds

app = ServerApp()
app.main()(serve_rounds)
"""
_CLIENT = """\
from flwr.clientapp import ClientApp

from heedful.federated.sides import reply

app = ClientApp()
app.train()(reply)
"""
_LICENSE = "As heedful itself: Apache-2.0.\n"


def write_app(folder: Path, settings: Mapping[str, str | int | float]) -> None:
    """Write the app; it holds no data and no weights, only which code of heedful is called.

    Args:
        folder: Exists.
        settings: What `serve_rounds` reads.

    Raises:
        RunError: The folder cannot be written.
    """
    lines = "\n".join(f"{name} = {toml(value)}" for name, value in settings.items())
    code = folder / "heedful_app"
    code.mkdir(exist_ok=True)
    files = {
        folder / "pyproject.toml": _PROJECT.format(flower=FLOWER, settings=lines),
        folder / "LICENSE": _LICENSE,
        code / "__init__.py": "",
        code / "server.py": _SERVER,
        code / "client.py": _CLIENT,
    }
    for path, text in files.items():
        write_bytes(path, text.encode())
