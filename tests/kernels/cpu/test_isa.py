"""Which instruction sets this CPU has, and what HEEDFUL_ISA may ask for."""

import platform
import re
import sys

import pytest

from heedful.errors import ConfigError
from heedful.kernels.cpu import isa as module
from heedful.kernels.cpu.isa import ISAS, checked, chosen, model, supported

FLAGS = {
    "avx512bf16": "fma f16c avx2 avx512f avx512bw avx512dq avx512vl avx512_bf16 avx512_vnni",
    "avx512": "fma f16c avx2 avx512f avx512bw avx512dq avx512vl",
    "avx2": "fma f16c avx2",
    "portable": "sse2",
}


@pytest.fixture
def cpu(monkeypatch, tmp_path):
    """Pretend to be a CPU with these flags."""

    def pretend(flags):
        path = tmp_path / f"cpuinfo {abs(hash(flags))}"
        path.write_text(f"processor\t: 0\nmodel name\t: Abacus 3000\nflags\t\t: fpu {flags}\n\n")
        monkeypatch.setattr(module, "CPUINFO", path)
        monkeypatch.setattr(platform, "machine", lambda: "x86_64")
        monkeypatch.setattr(sys, "platform", "linux")

    monkeypatch.delenv("HEEDFUL_ISA", raising=False)
    return pretend


@pytest.mark.parametrize("best", FLAGS)
def test_the_best_and_all_below_it(cpu, best):
    cpu(FLAGS[best])
    names = list(ISAS)
    assert supported() == tuple(names[names.index(best) :])
    assert chosen() == best
    assert model() == "Abacus 3000"


@pytest.mark.parametrize("isa", list(ISAS)[:-1])
def test_each_flag_is_needed(cpu, isa):
    for flag in ISAS[isa].cpu:
        cpu(" ".join(ISAS[isa].cpu - {flag}))
        assert isa not in supported(), flag


def test_the_compiler_is_told_of_every_flag():
    for isa, instructions in ISAS.items():
        told = {flag.removeprefix("-m") for flag in instructions.compiler}
        assert told == {flag.replace("_", "") for flag in instructions.cpu}, isa


@pytest.mark.parametrize("system, machine", [("darwin", "x86_64"), ("linux", "aarch64")])
def test_other_systems_get_portable_code(cpu, monkeypatch, system, machine):
    cpu(FLAGS["avx2"])
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert supported() == ("portable",)


def test_a_system_that_tells_nothing_gets_portable_code(cpu, monkeypatch, tmp_path):
    cpu(FLAGS["avx2"])
    monkeypatch.setattr(module, "CPUINFO", tmp_path / "missing")
    assert supported() == ("portable",)
    assert model() == "x86_64"
    assert supported(tmp_path / "cpuinfo elsewhere") == ("portable",)


def test_a_variable_names_one(cpu, monkeypatch):
    cpu(FLAGS["avx512"])
    monkeypatch.setenv("HEEDFUL_ISA", "avx2")
    assert chosen() == "avx2"
    monkeypatch.setenv("HEEDFUL_ISA", "")
    assert chosen() == "avx512"


@pytest.mark.parametrize("name", ["avx512", "sse9"])
def test_one_that_is_not_there_is_refused(cpu, monkeypatch, name):
    cpu(FLAGS["avx2"])
    words = f"must be one of avx2, portable on this CPU, got '{name}'"
    monkeypatch.setenv("HEEDFUL_ISA", name)
    with pytest.raises(ConfigError, match=re.escape(f"HEEDFUL_ISA {words}")):
        chosen()
    with pytest.raises(ConfigError, match=re.escape(f"isa {words}")):
        checked(name)
