"""Folders that heedful wrote, with one thing in them changed at random, and what opening them does.

Every change follows from the seed and its index alone. Each is tried in a process of its own, which
has little memory and little time, since what must not happen is a crash or that nothing ends.
"""

import json
import math
import os
import random
import re
import resource
import shutil
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import nn

import heedful
from heedful.allocation.moves import KeepHeads
from heedful.allocation.plan import Plan
from heedful.allocation.sites import find_sites
from heedful.allocation.stored import save_model
from heedful.data.load import TsvData
from heedful.errors import HeedfulError
from heedful.manifest import MANIFEST
from heedful.nn import Attention
from heedful.optimizing.run_folder import apply_plan
from heedful.tasks.translation.config import Config, Decode, Train, TransformerModel
from heedful.training.metrics import read_metrics

MEMORY = 3 << 30  # bytes that a try may take beyond what it starts with
SECONDS = 60  # by the clock; cores may be shared
LONGEST = 1_200  # letters of an error: its paths, and a line
WORDS = ("one", "two", "three", "four", "five")
HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 2**70, 10**400, 0.5, 1e308, math.nan, math.inf),
    *("", "x", "x" * 5_000, "../../x", "/etc/passwd", "a\0b", "\ud800", "中", [], {}, [[]], [None]),
)
TOML = (
    *("-1", "0", "1", "3", "1000000", "1000000000", "9223372036854775807", "9" * 30, "1e308"),
    *("inf", "nan", "true", '""', '"x"', '"\\u0000"', "[]", "{}", "1979-05-27", "[[[[1]]]]", "0.5"),
)


@dataclass(frozen=True)
class Kind:
    """A folder as it was written, and how it is used."""

    name: str
    folder: Path
    use: Callable[[Path], Any]


@dataclass(frozen=True)
class Verdict:
    """How a try ended: `right`, `other` (another answer, of a folder without manifest), `refused`,
    or what must not be: `wrong`, `raw`, `crash`, `hang`."""

    word: str
    said: str

    @property
    def bad(self) -> bool:
        return self.word in ("wrong", "raw", "crash", "hang")


# ---- what is written, and how it is used ---------------------------------------------------------


def kinds(place: Path) -> list[Kind]:
    """A trained run, an optimised one and a saved model, as small as they can be."""
    draw = random.Random(1)
    for name, count in (("train", 60), ("dev", 8), ("test", 8)):
        lines = [" ".join(draw.choices(WORDS, k=3)) for _ in range(count)]
        text = "".join(f"{line}\t{line[::-1]}\n" for line in lines)
        (place / f"{name}.tsv").write_text(text, encoding="utf-8")
    config = Config(
        output=str(place / "run"),
        data=TsvData(
            train=str(place / "train.tsv"),
            dev=str(place / "dev.tsv"),
            test=str(place / "test.tsv"),
        ),
        model=TransformerModel(width=8, heads=2, encoder_layers=1, decoder_layers=1, feedforward=8),
        train=Train(steps=3, precision="fp32", tokens_per_batch=128),
        decode=Decode(max_length=12),
    )
    run = heedful.train(config)
    site = find_sites(run.translator.model)[0][0].name
    plan = Plan(moves={site: (KeepHeads(heads=(1,)),)})
    apply_plan(plan, run, output=place / "optimised")
    torch.manual_seed(2)
    first = Attention(width=8, heads=2)
    model_plan = Plan(moves={"0": (KeepHeads(heads=(0,)),)})
    save_model(place / "model", model_plan.apply(nn.Sequential(first)), model_plan)
    return [
        Kind("run", place / "run", _use_trained),
        Kind("optimised", place / "optimised", _use_run),
        Kind("model", place / "model", _use_model),
    ]


def _use_run(folder: Path) -> Any:
    run = heedful.load(folder, device="cpu")
    splits = [[str(x) for x in run.examples(split)] for split in ("dev", "test")]
    return [run.about["precision"], splits, run.translator.translate(["one two", "five"])]


