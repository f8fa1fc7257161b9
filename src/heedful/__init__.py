"""Attention for PyTorch: build it, train with it, see where it goes, spend less of it.

The public names load on first use, so `import heedful` is instant and pulls in nothing.
"""

# pyright: reportUnsupportedDunderAll=false

import importlib
from typing import Any

# public name -> module that defines it
_PUBLIC = {
    "Config": "heedful.config",
    "Mask": "heedful.mask",
    "Plan": "heedful.allocation.plan",
    "Run": "heedful.training.run",
    "Splits": "heedful.optimizing.splits",
    "attend": "heedful.kernels.attend",
    "evaluate": "heedful.evaluation",
    "load": "heedful.training.run",
    "optimize": "heedful.optimizing.optimize",
    "optimize_run": "heedful.optimizing.run_folder",
    "probe": "heedful.probing.probe",
    "profile": "heedful.optimizing.profiling",
    "train": "heedful.training.start",
    "tune": "heedful.tuning.search",
    "why": "heedful.kernels.why",
}

__all__ = [
    "Config",
    "Mask",
    "Plan",
    "Run",
    "Splits",
    "attend",
    "evaluate",
    "load",
    "optimize",
    "optimize_run",
    "probe",
    "profile",
    "train",
    "tune",
    "why",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'heedful' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
