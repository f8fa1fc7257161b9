"""Every file of `ops`, `nn`, `bench` and the like has its test file; tables list their files."""

from pathlib import Path

import pytest

import heedful.nn.co
import heedful.nn.fusion
import heedful.nn.vision
import heedful.ops
import heedful.ops.co

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "heedful"

TABLES = {
    "ops": heedful.ops.OPS,
    "ops/co": heedful.ops.co.CO_OPS,
    "nn/co": heedful.nn.co.CO_MODULES,
    "nn/fusion": heedful.nn.fusion.FUSIONS,
    "nn/vision": heedful.nn.vision.VISION,
}


def public(folder: str, package: Path = PACKAGE) -> list[str]:
    """The files below a folder, by their path below the package, that are not private."""
    paths = (path.relative_to(package) for path in sorted((package / folder).rglob("*.py")))
    return [path.as_posix() for path in paths if not path.name.startswith("_")]


def untested(files: list[str], tests: Path = ROOT / "tests") -> list[str]:
    """Those that have no test file."""
    missing: list[str] = []
    for file in files:
        path = Path(file)
        if not (tests / path.parent / f"test_{path.name}").exists():
            missing.append(file)
    return missing


@pytest.mark.parametrize(
    "folder",
    [
        "ops",
        "nn",
        "bench",
        "kernels",
        "selection",
        "metrics",
        "config",
        "tasks",
        "serving",
        "training",
        "explaining",
    ],
)
def test_every_file_has_its_tests(folder):
    files = public(folder)
    assert len(files) >= 4
    assert untested(files) == []


@pytest.mark.parametrize("folder", TABLES)
def test_table_lists_its_files(folder):
    here = [Path(file) for file in public(folder)]
    stems = {path.stem for path in here if path.parent.as_posix() == folder}
    assert set(TABLES[folder]) == stems


def test_a_file_without_tests_is_found(tmp_path):
    (tmp_path / "ops").mkdir()
    (tmp_path / "ops" / "dot.py").touch()
    (tmp_path / "ops" / "_dot.py").touch()
    assert public("ops", tmp_path) == ["ops/dot.py"]
    assert untested(["ops/dot.py"], tmp_path) == ["ops/dot.py"]
