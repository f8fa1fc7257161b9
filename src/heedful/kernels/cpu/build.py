"""The library of the native kernel: compiled at first use, kept in the user's cache, loaded."""

import contextlib
import ctypes
import hashlib
import json
import os
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from heedful.errors import ConfigError, KernelError, RunError
from heedful.files import write_json
from heedful.kernels.cpu._compiler import (
    OPENMP,
    compile_library,
    compiler,
    no_compiler,
    version,
)
from heedful.kernels.cpu._places import (
    folder,
    folders,
    is_writable,
    locked,
    prune,
    sidecar,
    touch,
    whole,
)
from heedful.kernels.cpu.isa import ISAS, Isa, checked, chosen, model, supported

SOURCES = Path(__file__).parent
SECONDS = 120.0  # of one run of the compiler
VERSION_SECONDS = 10.0
FUNCTIONS = ("heedful_call_size", "heedful_forward", "heedful_backward", "heedful_read")
# -ffast-math would change how the whole process treats denormal numbers
FLAGS = (
    *("-O3", "-std=c++17", "-fPIC", "-shared", OPENMP),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
)

_loaded: dict[tuple[Isa, Path, tuple[str, ...]], ctypes.CDLL] = {}
_failed: dict[tuple[Isa, Path, tuple[str, ...]], str] = {}


