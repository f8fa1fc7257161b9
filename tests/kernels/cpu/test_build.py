"""A library is compiled once, kept where only its user can write, and loaded only when whole."""

import ctypes
import hashlib
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from heedful.errors import ConfigError, KernelError
from heedful.kernels.cpu import _compiler, _places, build
from heedful.kernels.cpu._places import folder, folders
from heedful.kernels.cpu.build import compiler, library, load, state

REAL = compiler()
needs_compiler = pytest.mark.skipif(REAL is None, reason="this machine has no C++ compiler")
CODE = '#include "number.h"\nextern "C" int answer() { return NUMBER; }\n'
DAY = 24 * 3600


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, an empty temporary folder and nothing asked for; gives the cache."""
    for name in ("CXX", "HEEDFUL_ISA", "HEEDFUL_KERNELS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setattr(build, "_failed", {})
    return tmp_path / "cache" / "heedful"


@pytest.fixture
def sources(tmp_path):
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "attention.cpp").write_text(CODE)
    (folder / "number.h").write_text("#define NUMBER 41\n")
    return folder


@pytest.fixture
def wrapper(monkeypatch, tmp_path):
    """Make a compiler of shell commands, named by CXX; `runs` tells how often it compiled."""

    class Wrapper:
        log = tmp_path / "log"

        def __call__(self, commands):
            path = tmp_path / "wrapper"
            version = '[ "$1" = --version ] && echo "wrapper 1.2" && echo more && exit 0'
            log = f'echo "$@" >> {shlex.quote(str(self.log))}'
            path.write_text("\n".join(["#!/bin/sh", version, log, commands, ""]))
            path.chmod(0o755)
            monkeypatch.setenv("CXX", str(path))

        def runs(self):
            return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    return Wrapper()


def compile_really():
    return f'exec {shlex.join(REAL or ())} "$@"'


def files(place):
    return sorted(path.suffix for path in place.iterdir())


# ---- once ----------------------------------------------------------------------------------------


@needs_compiler
def test_compiles_at_first_and_never_again(cache, sources, wrapper):
    wrapper(compile_really())
    first = library("portable", sources=sources)
    assert (first.parent, first.suffix) == (cache, ".so")
    assert library("portable", sources=sources) == first
    assert load("portable", sources=sources).answer() == 41
    assert load("portable", sources=sources) is load("portable", sources=sources)
    assert wrapper.runs() == 1
    assert files(cache) == [".json", ".lock", ".so"]
    assert cache.stat().st_mode & 0o777 == 0o700


@needs_compiler
def test_two_processes_compile_once(sources, wrapper):
    wrapper(f"sleep 1\n{compile_really()}")
    code = (
        "import sys; from pathlib import Path; from heedful.kernels.cpu.build import library\n"
        "print(library('portable', sources=Path(sys.argv[1])))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(sources)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert said[0] == said[1]
    assert ctypes.CDLL(said[0][0].strip()).answer() == 41
    assert wrapper.runs() == 1


@needs_compiler
def test_goes_on_where_files_cannot_be_locked(monkeypatch, sources):
    monkeypatch.setattr(_places, "fcntl", None)
    assert ctypes.CDLL(str(library("portable", sources=sources))).answer() == 41


@needs_compiler
def test_a_lock_that_is_held_forever_is_passed(tmp_path):
    pytest.importorskip("fcntl", reason="locks are a thing of Unix")
    start = time.monotonic()
    with _places.locked(tmp_path / "a.lock", 60), _places.locked(tmp_path / "a.lock", 0.2):
        assert 0.3 < time.monotonic() - start < 30


@needs_compiler
def test_everything_that_matters_changes_the_name(monkeypatch, sources, tmp_path, wrapper):
    def name(**options):
        return library("portable", sources=sources, **options).name

    names = [name(), name(extra=("-DOTHER",))]
    (sources / "number.h").write_text("#define NUMBER 43\n")
    names.append(name())
    (sources / "attention.cpp").write_text(CODE + "// more\n")
    names.append(name())
    monkeypatch.setattr(build, "model", lambda: "Abacus 3000")
    names.append(name())
    wrapper(compile_really())
    names.append(name())
    monkeypatch.setenv("CXX", f"{os.environ['CXX']} -g0")  # another command, the same version
    names.append(name())
    assert len(set(names)) == len(names)
    assert name() == names[-1]
    assert state("portable", sources=sources).path.name == names[-1]


@needs_compiler
@pytest.mark.parametrize("isa", build.supported())
def test_each_instruction_set_is_a_library(sources, wrapper, isa):
    wrapper(compile_really())
    assert load(isa, sources=sources, extra=("-DEXTRA",)).answer() == 41
    words = wrapper.log.read_text().split()
    assert set(build.ISAS[isa].compiler) | {"-DEXTRA", "-O3", "-fopenmp"} <= set(words)
    assert not {"-ffast-math", "-funsafe-math-optimizations", "-Ofast"} & set(words)


@needs_compiler
def test_torch_is_loaded_before_the_library(monkeypatch, sources):
    order = []
    monkeypatch.setattr(build, "import_module", order.append)
    monkeypatch.setattr(ctypes, "CDLL", lambda path, mode: order.append(Path(path).suffix))
    load("portable", sources=sources)
    assert order == ["torch", ".so"]


@needs_compiler
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of loaded libraries")
def test_torch_and_the_library_share_one_openmp(sources):
    (sources / "attention.cpp").write_text(
        '#include <omp.h>\nextern "C" int answer() { return omp_get_max_threads(); }\n'
    )
    code = (
        "import sys; from pathlib import Path; from heedful.kernels.cpu.build import load\n"
        "print(load('portable', sources=Path(sys.argv[1])).answer())\n"
        "import re, torch\n"
        "torch.set_num_threads(3)\n"
        "print(load('portable', sources=Path(sys.argv[1])).answer())\n"
        "maps = Path('/proc/self/maps').read_text()\n"
        "print(len(set(re.findall(r'\\S*lib[gi]omp\\S*', maps))))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(sources)],
        capture_output=True,
        env=environment,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == ["2", "3", "1"], done.stderr


# ---- damage --------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_bytes(b"\0" * path.stat().st_size),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: path.chmod(0o777),
        lambda path: path.with_suffix(".json").write_text('{"half'),
        lambda path: path.with_suffix(".json").write_text("[]"),
        lambda path: path.with_suffix(".json").unlink(),
    ],
    ids=["short", "garbage", "empty", "gone", "open to all", "half", "no dict", "no note"],
)
def test_a_damaged_library_is_made_again(sources, wrapper, damage):
    wrapper(compile_really())
    path = library("portable", sources=sources)
    damage(path)
    assert state("portable", sources=sources).built is False
    assert load("portable", sources=sources).answer() == 41
    assert wrapper.runs() == 2
    assert state("portable", sources=sources).built is True


@needs_compiler
def test_a_library_that_does_not_load_is_made_again(sources, wrapper):
    wrapper(compile_really())
    path = library("portable", sources=sources)
    path.write_bytes(b"garbage")
    note = {"sha256": hashlib.sha256(b"garbage").hexdigest(), "size": 7, "flags": []}
    path.with_suffix(".json").write_text(json.dumps(note))
    assert load("portable", sources=sources).answer() == 41
    assert wrapper.runs() == 2


@needs_compiler
def test_a_library_of_something_else_is_made_again(monkeypatch, sources, wrapper, tmp_path):
    """Whole and loadable, but another: as if somebody had put it in the place of ours."""
    monkeypatch.setattr(build, "SOURCES", sources)
    monkeypatch.setattr(build, "FUNCTIONS", ("answer",))
    wrapper(compile_really())
    path = library("portable")
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.cpp").write_text('extern "C" int question() { return 6; }')
    content = library("portable", sources=other).read_bytes()
    path.write_bytes(content)
    note = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "flags": []}
    path.with_suffix(".json").write_text(json.dumps(note))
    assert load("portable").answer() == 41
    assert wrapper.runs() == 3
    monkeypatch.setattr(build, "FUNCTIONS", ("answer", "not_there"))
    monkeypatch.setattr(build, "_loaded", {})
    with pytest.raises(KernelError, match="the native kernel must have not_there, got none in"):
        load("portable")


@pytest.mark.parametrize("depth", [10, 100_000])
def test_a_note_that_is_none_is_no_note(sources, wrapper, depth):
    wrapper('for last; do :; done\necho garbage > "$last"')
    path = library("portable", sources=sources)
    path.with_suffix(".json").write_text("[" * depth)
    assert state("portable", sources=sources).built is False


def test_a_library_that_never_loads_is_made_again_once(monkeypatch, sources, wrapper):
    wrapper('for last; do :; done\necho garbage > "$last"')
    for _ in range(3):
        monkeypatch.setattr(build, "_failed", {})  # as in a new process
        with pytest.raises(KernelError, match=r"the native kernel must load, got: .*\.so"):
            load("portable", sources=sources)
    assert wrapper.runs() == 2


@needs_compiler
def test_without_a_compiler_a_library_that_does_not_load_says_why(monkeypatch, sources):
    path = library("portable", sources=sources)
    path.write_bytes(b"garbage")
    note = {"sha256": hashlib.sha256(b"garbage").hexdigest(), "size": 7, "flags": []}
    path.with_suffix(".json").write_text(json.dumps(note))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(KernelError, match=r"the native kernel must load, got: .*\.so"):
        load("portable", sources=sources)


# ---- compilers -----------------------------------------------------------------------------------


def test_no_compiler(monkeypatch, sources):
    monkeypatch.setenv("PATH", "")
    words = "needs a C++ compiler, got none of c++, g++, clang++ on PATH"
    assert compiler() is None
    with pytest.raises(KernelError, match=re.escape(words)):
        load("portable", sources=sources)
    here = state("portable", sources=sources)
    assert (here.compiler, here.built, here.size, here.openmp) == ("", False, 0, None)
    assert words in here.version
    assert words in (here.failure or "")


@pytest.mark.parametrize("asked", ["no-such-compiler", "'open"])
def test_a_compiler_that_is_asked_for_and_missing(monkeypatch, sources, asked):
    monkeypatch.setenv("CXX", asked)
    with pytest.raises(KernelError, match=re.escape(f"C++ compiler, got CXX={asked}")):
        library("portable", sources=sources)


def test_the_first_on_the_path_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("clang++", "g++", "c++"):
        (tmp_path / name).touch(mode=0o755)
        assert compiler() == (str(tmp_path / name),)
    monkeypatch.setenv("CXX", "g++ -m64 '-D A'")
    assert compiler() == (str(tmp_path / "g++"), "-m64", "-D A")


@needs_compiler
def test_without_a_compiler_what_another_made_is_used(monkeypatch, sources):
    path = library("portable", sources=sources)
    monkeypatch.setenv("PATH", "")
    assert library("portable", sources=sources) == path
    assert state("portable", sources=sources).built is True


def test_a_compiler_that_writes_nothing_is_none(cache, sources, wrapper):
    wrapper("exit 0")
    with pytest.raises(KernelError, match=r"a C[+][+] compiler, got a program that ends well and"):
        library("portable", sources=sources)


def test_the_words_of_a_failing_compiler_are_told_once_asked(cache, sources, wrapper):
    lines = [f"line {number} 中" for number in range(30)]
    wrapper("\n".join(f"echo {line} >&2" for line in lines) + "\nexit 1")
    shown = "\n".join(lines[:20])
    for _ in range(3):
        with pytest.raises(KernelError, match=f"must compile the native kernel, got:\n{shown}$"):
            load("portable", sources=sources)
        assert wrapper.runs() == 2  # the second without OpenMP
    assert files(cache) == [".lock"]
    assert lines[19] in (state("portable", sources=sources).failure or "")
    assert state("portable", sources=sources).version == "wrapper 1.2"


@needs_compiler
def test_a_fault_in_the_source_is_told(sources):
    (sources / "attention.cpp").write_text("int broken( { return 1; }\n")
    with pytest.raises(KernelError, match=r"got:\n.*attention\.cpp.*error"):
        library("portable", sources=sources)


def test_a_compiler_that_hangs_is_ended(cache, sources, wrapper, tmp_path):
    wrapper(f"sleep 600 &\necho $! > {shlex.quote(str(tmp_path / 'child'))}\nwait")
    start = time.monotonic()
    with pytest.raises(KernelError, match=r"must finish within 0\.5 s, got no end of: .*wrapper"):
        library("portable", sources=sources, seconds=0.5)
    assert time.monotonic() - start < 60
    assert wrapper.runs() == 1
    assert files(cache) == [".lock"]
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        status = Path(f"/proc/{child}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("what the compiler started still runs")


def test_a_compiler_that_hangs_at_its_version(monkeypatch, sources, tmp_path):
    path = tmp_path / "hangs"
    path.write_text("#!/bin/sh\nsleep 600\n")
    path.chmod(0o755)
    assert _compiler.version((str(path),), 0.3) == ""
    monkeypatch.setenv("CXX", str(path))
    with pytest.raises(KernelError, match=r"must finish within 0\.2 s"):
        library("portable", sources=sources, seconds=0.2)


def test_a_compiler_that_cannot_be_run(sources, monkeypatch, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\0\0\0")
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    with pytest.raises(KernelError, match=r"got:\n.*text: Exec format error"):
        library("portable", sources=sources)


@needs_compiler
def test_openmp_is_left_out_where_the_compiler_does_not_take_it(sources, wrapper):
    refuse = 'case "$*" in *-fopenmp*) echo unknown option; exit 1;; esac'
    wrapper(f"{refuse}\n{compile_really()}")
    assert load("portable", sources=sources).answer() == 41
    assert wrapper.runs() == 2
    assert state("portable", sources=sources).openmp is False


@needs_compiler
def test_openmp_is_noted(sources):
    library("portable", sources=sources)
    here = state("portable", sources=sources)
    assert here.openmp is True
    assert here.size == here.path.stat().st_size


# ---- places --------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("name", ["XDG_CACHE_HOME", "HOME"])
def test_a_home_that_cannot_be_written(monkeypatch, tmp_path, sources, name):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder() == tmp_path / ".cache" / "heedful"
    monkeypatch.setenv(name, "/dev/null/x")
    private = tmp_path / "temporary" / f"heedful-{os.getuid()}"
    assert folder() == private
    assert private.stat().st_mode & 0o777 == 0o700
    assert load("portable", sources=sources).answer() == 41
    assert state("portable", sources=sources).path.parent == private


def test_a_relative_cache_and_no_home_are_ignored(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "nowhere")
    assert folder().parent == tmp_path / "temporary"
    assert not (tmp_path / "relative").exists()
    assert not (tmp_path / "nowhere").exists()


def test_nowhere_to_write(monkeypatch, sources, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/x")
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null/y")
    words = "must be writable, by this user alone, got neither /dev/null/x/heedful nor"
    with pytest.raises(KernelError, match=words):
        folder()
    if REAL is not None:
        with pytest.raises(KernelError, match=words):
            load("portable", sources=sources)
    here = state("portable", sources=sources)
    assert (here.folder, here.path, here.built) == (None, None, False)


@needs_compiler
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o722])
def test_a_folder_that_others_can_write_is_refused(cache, sources, tmp_path, mode):
    path = library("portable", sources=sources)
    path.parent.chmod(mode)
    assert cache not in folders()
    again = library("portable", sources=sources)
    assert again.parent.parent == tmp_path / "temporary"
    again.parent.chmod(mode)
    with pytest.raises(KernelError, match="by this user alone"):
        library("portable", sources=sources)


def test_a_folder_of_somebody_else_is_refused(monkeypatch, cache):
    assert folder() == cache
    if os.getuid() == 0:
        os.chown(cache, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert cache not in folders()


def test_a_link_in_the_temporary_folder_is_refused(monkeypatch, tmp_path):
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "temporary" / f"heedful-{os.getuid()}").symlink_to(tmp_path / "mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/x")
    assert list(folders()) == []
    (tmp_path / "heedful").symlink_to(tmp_path / "mine")  # the user's own link is fine
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder() == tmp_path / "heedful"


def test_a_link_is_refused_whatever_its_mode(monkeypatch, tmp_path):
    link = SimpleNamespace(st_mode=stat.S_IFLNK | 0o700, st_uid=os.getuid())
    monkeypatch.setattr(Path, "stat", lambda self, follow_symlinks: link)
    assert _places.is_safe(tmp_path, follow=False) is False


@needs_compiler
def test_a_cache_that_came_with_the_machine_is_read(monkeypatch, sources, cache, tmp_path):
    path = library("portable", sources=sources)
    monkeypatch.setattr(_places, "is_writable", lambda place: place != cache)
    assert folder().parent == tmp_path / "temporary"
    assert library("portable", sources=sources) == path


@needs_compiler
def test_a_full_disk_is_told(monkeypatch, sources):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(KernelError, match=r"heedful must be writable, got: No space left"):
        library("portable", sources=sources)


@needs_compiler
def test_what_nobody_used_for_a_month_goes(cache, sources):
    now = time.time()
    cache.mkdir(parents=True)
    ages = {"attention-portable-old": 31, "attention-portable-new": 29, "attention-avx2-old": 31}
    for stem, days in ages.items():
        for suffix in (".so", ".json", ".lock", ".x1y2.tmp"):
            path = cache / f"{stem}{suffix}"
            path.touch()
            age = days if suffix == ".so" else 40
            os.utime(path, (now - age * DAY, now - age * DAY))
    cache.chmod(0o700)
    library("portable", sources=sources)
    left = {path.name.partition(".")[0] for path in cache.iterdir()}
    assert left - {state("portable", sources=sources).path.stem} == {
        "attention-portable-new",
        "attention-avx2-old",
    }
    assert len(list(cache.glob("attention-portable-new.*"))) == 4


@needs_compiler
def test_loading_counts_as_use(monkeypatch, sources):
    path = library("portable", sources=sources)
    os.utime(path, (0, 0))
    load("portable", sources=sources)
    assert time.time() - path.stat().st_mtime < 1000
    assert library("portable", sources=sources) == path


# ---- variables -----------------------------------------------------------------------------------


def test_switched_off(monkeypatch, sources):
    monkeypatch.setenv("HEEDFUL_KERNELS", "off")
    words = "the native kernel must be switched on, got HEEDFUL_KERNELS=off"
    with pytest.raises(KernelError, match=words):
        load("portable", sources=sources)
    monkeypatch.setenv("HEEDFUL_KERNELS", "maybe")
    with pytest.raises(ConfigError, match="HEEDFUL_KERNELS must be on or off, got 'maybe'"):
        load("portable", sources=sources)


@needs_compiler
def test_switched_on_again(monkeypatch, sources):
    monkeypatch.setenv("HEEDFUL_KERNELS", "off")
    with pytest.raises(KernelError, match="HEEDFUL_KERNELS=off"):
        load("portable", sources=sources)
    monkeypatch.setenv("HEEDFUL_KERNELS", "on")
    assert load("portable", sources=sources).answer() == 41


@needs_compiler
def test_the_variable_chooses_the_library(monkeypatch, sources):
    monkeypatch.setenv("HEEDFUL_ISA", "portable")
    assert load(sources=sources) is load("portable", sources=sources)
    assert state(sources=sources).isa == "portable"
    assert state(sources=sources).supported == build.supported()


def test_an_instruction_set_that_is_not_there(monkeypatch, sources):
    with pytest.raises(ConfigError, match=r"isa must be one of .*portable on this CPU, got 'sse9'"):
        load("sse9", sources=sources)
    monkeypatch.setenv("HEEDFUL_ISA", "sse9")
    with pytest.raises(ConfigError, match="HEEDFUL_ISA must be one of"):
        load(sources=sources)


def test_sources_that_are_not_there(tmp_path):
    words = f"the sources of the native kernel must be in {re.escape(str(tmp_path))}, got none"
    with pytest.raises(KernelError, match=words):
        load("portable", sources=tmp_path)
    assert re.search(words, state("portable", sources=tmp_path).failure or "")


def test_looking_compiles_nothing(cache, sources, wrapper):
    wrapper("exit 1")
    here = state("portable", sources=sources)
    assert (here.built, here.failure, here.folder) == (False, None, cache)
    assert wrapper.runs() == 0
    assert list(cache.iterdir()) == []
