"""The models with one head that does something, which the tests of optimizing build."""

import importlib.util
from pathlib import Path

PATH = Path(__file__).parents[1] / "optimizing" / "conftest.py"
spec = importlib.util.spec_from_file_location("optimizing_conftest", PATH)
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)

kit, chance, digit_run = shared.kit, shared.chance, shared.digit_run
