"""No vision module can be forgotten: every file has a row in the table and a test file."""

import inspect
from pathlib import Path

import pytest
import torch

import heedful.nn.vision
from heedful.nn.vision import VISION
from heedful.testing.vision import draw

FOLDER = Path(heedful.nn.vision.__file__).parent


def test_table_lists_every_file():
    files = {path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_")}
    assert list(VISION) == sorted(files)


@pytest.mark.parametrize("name", VISION)
def test_row_has_its_module_and_its_tests(name):
    assert VISION[name].__name__ == "".join(word.capitalize() for word in name.split("_"))
    assert VISION[name].__module__ == f"heedful.nn.vision.{name}"
    text = (Path(__file__).parent / f"test_{name}.py").read_text()
    assert "(VisionContract)" in text


@pytest.mark.parametrize("name", VISION)
def test_all_are_made_and_called_alike(name):
    made = inspect.signature(VISION[name]).parameters.values()
    assert {parameter.kind for parameter in made} == {inspect.Parameter.KEYWORD_ONLY}
    needed = [p.name for p in made if p.default is inspect.Parameter.empty]
    assert needed == ["channels"]
    module, x = VISION[name](channels=16), draw(2, 16, 5, 3).float()
    assert module(x, mask=None).shape == x.shape
    for call in (module.forward, module.weights):
        parameters = inspect.signature(call).parameters
        assert list(parameters) == ["x", "mask"]
        assert parameters["mask"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", VISION)
def test_autocast_keeps_the_dtype(name):
    module, x = VISION[name](channels=16), draw(2, 16, 5, 3).float()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        weights = module.weights(x)
        assert module(x).dtype == torch.float32
    for one in weights if isinstance(weights, tuple) else (weights,):
        assert one.dtype == torch.float32


@pytest.mark.parametrize("name", VISION)
def test_docstrings_name_the_paper_and_the_cost(name):
    text = inspect.getdoc(VISION[name])
    places = [text.find(f"\n{heading}:\n") for heading in ("Args", "Raises", "Source", "Cost")]
    assert min(places) > 0
    assert places == sorted(places)
    assert "arXiv:" in text


def test_public_names_are_sorted_and_complete():
    names = heedful.nn.vision.__all__
    assert names == sorted(names)
    assert {cls.__name__ for cls in VISION.values()} <= set(names)
