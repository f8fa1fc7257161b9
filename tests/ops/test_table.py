"""No op can be forgotten: every file has a row in the table, two functions and a test file."""

import subprocess
import sys
from pathlib import Path

import pytest

import heedful.ops
from heedful.ops import OPS
from heedful.testing.claims import CLAIMS

FOLDER = Path(heedful.ops.__file__).parent


def test_table_lists_every_file():
    files = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")}
    assert list(OPS) == sorted(files)


@pytest.mark.parametrize("name", OPS)
def test_row_has_its_functions_and_its_tests(name):
    assert OPS[name] is getattr(heedful.ops, f"{name}_attention")
    assert OPS[name].__module__ == f"heedful.ops.{name}"
    assert callable(getattr(heedful.ops, f"{name}_weights"))
    text = (Path(__file__).parent / f"test_{name}.py").read_text()
    assert "(AttentionContract)" in text
    assert f'CLAIMS["{name}"]' in text


def test_every_op_has_a_claim():
    assert list(CLAIMS) == list(OPS)
    for name, claim in CLAIMS.items():
        assert claim.weights is not None, name


def test_public_names_are_sorted_and_complete():
    names = heedful.ops.__all__
    assert names == sorted(names)
    functions = {f"{name}_{kind}" for name in OPS for kind in ("attention", "weights")}
    assert set(names) > {"OPS", "masked_softmax"} | functions


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("kind", ["attention", "weights"])
def test_docstrings_have_their_headings(name, kind):
    text = getattr(heedful.ops, f"{name}_{kind}").__doc__
    places = [text.find(f"\n    {h}:\n") for h in ("Args", "Returns", "Raises", "Source", "Cost")]
    assert min(places) > 0
    assert places == sorted(places)
    assert "arXiv:" in text


def test_import_is_cheap_apart_from_torch():
    code = "import sys, torch; before = set(sys.modules); import heedful.ops; "
    code += "print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "heedful.ops" in loaded
    # numpy comes with jaxtyping
    others = {name.split(".")[0] for name in loaded} - sys.stdlib_module_names
    assert others <= {"heedful", "jaxtyping", "numpy"}
    assert not [name for name in loaded if name.startswith("heedful.testing")]
