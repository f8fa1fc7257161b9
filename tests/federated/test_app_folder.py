"""The app of Flower is whole, says which code it calls, and holds any setting."""

import ast
import tomllib
from importlib import import_module

from heedful.federated.app_folder import write_app

SETTINGS = {"run": 'a "quoted"\\path 中', "rounds": 3, "proximal": 0.5}


def test_settings_come_back_as_they_were(tmp_path):
    write_app(tmp_path, SETTINGS)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["flwr"]["app"]["config"] == SETTINGS
    assert (tmp_path / project["project"]["license"]["file"]).exists()


def test_both_sides_are_files_that_call_what_there_is(tmp_path):
    write_app(tmp_path, SETTINGS)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))
    for component in project["tool"]["flwr"]["app"]["components"].values():
        module, name = component.split(":")
        tree = ast.parse((tmp_path / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
        assert name in {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
        }
        (called,) = (
            node
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module.startswith("heedful")
        )
        assert hasattr(import_module(called.module), called.names[0].name)