@dataclass(frozen=True, kw_only=True)
class State:
    """What stands between this process and the native kernel, for people.

    Args:
        isa: Chosen here.
        supported: By this CPU, best first.
        compiler: As it is called, empty where there is none.
        version: The first line of what it says of itself, or why there is none.
        path: Of the library, whether it is there or not; `None` where it has no place.
        built: It is there and whole.
        size: In bytes; 0 where it is not built.
        openmp: It uses all threads; `None` where it is not built.
        folder: Where a library would be written; `None` where nowhere can be.
        failure: Why it could not be built or loaded earlier in this process.
    """

    isa: Isa
    supported: tuple[Isa, ...]
    compiler: str
    version: str
    path: Path | None
    built: bool
    size: int
    openmp: bool | None
    folder: Path | None
    failure: str | None


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One library: `family` says what it holds, `name` also who compiles it."""

    isa: Isa
    files: tuple[Path, ...]
    flags: tuple[str, ...]
    compiler: tuple[str, ...]
    version: str
    family: str
    name: str


def load(
    isa: Isa | None = None,
    *,
    sources: Path | None = None,
    extra: Sequence[str] = (),
    seconds: float = SECONDS,
) -> ctypes.CDLL:
    """Return the library, compiled if nobody has yet; a failure is not tried again.

    Args:
        isa: The best of this CPU by default.
        sources: The folder that holds the C++.
        extra: More flags for the compiler.
        seconds: That the compiler may take.

    Raises:
        KernelError: There is no compiler, it fails, no folder is safe, the library does not load,
            or HEEDFUL_KERNELS is off.
        ConfigError: This CPU does not have `isa`, or a variable holds what it must not.
    """
    if not switched_on():
        raise KernelError("the native kernel must be switched on, got HEEDFUL_KERNELS=off")
    here = chosen() if isa is None else checked(isa)
    key = (here, sources or SOURCES, tuple(extra))
    if key in _failed:
        raise KernelError(_failed[key])
    if key not in _loaded:
        # torch brings its OpenMP along: what is loaded later uses that one pool of threads
        import_module("torch")
        try:
            _loaded[key] = _open(_plan(*key, seconds), seconds)
        except KernelError as error:
            _failed[key] = str(error)
            raise
    return _loaded[key]


def library(
    isa: Isa,
    *,
    sources: Path | None = None,
    extra: Sequence[str] = (),
    seconds: float = SECONDS,
) -> Path:
    """Return where the library is, compiled if it is not there or not whole.

    Raises:
        KernelError: As for `load`.
    """
    return _make(_plan(isa, sources or SOURCES, tuple(extra), seconds), seconds)


def switched_on() -> bool:
    """What HEEDFUL_KERNELS says.

    Raises:
        ConfigError: Something else than on or off.
    """
    value = os.environ.get("HEEDFUL_KERNELS") or "on"
    if value not in ("on", "off"):
        raise ConfigError(f"HEEDFUL_KERNELS must be on or off, got {value!r}")
    return value == "on"


def state(isa: Isa | None = None, *, sources: Path | None = None) -> State:
    """Look, without compiling or loading anything."""
    here = chosen() if isa is None else checked(isa)
    place = next((path for path in folders() if is_writable(path)), None)
    command = compiler() or ()
    failure = _failed.get((here, sources or SOURCES, ()))
    try:
        plan = _plan(here, sources or SOURCES, (), SECONDS)
    except KernelError as error:
        plan, failure = None, str(error)
    path = plan and (_find(plan) or (place and place / plan.name))
    kept = path and whole(path)
    return State(
        isa=here,
        supported=supported(),
        compiler=shlex.join(command),
        version=version(command, VERSION_SECONDS) if command else no_compiler(),
        path=path,
        built=bool(kept),
        size=kept["size"] if kept else 0,
        openmp=OPENMP in kept["flags"] if kept else None,
        folder=place,
        failure=failure,
    )


# ---- making --------------------------------------------------------------------------------------


def _plan(isa: Isa, sources: Path, extra: tuple[str, ...], seconds: float) -> _Plan:
    files = tuple(sorted(sources.glob("*.cpp")))
    if not files:
        raise KernelError(f"the sources of the native kernel must be in {sources}, got none")
    flags = (*FLAGS, *ISAS[isa].compiler, *extra)
    command = compiler() or ()
    words = version(command, min(seconds, VERSION_SECONDS)) if command else ""
    headers = sorted({*sources.glob("*.h"), *SOURCES.glob("*.h")})  # those of attention serve all
    everything = (*files, *headers)
    contents = [hashlib.sha256(file.read_bytes()).hexdigest() for file in everything]
    family = f"attention-{isa}-{_digest(isa, model(), *flags, *contents)}"
    return _Plan(
        isa=isa,
        files=files,
        flags=flags,
        compiler=command,
        version=words,
        family=family,
        name=f"{family}-{_digest(*command, words)}.so",
    )


def _digest(*words: str) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16]


def _find(plan: _Plan) -> Path | None:
    """The library, if it is there; without a compiler, also one that another compiler made."""
    pattern = plan.name if plan.compiler else f"{plan.family}-*.so"
    return next((p for place in folders() for p in place.glob(pattern) if whole(p)), None)


def _make(plan: _Plan, seconds: float, *, reopen: bool = False) -> Path:
    """The library, from the cache or from the compiler; `reopen` says that the cached one failed
    to load."""
    found = None if reopen else _find(plan)
    if found is not None:
        return found
    if not plan.compiler:
        raise KernelError(no_compiler())
    place = folder()
    target = place / plan.name
    try:
        with locked(target.with_suffix(".lock"), seconds):
            if reopen or not whole(target):  # else somebody has made it while this waited
                _write(plan, target, seconds, reopened=reopen)
    except OSError as error:
        raise KernelError(f"{place} must be writable, got: {error.strerror or error}") from None
    prune(place, plan.isa)
    return target


def _write(plan: _Plan, target: Path, seconds: float, *, reopened: bool) -> None:
    handle, name = tempfile.mkstemp(prefix=f"{target.stem}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        flags = compile_library(
            plan.compiler, plan.files, temporary, flags=plan.flags, seconds=seconds
        )
        content = temporary.read_bytes()
        temporary.chmod(0o755)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    note = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    try:
        write_json(sidecar(target), {**note, "flags": flags, "reopened": reopened})
    except RunError as error:
        raise KernelError(str(error)) from None


def _open(plan: _Plan, seconds: float) -> ctypes.CDLL:
    """Load the library; one that does not load is made anew, once ever."""
    path = _make(plan, seconds)
    try:
        opened = _dlopen(path, plan)
    except KernelError:
        if not plan.compiler or (whole(path) or {}).get("reopened"):
            raise
        path = _make(plan, seconds, reopen=True)
        opened = _dlopen(path, plan)
    touch(path)
    return opened


def _dlopen(path: Path, plan: _Plan) -> ctypes.CDLL:
    try:
        opened = ctypes.CDLL(str(path), mode=getattr(os, "RTLD_LOCAL", ctypes.DEFAULT_MODE))
    except OSError as error:
        raise KernelError(f"the native kernel must load, got: {error}") from None
    missing = [name for name in FUNCTIONS if not hasattr(opened, name)]
    if missing and plan.files[0].parent == SOURCES:
        # as long as it is open, whatever lies at this path is taken for it
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).dlclose(ctypes.c_void_p(opened._handle))  # pyright: ignore[reportPrivateUsage]
        raise KernelError(f"the native kernel must have {', '.join(missing)}, got none in {path}")
    return opened
