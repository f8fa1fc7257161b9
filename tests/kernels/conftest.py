"""Kernels that note that they ran, and a native one that needs no compiler."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from heedful.kernels import _kernels, _table, choose, sdpa
from heedful.kernels.call import Call


@dataclass
class Spy:
    """A kernel that notes its name when it runs; the reasons can be set."""

    name: str
    kernel: Any
    ran: list[str]
    refusal: str | None = None

    def refuses(self, call: Call) -> str | None:
        return self.refusal or self.kernel.refuses(call)

    def run(self, call: Call) -> torch.Tensor:
        self.ran.append(self.name)
        return self.kernel.run(call)


@dataclass
class Spies:
    """All kernels by name, and the names of those that ran, in order."""

    of: dict[str, Spy] = field(default_factory=dict[str, Spy])
    ran: list[str] = field(default_factory=list[str])

    def during(self, action: Any) -> list[str]:
        """The names of the kernels that run during `action`."""
        self.ran.clear()
        action()
        return list(self.ran)


@pytest.fixture
def place(monkeypatch, tmp_path):
    """An empty cache folder, and a process that knows nothing yet; the file of the choices."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(choose.VARIABLE, raising=False)
    choose.forget()
    yield _table.place()
    monkeypatch.undo()
    choose.forget()


@pytest.fixture
def kernels(monkeypatch, place):
    """Every kernel under watch; the native one is torch's in disguise."""
    spies = Spies()
    for name, kernel in _kernels.KERNELS.items():
        spies.of[name] = Spy(name, sdpa if name == "cpu" else kernel, spies.ran)
        monkeypatch.setitem(_kernels.KERNELS, name, spies.of[name])
    return spies


@pytest.fixture
def timed(monkeypatch, kernels):
    """Set what measuring finds, in seconds by name: no test depends on a clock."""
    found: dict[str, float | None] = {}
    asked: list[tuple[Any, tuple[str, ...]]] = []

    def measure(shape, names):
        asked.append((shape, names))
        return {name: found[name] for name in names}

    monkeypatch.setattr("heedful.kernels._measure.measure", measure)
    return found, asked
