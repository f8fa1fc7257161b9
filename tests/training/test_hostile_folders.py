"""A short form of `benchmarks/fuzz_run_folders.py`: folders with one thing in them changed."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_run_folders.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="every try is a forked process with limits")
def test_a_changed_folder_gives_one_line_or_the_right_answer():
    # a process of its own: what is forked must have one thread only
    result = subprocess.run(
        [sys.executable, str(SCRIPT), "--changes", "120", "--seed", "7"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr[-3_000:]
    counts = ast.literal_eval(result.stdout.splitlines()[-1])
    assert sum(counts.values()) == 120
    assert min(counts["refused"], counts["right"]) > 5
