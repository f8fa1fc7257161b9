"""`heedful doctor`: what this machine has, for choosing settings and for bug reports."""

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from heedful.cli._options import AsJson
from heedful.texts import json_of

# extra -> what it installs; a test compares this with the package's metadata
EXTRAS = {
    "report": ("altair", "vl_convert"),
    "tensorboard": ("tensorboard",),
    "hf": ("datasets", "transformers"),
    "tune": ("optuna",),
    "control": ("gymnasium",),
    "images": ("PIL", "sklearn"),
    "sound": ("soundfile", "scipy"),
    "serve": ("fastapi", "jinja2", "prometheus_client", "uvicorn"),
    "explain": ("scipy",),
    "federated": ("flwr",),
    "export": ("ctranslate2", "onnx", "onnxruntime", "onnxscript"),
}
CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")


def doctor(
    *,
    build: Annotated[
        bool, typer.Option("--build", help="Compile the native kernel now, not at its first use.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what this machine has: versions, cores, memory, extras, fonts."""
    if build:
        _build()
    facts = examine()
    if as_json:
        typer.echo(json_of(facts, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):{width}}  {_words(value)}")


def examine() -> dict[str, Any]:
    """All facts; one that cannot be found out says why instead of failing the others."""
    probes: dict[str, Callable[[], Any]] = {
        "heedful": lambda: _version("heedful"),
        "python": lambda: f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform,
        "torch": _torch,
        "cores": _cores,
        "threads": _threads,
        "memory_gib": _memory,
        "cpu_features": _cpu_features,
        "native_kernel": _native_kernel,
        "gpu": _gpu,
        "extras": lambda: {name: _extra(name) for name in EXTRAS},
        "chinese_font_for_png": _chinese_font,
        "folder": _folder,
        "locale": _locale,
    }
    facts: dict[str, Any] = {}
    for name, probe in probes.items():
        try:
            facts[name] = probe()
        except Exception as error:  # a broken installation is what this command is for
            facts[name] = f"cannot be found out: {type(error).__name__}: {error}"
    return facts


def _build() -> None:
    """Make ahead what the first call would make; one line on stderr, so that stdout is facts."""
    from heedful.kernels.cpu.build import load, state
    from heedful.kernels.writing.network import library

    there = state()
    start = time.perf_counter()
    load()
    library()
    seconds = time.perf_counter() - start
    done = "was built already" if there.built else f"is built, in {seconds:.1f} s"
    typer.echo(f"the native kernel for {there.isa} {done}", err=True)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _torch() -> str:
    import torch

    return str(torch.__version__)


def _cores() -> dict[str, int]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"usable": usable or 1, "present": os.cpu_count() or 1}


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _memory() -> dict[str, float]:
    """What is installed, and what this process may have: a container often gets less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    usable = min(total, int(limit)) if limit.isdigit() else total
    return {"usable": round(usable / 2**30, 1), "present": round(total / 2**30, 1)}


def _cpu_features() -> dict[str, Any]:
    import torch

    lines = [line for line in _read("/proc/cpuinfo").splitlines() if ":" in line]
    found = {
        word
        for line in lines
        if line.lower().startswith(("flags", "features"))
        for word in line.split()
    }
    return {
        "torch_uses": str(torch.backends.cpu.get_cpu_capability()),
        "flags": [flag for flag in CPU_FLAGS if flag in found],
    }


def _native_kernel() -> dict[str, Any]:
    from heedful.kernels.cpu.build import state, switched_on

    found = state()
    if not switched_on():
        words = "switched off by HEEDFUL_KERNELS"
    elif found.failure is not None:
        words = found.failure
    elif found.built:
        words = "built" if found.openmp else "built without OpenMP: it uses one thread"
    elif not found.compiler:
        words = "not built: no compiler"
    elif found.folder is None:
        words = "not built: no folder that this user alone can write"
    else:
        words = "not built: heedful doctor --build"
    return {
        "isa": found.isa,
        "supported": list(found.supported),
        "compiler": found.version or found.compiler,
        "state": words,
        "path": None if found.path is None else str(found.path),
    }


def _gpu() -> list[str]:
    import torch

    found = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return found + (["Apple MPS"] if torch.backends.mps.is_available() else [])


def _extra(name: str) -> str:
    missing = [module for module in EXTRAS[name] if find_spec(module) is None]
    return f"missing (pip install 'heedful[{name}]')" if missing else "present"


def _chinese_font() -> bool:
    from heedful.report.fonts import has_chinese_font

    return has_chinese_font()


def _folder() -> dict[str, Any]:
    try:
        with tempfile.TemporaryFile(dir="."):
            return {"path": str(Path.cwd()), "writable": True}
    except OSError as error:
        return {"path": str(Path.cwd()), "writable": f"no: {error.strerror}"}


def _locale() -> dict[str, str]:
    names = ("LC_ALL", "LC_CTYPE", "LANG", "PYTHONUTF8")
    files = {"file_names": sys.getfilesystemencoding()}
    return {name: os.environ[name] for name in names if name in os.environ} | files


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
