"""Attention for PyTorch: build it, train with it, see where it goes, spend less of it.

    Mask, attend, why            exact attention for any mask, by the fastest kernel that there is
    ops, nn, models              every mechanism as a function, as a module, in whole networks
    train, load, evaluate, tune  from a config to a run, and what that is worth
    probe, explain, profile      where a model looks, why it answers so, what attention costs
    optimize, optimize_run       the fastest model that keeps a quality, with proof
    export                       a model as a folder that other programs run

The public names load on first use, so `import heedful` is instant and pulls in nothing.
"""

# pyright: reportUnsupportedDunderAll=false

import importlib
from typing import Any

# public name -> module that defines it
_PUBLIC = {
    "Budget": "heedful.optimizing.budget",
    "BudgetError": "heedful.errors",
    "Config": "heedful.tasks.translation.config",
    "ConfigError": "heedful.errors",
    "DataError": "heedful.errors",
    "HeedfulError": "heedful.errors",
    "Mask": "heedful.mask",
    "MissingExtraError": "heedful.errors",
    "ModelSpec": "heedful.optimizing.of_model",
    "Move": "heedful.allocation.moves.base",
    "OptimizeData": "heedful.optimizing.optimize_data",
    "OptimizeSettings": "heedful.optimizing.settings",
    "Outcome": "heedful.optimizing.outcome",
    "Plan": "heedful.allocation.plan",
    "Report": "heedful.evaluation",
    "Run": "heedful.training.run",
    "RunError": "heedful.errors",
    "ShapeError": "heedful.errors",
    "Task": "heedful.tasks.base",
    "TrainingError": "heedful.errors",
    "UnsupportedError": "heedful.errors",
    "Verdict": "heedful.optimizing.verdict",
    "attend": "heedful.kernels.attend",
    "evaluate": "heedful.evaluation",
    "explain": "heedful.explanation",
    "export": "heedful.exporting.export",
    "load": "heedful.training.run",
    "optimize": "heedful.optimizing.optimize",
    "optimize_run": "heedful.optimizing.run_folder",
    "probe": "heedful.probing.probe",
    "profile": "heedful.profiling.profile",
    "train": "heedful.training.start",
    "tune": "heedful.tuning.search",
    "why": "heedful.kernels.why",
}

# what has public names of its own: `heedful.nn.Attention`
_PACKAGES = (
    "distributed",
    "errors",
    "metrics",
    "models",
    "nn",
    "ops",
    "selection",
    "testing",
    "tuning",
)

# older name -> the public name that it has now
_RENAMED = {"Splits": "OptimizeData"}

__all__ = [
    "Budget",
    "BudgetError",
    "Config",
    "ConfigError",
    "DataError",
    "HeedfulError",
    "Mask",
    "MissingExtraError",
    "ModelSpec",
    "Move",
    "OptimizeData",
    "OptimizeSettings",
    "Outcome",
    "Plan",
    "Report",
    "Run",
    "RunError",
    "ShapeError",
    "Task",
    "TrainingError",
    "UnsupportedError",
    "Verdict",
    "attend",
    "evaluate",
    "explain",
    "export",
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
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _RENAMED:
        import warnings

        new = _RENAMED[name]
        warnings.warn(f"heedful.{name} is now heedful.{new}", DeprecationWarning, stacklevel=2)
        name = new
    if name not in _PUBLIC:
        raise AttributeError(f"module 'heedful' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted((*__all__, *_PACKAGES))
