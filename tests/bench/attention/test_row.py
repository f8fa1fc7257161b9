"""What was measured survives a trip through JSON."""

import json
from dataclasses import asdict

import pytest

from heedful.bench.attention.row import Measurement
from heedful.bench.timing import Ratio


@pytest.mark.parametrize("compared", [False, True])
def test_json_and_back(row, compared):
    one = Measurement(row=row, spread=(1.0, 2.0), speedup=None)
    if compared:
        speedup, of_dense = Ratio(4.0, 3.0, 5.0), Ratio(0.5, 0.4, 0.6)
        one = Measurement(row=row, spread=(1.0, 2.0), speedup=speedup, of_dense=of_dense, dense=row)
    assert Measurement.from_json(json.loads(json.dumps(asdict(one)))) == one
