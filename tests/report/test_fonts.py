import subprocess
from types import SimpleNamespace

import pytest

from heedful.report import fonts


@pytest.fixture
def linux(monkeypatch):
    monkeypatch.setattr(fonts.sys, "platform", "linux")
    return monkeypatch


@pytest.mark.parametrize("answer, want", [(b"/x/NotoSansCJK.ttc: \n", True), (b"\n", False)])
def test_fontconfig_is_asked(linux, answer, want):
    linux.setattr(fonts.shutil, "which", lambda name: f"/bin/{name}")
    asked = []

    def run(words, **_):
        asked.append(words)
        return SimpleNamespace(stdout=answer)

    linux.setattr(subprocess, "run", run)
    assert fonts.has_chinese_font() is want
    assert asked == [["/bin/fc-list", ":lang=zh", "file"]]


@pytest.mark.parametrize("name, want", [("NotoSansCJK.ttc", True), ("DejaVuSans.ttf", False)])
def test_without_fontconfig_file_names_are_read(linux, tmp_path, name, want):
    linux.setattr(fonts.shutil, "which", lambda name: None)
    linux.setattr(fonts, "_FOLDERS", (str(tmp_path), str(tmp_path / "missing")))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / name).touch()
    assert fonts.has_chinese_font() is want


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_desktop_systems_bring_one(monkeypatch, platform):
    monkeypatch.setattr(fonts.sys, "platform", platform)
    assert fonts.has_chinese_font()
