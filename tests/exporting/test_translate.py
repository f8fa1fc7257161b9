"""What stands beside the graphs writes what `heedful predict` writes, without torch."""

import subprocess
import sys

import pytest

import heedful
from heedful.allocation.moves import Recurrence
from heedful.allocation.plan import Plan
from heedful.exporting.translate import Translator
from heedful.optimizing.run_folder import apply_plan

pytestmark = pytest.mark.slow
TEXTS = ["one two three", "nine", "four four five six seven", "one zero two", "eight six"]


@pytest.mark.parametrize("width", [1, 3])
def test_it_writes_what_the_run_writes(run, exported, width):
    texts = [*TEXTS, *(example.source for example in heedful.load(run).examples("test")[:20])]
    want = heedful.load(run).translator.translate(texts, beam=width)
    assert Translator(exported).translate(texts, beam_width=width) == want
    assert Translator(exported).translate(texts[:1], beam_width=width) == want[:1]


def test_without_a_width_it_searches_as_the_run_does(run, exported):
    want = heedful.load(run).translator.translate(TEXTS)
    assert Translator(exported).translate(TEXTS) == want


def test_the_file_runs_alone(exported, tmp_path):
    code = (
        "import sys, runpy; sys.modules['torch'] = None; sys.modules['heedful'] = None; "
        f"sys.argv = ['translate.py', '--beam', '1', 'one two', ' ']; "
        f"runpy.run_path({str(exported / 'translate.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    want = Translator(exported).translate(["one two"], beam_width=1)
    assert (done.stdout.splitlines(), done.stderr) == ([*want, ""], "")


def test_a_folder_without_a_translator_is_refused(tmp_path):
    (tmp_path / "export.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SystemExit, match="must hold a model that writes"):
        Translator(tmp_path)


def test_a_plan_of_recurrences_counts_its_tokens(run, tmp_path):
    """Nothing grows then with what was written, so `step` is told how much that is."""
    Plan(moves={"decoder.0.self_attention": (Recurrence(),)}).save(tmp_path / "plan.toml")
    opened = heedful.load(run)
    changed = apply_plan(
        tmp_path / "plan.toml",
        opened,
        output=tmp_path / "changed",
        distil_steps=0,
        finetune_steps=0,
    )
    about = heedful.export(changed.folder, to="onnx", output=tmp_path / "out")
    assert "position" in [each["name"] for each in about["graphs"]["step"]["inputs"]]
    for width in (1, 3):
        want = changed.translator.translate(TEXTS, beam=width)
        assert Translator(tmp_path / "out").translate(TEXTS, beam_width=width) == want
