"""Is there a font with Chinese characters? A picture without one shows empty boxes."""

import shutil
import subprocess
import sys
from pathlib import Path

_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")
_NAMES = ("cjk", "wqy", "hans", "heiti", "songti", "simsun", "simhei", "arphic", "uming", "ukai")


def has_chinese_font() -> bool:
    """Whether this machine can draw Chinese characters into a picture.

    macOS and Windows always can. Elsewhere fontconfig is asked, and without it the names of the
    font files in the usual folders.
    """
    if sys.platform in ("darwin", "win32"):
        return True
    program = shutil.which("fc-list")
    if program is not None:
        answer = subprocess.run(
            [program, ":lang=zh", "file"], capture_output=True, timeout=30, check=False
        )
        return bool(answer.stdout.strip())
    files = (file for folder in _FOLDERS for file in Path(folder).expanduser().rglob("*.[to]t[cf]"))
    return any(name in file.name.lower() for file in files for name in _NAMES)
