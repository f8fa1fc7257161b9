"""An explanation as plain data: what is written of it, and its badge."""

import json

import numpy as np

from heedful.explaining.explanation import DecisionPath, Explanation


def test_it_is_plain_data_without_its_canvas():
    path = DecisionPath(
        target=0, piece=1, heads=(("a", 2),), strength=0.5, drop=1.0, random_drop=0.1
    )
    found = Explanation(
        pieces=("x", "y"),
        targets=("z",),
        weights=np.array([[0.25, -1.0]]),
        method="occlusion",
        removal="left out",
        paths=(path,),
        canvas=np.zeros((2, 2, 1), np.uint8),
    )
    plain = json.loads(json.dumps(found.to_json()))
    assert "canvas" not in plain
    assert plain["weights"] == [[0.25, -1.0]]
    assert plain["word"] == found.word == "not tested"
    assert plain["paths"][0]["heads"] == [["a", 2]]
