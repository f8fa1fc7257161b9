import json
import re
from importlib.metadata import metadata

from heedful.cli.doctor import EXTRAS, examine

NAMES = [
    "heedful",
    "python",
    "system",
    "torch",
    "cores",
    "threads",
    "memory_gib",
    "cpu_features",
    "gpu",
    "extras",
    "chinese_font_for_png",
    "folder",
    "locale",
]


def test_json_holds_every_fact(heedful):
    import torch

    code, out, _ = heedful("doctor", "--json")
    facts = json.loads(out)
    assert (code, list(facts)) == (0, NAMES)
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    assert facts["cores"]["usable"] <= facts["cores"]["present"]
    assert facts["folder"]["writable"] is True
    assert "cannot be found out" not in out


def test_people_get_a_line_a_fact(heedful, monkeypatch):
    from heedful.cli import doctor as verb

    monkeypatch.setitem(verb.__globals__, "find_spec", lambda name: None if name == "altair" else 1)
    code, out, _ = heedful("doctor")
    lines = out.splitlines()
    assert (code, len(lines)) == (0, len(NAMES))
    assert re.search(r"^extras +report missing \(pip install 'heedful\[report\]'\)", out, re.M)
    assert re.search(r"^folder +path /.*, writable yes$", out, re.M)


def test_the_extras_are_those_of_the_package():
    declared = set(metadata("heedful").get_all("Provides-Extra"))
    assert set(EXTRAS) == declared - {"dev"}


def test_a_broken_torch_is_reported_not_raised(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    facts = examine()
    assert facts["torch"].startswith("cannot be found out: ModuleNotFoundError")
    assert facts["folder"]["writable"] is True


def test_a_folder_that_cannot_be_written(monkeypatch):
    from heedful.cli import doctor as verb

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(verb.__globals__["tempfile"], "TemporaryFile", refuse)
    assert examine()["folder"]["writable"] == "no: Permission denied"
