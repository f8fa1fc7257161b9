"""Every file of a folder with labels is listed once or refused by name."""

import os
import re

import pytest

from heedful.data.label_folders import list_label_folders
from heedful.errors import DataError


def listed(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return list_label_folders(folder, suffixes=(".a", ".b"), others=(".c",), kind="an A or B file")


def test_files_are_listed_by_label_and_name(tmp_path, monkeypatch):
    found = listed(tmp_path, "ox/2.B", "ox/1.a", "ape/3.a", "notes.txt", "ox/no.txt", ".x/1.a")
    assert found == [
        (f"{tmp_path}/ape/3.a", "ape"),
        (f"{tmp_path}/ox/1.a", "ox"),
        (f"{tmp_path}/ox/2.B", "ox"),
    ]
    monkeypatch.chdir(tmp_path.parent)
    relative = os.path.relpath(tmp_path)
    assert list_label_folders(relative, suffixes=(".a", ".b"), others=(), kind="") == found


@pytest.mark.parametrize(
    "name, message",
    [
        ("ox/1.C", "ox/1.C must be an A or B file, got one of another kind"),
        ("1.c", "1.c must lie in a folder that is its label, got it beside them"),
        ("1.A", "1.A must lie in a folder that is its label, got it beside them"),
        ("dog/notes.txt", "dog must have .a, .b files in it, got none"),
        ("dog/.hidden.a", "dog must have .a, .b files in it, got none"),
    ],
)
def test_no_file_is_passed_over(tmp_path, name, message):
    with pytest.raises(DataError, match=re.escape(message)):
        listed(tmp_path, "ape/1.a", name)


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(DataError, match="must be a folder with a folder for each label, got none"):
        listed(tmp_path / "none")
    with pytest.raises(DataError, match=r"a folder for each label with \.a, \.b files in it, got"):
        listed(tmp_path, "notes.txt", ".hidden/1.a")
