"""Every method has a name, and says a number for each piece and target."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from heedful.errors import ConfigError
from heedful.explaining.methods import METHODS, find_method

sys.path.insert(0, str(Path(__file__).parent))
from routed import KINDS, routed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in METHODS if name != "integrated-gradients"])
def test_a_number_for_each_piece_and_target(name, kind):
    asked = routed(kind)
    found = find_method(name)(asked.model, asked.question)
    assert found.weights.shape == (3, len(asked.question.pieces))
    assert found.weights.dtype == np.float64
    assert np.isfinite(found.weights).all()
    one = replace(
        asked.question,
        targets=("y",),
        scores=lambda model, given: model(*given)[:, 1:2],
        route=replace(asked.question.route, rows=(asked.question.route.rows or (0, 0))[1:2])
        if asked.question.route.rows
        else asked.question.route,
    )
    alone = find_method(name)(asked.model, one)
    np.testing.assert_allclose(alone.weights[0], found.weights[1], rtol=1e-5, atol=1e-9)


def test_rejects_other_names():
    with pytest.raises(ConfigError, match="rollout"):
        find_method("rolout")
