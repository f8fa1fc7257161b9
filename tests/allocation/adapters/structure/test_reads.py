"""Numbers that a forward looks up are heard, and a view of a config differs where it is told to."""

import copy
from types import SimpleNamespace

import pytest
from torch import nn

from heedful.allocation.adapters.structure.reads import ConfigView, Place, put, reads_of


class Looking(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(_attn_implementation="eager", heads=5, name="no number")
        self.parts, self.never, self.rate = [3, 4], 7, 0.5

    def forward(self, x):
        return x * self.config.heads * self.rate, self.parts, self.config.name


def test_hears_whole_numbers_of_modules_and_configs():
    found = reads_of(Looking(), [("eager", {"x": 2.0})])
    assert found == {Place("", "parts"): [3, 4], Place("", "heads", config=True): 5}


def test_puts_them_without_a_copy_of_the_config():
    module = Looking()
    config = module.config
    put(module, [(Place("", "parts"), (1, 2)), (Place("", "heads", config=True), 2)])
    put(module, [(Place("", "other", config=True), 9)])
    assert module.parts == [1, 2]
    assert (module.config.heads, module.config.other, config.heads) == (2, 9, 5)
    config._attn_implementation = "sdpa"
    assert module.config._attn_implementation == "sdpa"
    assert isinstance(module.config, ConfigView)
    assert module.config.seen is config


def test_a_view_goes_with_its_config_into_a_copy():
    holder = nn.Module()
    holder.config = SimpleNamespace(heads=5, kind="a")
    holder.view = ConfigView(holder.config, {"heads": 2})
    new = copy.deepcopy(holder)
    new.config.kind = "b"
    assert (new.view.kind, new.view.heads, holder.view.kind) == ("b", 2, "a")
    with pytest.raises(AttributeError):
        _ = new.view.nothing
