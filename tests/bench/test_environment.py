"""A measurement says what it was made on."""

import torch

from heedful.bench import environment as module
from heedful.bench.environment import environment, processor


def test_names_what_numbers_depend_on():
    here = environment()
    assert here.threads == torch.get_num_threads()
    assert here.versions["torch"] == torch.__version__.partition("+")[0] or (
        here.versions["torch"] == torch.__version__
    )
    assert set(here.versions) == {"heedful", "torch", "Python"}
    assert len(here.date) == len("2026-01-31")


def test_reads_the_name_of_the_processor(monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Abacus 3000\n\nmodel name\t: another\n")
    monkeypatch.setattr(module, "_PROCESSOR", info)
    assert processor() == "Abacus 3000"
    info.write_text("nothing here\n")
    assert processor() == module.platform.machine()
