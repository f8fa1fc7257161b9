import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from heedful import cli, errors
from heedful.tasks.catalog import BUILT_IN

CHINESE = "在3天内"
ASKED = [[], *([task] for task in BUILT_IN)]  # of `heedful new`: which there are, or one of them
LEAVES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.HeedfulError)
]


def run_python(code, *, env=None, **options):
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = keep | {"PYTHONPATH": os.pathsep.join(sys.path)} | (env or {})
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=environment, timeout=60, **options
    )


def test_it_runs_without_what_only_unix_has(tmp_path):
    code = """
import asyncio, importlib, os, signal, sys  # the first has files of its own for Windows
for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty"):
    sys.modules[name] = None
for module, names in ((os, ("getuid", "killpg", "sched_getaffinity", "sysconf", "O_NOFOLLOW")),
                      (signal, ("SIGKILL", "SIGHUP"))):
    for name in names:
        delattr(module, name)
from heedful.cli import main
for words in (["--help"], ["new", "classify-text", "-o", sys.argv[1]]):
    try:
        main(words)
    except SystemExit as leave:
        assert not leave.code
for name in ("locks", "files", "kernels.cpu._places", "kernels.cpu._compiler", "tuning.pool",
             "training.interrupts", "federated.loopback", "bench.memory"):
    importlib.import_module(f"heedful.{name}")
from pathlib import Path
from heedful.kernels.cpu._places import folder
from heedful.tuning.pool import cores
assert cores() > 0 and folder().is_dir()
"""
    run = run_python(code.replace("sys.argv[1]", repr(str(tmp_path / "new.toml"))))
    assert run.returncode == 0, run.stderr.decode()[-2_000:]
    assert (tmp_path / "new.toml").exists()


def test_every_file_is_a_verb():
    shared = {"progress"}  # its name is public, but it is no command
    files = {module.name for module in pkgutil.iter_modules(cli.__path__)}
    assert {name for name in files if not name.startswith("_")} - shared == set(cli.VERBS)


