"""Settings that cannot be used are refused by name."""

import re
from dataclasses import FrozenInstanceError

import pytest

from heedful.errors import ConfigError
from heedful.optimizing import settings as settings_file
from heedful.optimizing.settings import OptimizeSettings


def test_defaults_can_be_used_and_do_not_change():
    with pytest.raises(FrozenInstanceError):
        OptimizeSettings().trials = 3


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"goal": "speed"}, "goal must be one of latency, memory, macs, got 'speed'"),
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"rounds": -1}, "rounds must be at least 1, got -1"),
        ({"finalists": 0}, "finalists must be at least 1, got 0"),
        ({"max_divergence": 0.0}, "max_divergence must be above 0, got 0.0"),
        ({"finals": -1}, "finals must not be negative, got -1"),
        ({"final_steps": -3}, "final_steps must not be negative, got -3"),
        ({"cut": 0.0}, "cut must be above 0 and below 1, got 0.0"),
        ({"cut": 1.0}, "cut must be above 0 and below 1, got 1.0"),
        ({"cut": float("nan")}, "cut must be above 0 and below 1, got nan"),
        ({"finalist_steps": -2}, "finalist_steps must not be negative, got -2"),
        ({"finetune_steps": -1}, "finetune_steps must not be negative, got -1"),
        (
            {"loadable": "torch"},
            "loadable must be one of heedful, transformers, got 'torch'",
        ),
        ({"minutes": 0.0}, "minutes must be above 0, got 0.0"),
        ({"seed": -1}, "seed must be at least 0 and below 4294967296, got -1"),
        ({"seed": 10**40}, f"seed must be at least 0 and below 4294967296, got 1{40 * '0'}"),
        ({"minutes": float("nan")}, "minutes must be above 0, got nan"),
    ],
)
def test_rejects(settings, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        OptimizeSettings(**settings)


@pytest.mark.parametrize(
    "settings", [{"minutes": 0.1}, {"finetune_steps": 0, "finalist_steps": 0}, {"goal": "memory"}]
)
def test_takes(settings):
    made = OptimizeSettings(**settings)
    assert all(getattr(made, name) == value for name, value in settings.items())


def test_older_names_still_work():
    with pytest.warns(DeprecationWarning, match="is now OptimizeSettings"):
        assert settings_file.Settings is OptimizeSettings
    with pytest.warns(DeprecationWarning, match="is now") as found:
        made = OptimizeSettings(heal_steps=3, bearable=0.25)
    assert {str(warning.message) for warning in found} == {
        "heal_steps of OptimizeSettings is now finetune_steps",
        "bearable of OptimizeSettings is now max_divergence",
    }
    assert (made.finetune_steps, made.max_divergence) == (3, 0.25)


def test_plain_data_has_the_names_that_journals_of_older_versions_have():
    plain = OptimizeSettings(finetune_steps=7, max_divergence=0.75).to_json()
    assert (plain["heal_steps"], plain["bearable"], plain["goal"]) == (7, 0.75, "latency")
    assert len(plain) == 12
    assert not {"finetune_steps", "max_divergence"} & plain.keys()


def test_older_searches_know_nothing_of_who_loads_the_result():
    assert "loadable" not in OptimizeSettings().to_json()
    assert OptimizeSettings(loadable="transformers").to_json()["loadable"] == "transformers"
