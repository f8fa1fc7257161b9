import json
import re
from importlib.metadata import metadata

import pytest

from heedful.cli.doctor import EXTRAS, examine
from heedful.kernels.cpu import build

NAMES = [
    "heedful",
    "python",
    "system",
    "torch",
    "cores",
    "threads",
    "memory_gib",
    "cpu_features",
    "native_kernel",
    "gpu",
    "extras",
    "chinese_font_for_png",
    "folder",
    "locale",
]


needs_compiler = pytest.mark.skipif(
    build.compiler() is None, reason="this machine has no C++ compiler"
)


@pytest.fixture
def kernel(monkeypatch, tmp_path):
    """A native kernel that compiles at once, and an empty cache; gives its source."""
    for name in ("CXX", "HEEDFUL_ISA", "HEEDFUL_KERNELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    source = tmp_path / "attention.cpp"
    functions = "".join(f"int {name}() {{ return 41; }}\n" for name in build.FUNCTIONS)
    source.write_text(f'extern "C" {{\n{functions}}}\n')
    return source


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


@needs_compiler
def test_the_native_kernel_before_and_after_it_is_built(heedful, kernel):
    _, out, _ = heedful("doctor", "--json")
    before = json.loads(out)["native_kernel"]
    assert before["state"] == "not built: heedful doctor --build"
    assert before["isa"] == before["supported"][0] == build.chosen()
    assert before["compiler"] == build.state().version
    code, out, err = heedful("doctor", "--build", "--json")
    after = json.loads(out)["native_kernel"]
    assert (code, after) == (0, {**before, "state": "built"})
    assert after["path"].startswith(str(kernel.parent / "cache"))
    assert re.fullmatch(rf"the native kernel for {after['isa']} is built, in \d+\.\d s\n", err)
    code, out, err = heedful("doctor", "--build")
    assert (code, err) == (0, f"the native kernel for {after['isa']} was built already\n")
    assert re.search(r"^native kernel +isa .*, state built, path /", out, re.M)


@needs_compiler
def test_a_kernel_that_does_not_build_leaves_with_2_and_the_words(heedful, kernel):
    kernel.write_text('#error "no luck today"\n')
    code, out, err = heedful("doctor", "--build")
    assert (code, out) == (2, "")
    assert err.startswith("heedful: ")
    assert "no luck today" in err
    assert "no luck today" in examine()["native_kernel"]["state"]


@needs_compiler
def test_a_kernel_without_openmp_says_so(kernel, monkeypatch):
    path = build.library(build.chosen())
    note = path.with_suffix(".json")
    note.write_text(note.read_text().replace("-fopenmp", "-O3"))
    assert examine()["native_kernel"]["state"].startswith("built without OpenMP")


def test_a_kernel_that_cannot_be_built(heedful, kernel, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    fact = examine()["native_kernel"]
    assert fact["state"] == "not built: no compiler"
    assert fact["compiler"] == "the native kernel needs a C++ compiler, got CXX=no-such-compiler"
    code, _, err = heedful("doctor", "--build")
    assert (code, err) == (2, f"heedful: {fact['compiler']}\n")


@needs_compiler
def test_a_kernel_without_a_place(kernel, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/x")
    monkeypatch.setattr("tempfile.tempdir", "/dev/null/y")
    fact = examine()["native_kernel"]
    assert fact["state"] == "not built: no folder that this user alone can write"
    assert fact["path"] is None


def test_a_kernel_that_is_switched_off(heedful, kernel, monkeypatch):
    monkeypatch.setenv("HEEDFUL_KERNELS", "off")
    assert examine()["native_kernel"]["state"] == "switched off by HEEDFUL_KERNELS"
    code, _, err = heedful("doctor", "--build")
    words = "the native kernel must be switched on, got HEEDFUL_KERNELS=off"
    assert (code, err) == (2, f"heedful: {words}\n")


def test_an_instruction_set_that_is_not_there(heedful, kernel, monkeypatch):
    monkeypatch.setenv("HEEDFUL_ISA", "sse9")
    assert "cannot be found out: ConfigError" in examine()["native_kernel"]
    code, _, err = heedful("doctor", "--build")
    assert code == 2
    assert re.match(r"heedful: HEEDFUL_ISA must be one of .*, got 'sse9'$", err)