def test_help_never_imports_what_is_slow():
    code = (
        "import sys\nfrom heedful.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as leave: assert leave.code == 0\n"
        "slow = {'torch', 'altair', 'accelerate', 'sacrebleu', 'numpy'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr.decode()
    assert all(verb.encode() in done.stdout for verb in cli.VERBS)


@pytest.mark.parametrize(
    "words",
    [
        *(["new", task] for task in BUILT_IN),
        ["new"],
        ["new", "no-such-task"],
        *(["train", f"{task}.toml", "--set", "train.steps=-1"] for task in BUILT_IN),
        ["train", "none.toml"],
    ],
    ids=" ".join,
)
def test_configs_never_import_torch(tmp_path, words):
    for task in BUILT_IN:
        (tmp_path / f"{task}.toml").write_text(f'task = "{task}"\n', encoding="utf-8")
    code = (
        "import sys\nfrom heedful.cli import main\n"
        f"try: main({words})\n"
        f"except SystemExit as leave: assert leave.code == {0 if words[1:] in ASKED else 2}\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = run_python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(heedful, verb):
    code, out, _ = heedful(verb, "--help")
    assert code == 0
    assert inspect.getdoc(cli.VERBS[verb]).split(";")[0].split("\n")[0] in " ".join(out.split())


def test_version(heedful):
    from importlib.metadata import version

    assert heedful("--version") == (0, f"heedful {version('heedful')}\n", "")


def test_no_verb_shows_the_help(heedful):
    code, out, err = heedful()
    assert code == 2
    assert "evaluate" in out + err


@pytest.mark.parametrize("words", [("nonsense",), ("train", "--nonsense"), ("evaluate",)])
def test_usage_errors_leave_with_2(heedful, words):
    code, out, err = heedful(*words)
    assert (code, out) == (2, "")
    assert "Usage: heedful" in err


@pytest.mark.parametrize("kind", LEAVES)
def test_every_error_of_ours_leaves_with_its_code_and_one_line(heedful, library, monkeypatch, kind):
    def load(folder, **_):
        raise kind("width must be even, got 3")

    monkeypatch.setattr(sys.modules["heedful.training.run"], "Run", load)
    code = {errors.VerificationError: 4, errors.BudgetError: 3}.get(kind, 2)
    assert heedful("predict", "r", "x") == (code, "", "heedful: width must be even, got 3\n")


def test_a_bug_keeps_its_traceback_and_leaves_with_1():
    code = (
        "import sys, types\n"
        "def load(folder, **_): raise ZeroDivisionError('a bug')\n"
        "sys.modules['heedful.training.run'] = types.SimpleNamespace(Run=load)\n"
        "from heedful.cli import main\nmain(['predict', 'r', 'x'])\n"
    )
    done = run_python(code)
    assert done.returncode == 1
    assert b"Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith(b"ZeroDivisionError: a bug\n")


def test_control_c_leaves_with_130_and_a_short_line(heedful, library, monkeypatch):
    def load(folder, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["heedful.training.run"], "Run", load)
    code, out, err = heedful("predict", "r", "x")
    assert (code, out) == (130, "")
    assert err.strip() == "heedful: interrupted"


FAKE = """
import sys, types
new = types.SimpleNamespace
task = new(
    parse=lambda text: text,
    encode=list,
    answer=lambda model, texts: texts,
    warnings=lambda example, answer: [],
    show=lambda answer: "{chinese}" + answer + str(len(answer)),
)
run = new(answering=lambda overrides: task, model=None)
sys.modules["heedful.training.run"] = new(Run=lambda folder, task=None: run)
from heedful.cli import main
main({words})
"""
C_LOCALE = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", [None, "latin-1", "gbk"])
def test_chinese_in_and_out_under_any_locale(tmp_path, encoding):
    code = (FAKE.format(chinese=ascii(CHINESE)[1:-1], words=["predict", "r"])).encode()
    script = tmp_path / "run.py"
    script.write_bytes(code)
    start = f"import runpy; runpy.run_path({str(script)!r})"
    env = C_LOCALE | ({"PYTHONIOENCODING": encoding} if encoding else {})
    done = run_python(start, env=env, input="三月\n".encode())
    assert done.stderr == b""
    assert done.stdout.decode() == f"{CHINESE}三月2\n"


@pytest.mark.slow
def test_chinese_on_the_command_line_under_the_c_locale(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(FAKE.format(chinese="", words="sys.argv[1:]"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, "predict", "r", "三月"],
        capture_output=True,
        env={"PYTHONPATH": os.pathsep.join(sys.path), **C_LOCALE},
        timeout=60,
    )
    assert done.stderr == b""
    assert done.stdout.decode() == "三月2\n"


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_bug():
    code = FAKE.format(chinese="x" * 70_000, words=["predict", "r", "a", "b"])
    read, write = os.pipe()
    os.close(read)  # nobody reads
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=write,
        stderr=subprocess.PIPE,
        env=environment,
        timeout=60,
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 141


def test_a_reader_that_goes_away_from_a_short_output_is_no_bug():
    code = "from heedful.cli import main; main(['--version'])"
    read, write = os.pipe()
    os.close(read)
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=write,
        stderr=subprocess.PIPE,
        env=environment,
        timeout=60,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_python_m_heedful():
    done = subprocess.run(
        [sys.executable, "-m", "heedful", "--version"], capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout[:8]) == (0, b"heedful ")


def test_the_real_library_takes_these_calls():
    from heedful.data.alignment import Alignment
    from heedful.evaluation import evaluate
    from heedful.optimizing.into_folder import output_of
    from heedful.optimizing.run_folder import apply_plan, optimize_run
    from heedful.report.alignment import render_terminal
    from heedful.tasks.base import Task
    from heedful.training.layout import written
    from heedful.training.run import Run
    from heedful.training.start import train

    inspect.signature(train).bind(None, resume=Path("r"), on_event=print, task="a:B")
    inspect.signature(evaluate).bind(object(), split="dev", overrides=["decode.beam=2"])
    inspect.signature(Run).bind(Path("r"), task="a:B")
    inspect.signature(Run.answering).bind(None, ["decode.beam=2"])
    inspect.signature(written).bind(Task)
    inspect.signature(output_of).bind(Path("r"), None)
    told = {"output": Path("o"), "on_event": print}
    inspect.signature(optimize_run).bind(
        Path("r"), lose="", test=None, settings=None, clock=None, **told
    )
    steps = {"distil_steps": 1, "finetune_steps": 1}
    inspect.signature(apply_plan).bind(Path("p"), Path("r"), seed=2, **steps, **told)
    for words, given in {"encode": 1, "answer": 2, "parse": 1, "show": 1, "picture": 3}.items():
        inspect.signature(getattr(Task, words)).bind(None, *range(given))
    render_terminal(Alignment(source=("x",), target=("y",), weights=((1.0,),)))
