"""New processes for tests, without the seconds in which torch and transformers are imported.

They are forks of one process, which has imported both and done nothing else: nothing of heedful,
and nothing of what the test's own process has come to, is in them.
"""

import functools
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# what takes long, and is needed in most of them
IMPORTED = ("torch.distributed.fsdp", "transformers.models.llama.modeling_llama")
TEMPLATE = """
import gc, importlib, json, os, signal, sys, traceback

def run(code, words, folder):
    for stream, name in ((0, os.devnull), (1, f"{folder}/stdout"), (2, f"{folder}/stderr")):
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC if stream else os.O_RDONLY
        os.dup2(os.open(name, flags), stream)
    sys.stdin = open(0, closefd=False)  # the one that there was has been read
    sys.argv = ["-c", *words]
    signal.alarm(300)  # then something hangs
    try:
        exec(compile(code, "<given>", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)

for name in sys.argv[1:]:
    importlib.import_module(name)
gc.freeze()  # or the first collection of a fork copies all of it
for line in sys.stdin:
    code, each = json.loads(line)
    children = []
    for words, folder in each:
        children.append(os.fork())
        if not children[-1]:
            run(code, words, folder)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(json.dumps(ended), flush=True)
"""


@functools.cache
def _template() -> "subprocess.Popen[str]":
    """It ends when this process does: nobody writes to it then."""
    there = [name for name in IMPORTED if importlib.util.find_spec(name.partition(".")[0])]
    return subprocess.Popen(
        [sys.executable, "-c", TEMPLATE, *there],
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # threads would not come along into a fork
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def run_together(
    code: str, each: Sequence[Sequence[object]], folder: Path
) -> list["subprocess.CompletedProcess[str]"]:
    """Run code in as many processes at once as there are lists of words, and wait for all.

    Args:
        code: As of `python -c`.
        each: What a process finds in `sys.argv[1:]`.
        folder: For what they print.
    """
    given = [[str(word) for word in words] for words in each]
    places = [folder / f"process-{number}" for number in range(len(given))]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    template = _template()
    assert template.stdin is not None
    assert template.stdout is not None
    asked = [[words, str(place)] for words, place in zip(given, places, strict=True)]
    print(json.dumps([code, asked]), file=template.stdin, flush=True)
    return [
        subprocess.CompletedProcess(words, status, *_printed(place))
        for words, status, place in zip(
            given, json.loads(template.stdout.readline()), places, strict=True
        )
    ]


def run(code: str, *words: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run code in one process, which must end well."""
    (done,) = run_together(code, [words], folder)
    assert done.returncode == 0, done.stderr[-3_000:]
    return done


def _printed(place: Path) -> tuple[str, str]:
    return tuple((place / name).read_text(encoding="utf-8") for name in ("stdout", "stderr"))
