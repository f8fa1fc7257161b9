"""`make matrix`: the built wheel under each Python and torch that it names, each from nothing.

Each cell is an environment of its own with torch and what the wheel asks for. In it, away from the
sources, a classifier goes through the commands of the README; then the tests of the library's core
run against the installed package. A cell takes minutes, and up to 6 GB that go with it. One cell:
`nox -s "matrix-3.12(torch='2.11.0')"`.
"""

import shutil
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13")
TORCHES = ("2.11.0", "2.13.0", "2.14.1")  # the oldest allowed, the locked one, the newest tried
CORE_TESTS = ("tests/test_mask.py", "tests/mask", "tests/kernels", "tests/selection")

# torch 2.14 says this of Python 3.13.0, and warnings are errors in our tests
QUIET = ("-q", "-p", "no:cacheprovider", "-W", "ignore:Guards may run slower:RuntimeWarning")

nox.options.sessions = ["matrix"]
nox.options.error_on_missing_interpreters = True


@nox.session(python=list(PYTHONS))
@nox.parametrize("torch", TORCHES)
def matrix(session: nox.Session, torch: str) -> None:
    """Install the wheel alone, use it, test it."""
    wheel = max(Path("dist").glob("heedful-*.whl"), default=None)
    if wheel is None:
        session.error("dist/ must hold a wheel, got none: run 'make dist' first")
    session.install(f"torch=={torch}", str(wheel))
    tests = [str(Path(name).resolve()) for name in CORE_TESTS]
    settings = Path("pyproject.toml").resolve()
    with session.chdir(session.create_tmp()):
        use(session)
        session.install("pytest", "hypothesis")
        one_thread = {"OMP_NUM_THREADS": "1"}
        session.run("pytest", *QUIET, "-c", str(settings), *tests, env=one_thread)
    shutil.rmtree(session.virtualenv.location)  # gigabytes


def use(session: nox.Session) -> None:
    """What a reader of the README types first, with the core dependencies alone."""
    session.run("heedful", "--version")
    session.run("heedful", "doctor", "--build")
    session.run("heedful", "new", "classify-text", "-o", "texts.toml")
    settings = ("--set", "train.steps=200", "--set", "train.evaluate_every=0.5")
    session.run("heedful", "train", "texts.toml", *settings, "-o", "run")
    session.run("heedful", "evaluate", "run")
    session.run("heedful", "predict", "run", "dans 3 jours", "--attention")
    session.run("heedful", "explain", "run", "--text", "dans 3 jours")
    search = ("--minutes", "0.5", "--finetune-steps", "50", "-o", "less")
    session.run("heedful", "optimize", "run", "--lose", "accuracy 5", *search, success_codes=[0, 3])