def _use_trained(folder: Path) -> Any:
    answer = _use_run(folder)
    heedful.train(resume=folder)
    return [answer, len(read_metrics(folder)), _use_run(folder)]


def _use_model(folder: Path) -> Any:
    torch.manual_seed(3)
    model = heedful.load(folder, device="cpu", into=nn.Sequential(Attention(width=8, heads=2)))
    with torch.no_grad():
        return model(torch.linspace(-1, 1, 24).view(1, 3, 8)).flatten().tolist()


# ---- what is changed -----------------------------------------------------------------------------


def change(folder: Path, draw: random.Random) -> str:
    """Change one thing in a folder; returns what."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    sealed = draw.random() < 0.4
    if not sealed:
        for manifest in folder.rglob(MANIFEST):
            manifest.unlink()
    elif draw.random() < 0.2:
        files = sorted(folder.rglob(MANIFEST))
    path = draw.choice(files)
    able = [_cut, _cut_line, _turn_bits, _place_something, _swap, _nest, _junk]
    if path.suffix in (".json", ".jsonl"):
        able += [_change_json] * 6
    if path.suffix == ".toml":
        able += [_change_toml] * 6
    if path.suffix == ".safetensors":
        able += [_change_tensors] * 6
    how = draw.choice(able)
    how(path, draw)
    name = path.relative_to(folder)
    return f"{name}: {how.__name__.strip('_')}{' under its manifest' if sealed else ''}"


def _cut(path: Path, draw: random.Random) -> None:
    os.truncate(path, draw.randrange(path.stat().st_size + 1))


def _cut_line(path: Path, draw: random.Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[draw.randrange(len(lines) or 1) :][: draw.choice((1, 10**6))]
    path.write_bytes(b"".join(lines))


def _turn_bits(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 8)) if content else 0):
        content[draw.randrange(min(len(content), draw.choice((64, 10**9))))] ^= 1 << draw.randrange(
            8
        )
    path.write_bytes(content)


def _place_something(path: Path, draw: random.Random) -> None:
    if draw.random() < 0.2 and path.parent.name in ("tokens", "splits", "checkpoints"):
        shutil.rmtree(path.parent)
        path.parent.symlink_to("nowhere")
        return
    path.unlink()
    draw.choice(
        (
            lambda: None,
            path.mkdir,
            path.touch,
            lambda: os.mkfifo(path),
            lambda: path.symlink_to("nowhere"),
            lambda: path.symlink_to(path.name),
            lambda: path.symlink_to("/dev/zero"),
            lambda: path.symlink_to("/dev/full"),
            lambda: path.symlink_to(path.parent),
            lambda: path.touch(mode=0),
            lambda: (path.touch(), os.truncate(path, 1 << 36)),
        )
    )()


def _swap(path: Path, draw: random.Random) -> None:
    others = [other for other in sorted(path.parent.parent.rglob("*")) if other.is_file()]
    path.write_bytes(draw.choice(others).read_bytes())


def _nest(path: Path, draw: random.Random) -> None:
    text = draw.choice(("[" * 100_000, "x = " + "[" * 100_000, '{"a":' * 100_000, "a." * 50_000))
    path.write_text(text)


def _junk(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(draw.choice((1, 8, 100, 10_000))))


def _change_json(path: Path, draw: random.Random) -> None:
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else None
    at = draw.randrange(len(lines)) if lines else 0
    plain = [json.loads(lines[at] if lines else path.read_text(encoding="utf-8"))]
    inner, key = plain, 0
    while isinstance(inner[key], dict | list) and inner[key] and draw.random() < 0.8:
        inner = inner[key]
        key = draw.choice(sorted(inner)) if isinstance(inner, dict) else draw.randrange(len(inner))
    value = draw.choice(HOSTILE)
    if isinstance(inner, dict) and draw.random() < 0.2:
        inner.pop(key)
    elif isinstance(inner, dict) and draw.random() < 0.2:
        inner[str(value)[:50]] = inner.pop(key)
    else:
        inner[key] = value
    text = json.dumps(plain[0])
    if lines:
        lines[at] = text
        text = "\n".join(lines)
    path.write_text(text + "\n", encoding="utf-8")


def _change_toml(path: Path, draw: random.Random) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    settings = [row for row, line in enumerate(lines) if re.match(r"\w+ = ", line)]
    row = draw.choice(settings)
    key = lines[row].partition(" ")[0]
    lines[row] = draw.choice((f"{key} = {draw.choice(TOML)}",) * 4 + ("", f"other_{lines[row]}"))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _change_tensors(path: Path, draw: random.Random) -> None:
    tensors = load(path.read_bytes())
    name = draw.choice(sorted(tensors))
    tensor = tensors[name]
    dtypes = (torch.int64, torch.float16, torch.bool, torch.uint8, torch.float64, torch.complex64)
    changed = (
        draw.choice(
            (
                lambda: tensor.flatten(),
                lambda: tensor[:0],
                lambda: torch.zeros(1),
                lambda: torch.zeros(()),
                lambda: torch.cat([tensor.flatten(), tensor.flatten()]),
                lambda: tensor.to(draw.choice(dtypes)),
                lambda: torch.full_like(tensor, draw.choice((0, 1, 255))),
                lambda: torch.full(tensor.shape, math.nan),
                lambda: torch.full(tensor.shape, -1e38),
                lambda: None,
            )
        )()
        if tensor.dim()
        else draw.choice((torch.zeros(2), torch.full((), -1.0), None))
    )
    del tensors[name]
    if changed is not None:
        tensors[draw.choice((name, name, name, "other", f"exp_avg/{name}"))] = changed.contiguous()
    path.write_bytes(save(tensors))


# ---- trying --------------------------------------------------------------------------------------


def attempt(kind: Kind, place: Path, draw: random.Random, right: str) -> tuple[str, Verdict]:
    """Change a copy of a folder and use it in a process of its own."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(kind.folder, place, symlinks=True)
    what = f"{kind.name}/{change(place, draw)}"
    verdict = used(kind, place)
    if verdict.word == "right" and verdict.said != right:
        word = "wrong" if "under its manifest" in what else "other"
        # training on a damaged log or its absence, and a report nobody reads, change no answer
        loose = "metrics.jsonl" in what or "report.json" in what
        verdict = Verdict("other" if loose else word, verdict.said[:200])
    return what, verdict


def used(kind: Kind, place: Path) -> Verdict:
    """Use a folder in a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer(kind, place, writing)
        os._exit(0)
    os.close(writing)
    os.set_blocking(reading, False)
    said, status, end = b"", None, time.monotonic() + SECONDS
    while status is None and time.monotonic() < end:
        said += _received(reading)
        done, code = os.waitpid(child, os.WNOHANG)
        status = code if done else None
        time.sleep(0.002)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said += _received(reading)
    os.close(reading)
    if status is None:
        return Verdict("hang", f"after {SECONDS} s")
    if status != 0 or not said:
        return Verdict("crash", f"status {status}")
    word, _, text = said.decode(errors="replace").partition("\n")
    return Verdict(word, text)


def _received(reading: int) -> bytes:
    said = b""
    try:
        while part := os.read(reading, 1 << 16):
            said += part
    except BlockingIOError:
        pass
    return said


def _answer(kind: Kind, place: Path, writing: int) -> None:
    warnings.simplefilter("ignore")
    size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    try:
        said = f"right\n{kind.use(place)}"
    except HeedfulError as error:
        text = str(error)
        word = "refused" if "\n" not in text and len(text) < LONGEST else "raw"
        said = f"{word}\n{type(error).__name__}: {text}"
    except BaseException as error:
        trace = error.__traceback__
        places: list[str] = []
        while trace is not None:
            places.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
            trace = trace.tb_next
        said = f"raw\n{type(error).__name__}: {str(error)[:300]} at {' '.join(places[-7:])}"
    os.write(writing, said.encode(errors="replace")[:60_000])
