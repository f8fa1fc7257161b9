"""`heedful serve` under load, asked from another process: throughput, latency, what is refused.

    taskset -c 0 python benchmarks/serving.py RUN --server-core 1 -o benchmarks/results/serving.md

Offline is `Service.predict` on batches of as many inputs, in a process of its own on the core of the
server, in turns with it. At half load and at overload requests come at random times that do not wait
for answers, as those of many callers do; latency counts from when a request was due.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

OFFLINE = """
import json, sys, time
from heedful.serving.inputs import Input
from heedful.serving.service import Service
from heedful.training.run import Run
service = Service(Run(sys.argv[1]))
batch, examples = int(sys.argv[2]), range(len(service.examples))
service.warm_up()
print(json.dumps([service.task.takes[0], len(examples)]), flush=True)
for line in sys.stdin:
    end, done = time.perf_counter() + float(line), 0
    begun = time.perf_counter()
    while time.perf_counter() < end:
        service.predict([Input(index=(done + n) % len(examples)) for n in range(batch)])
        done += batch
    print(done / (time.perf_counter() - begun), flush=True)
"""
HUNG = 90  # seconds without an answer
CALLERS = 1_000  # at most that many at once; who finds none left is counted as turned away


class Connection:
    """A caller that keeps its connection, with as little work of its own as can be."""

    def __init__(self, port: int) -> None:
        self.port, self.streams = port, None

    async def ask(self, index: int) -> int:
        """Ask for the answer to a held-out example, and return the status."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        body = b'{"inputs": [{"index": %d}]}' % index
        head = (
            b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n" % len(body)
        )
        writer.write(head + body)
        said = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in said.lower().split(b"\r\n") if line.startswith(b"content-le")
        )
        await reader.readexactly(length)
        return int(said[9:12])

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()


async def saturate(port: int, callers: int, seconds: float, examples: int) -> float:
    """Answers a second where each caller asks again as soon as it is answered."""
    end = time.perf_counter() + seconds
    done = 0

    async def call(first: int) -> None:
        nonlocal done
        caller = Connection(port)
        while time.perf_counter() < end:
            assert await caller.ask((first + done) % examples) == 200
            done += 1
        caller.close()

    begun = time.perf_counter()
    await asyncio.gather(*(call(each) for each in range(callers)))
    return done / (time.perf_counter() - begun)


async def arrive(
    port: int, rate: float, seconds: float, examples: int
) -> tuple[Counter[int | str], list[float]]:
    """Requests at random times: how often each status came, and the seconds of those answered."""
    draw = random.Random(0)
    free: list[Connection] = []
    found: Counter[int | str] = Counter()
    times: list[float] = []
    callers = 0

    async def call(due: float, index: int) -> None:
        nonlocal callers
        if not free and callers == CALLERS:
            found["not sent"] += 1
            return
        callers += not free
        caller = free.pop() if free else Connection(port)
        try:
            async with asyncio.timeout(HUNG):
                status = await caller.ask(index)
        except TimeoutError:
            found["hung"] += 1
            return
        except (OSError, asyncio.IncompleteReadError):
            found["broken"] += 1
            return
        found[status] += 1
        if status == 200:
            times.append(time.perf_counter() - due)
        free.append(caller)

    due, end = time.perf_counter(), time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        number = 0
        while due < end:
            due += draw.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(call(due, number % examples))
            number += 1
    for caller in free:
        caller.close()
    return found, times


def memory(process: int) -> float:
    """MiB that a process has."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def pinned(core: int, *words: str) -> list[str]:
    return ["taskset", "-c", str(core), sys.executable, *words]


def start_server(options: argparse.Namespace) -> tuple[subprocess.Popen[str], int]:
    words = ("-m", "heedful", "serve", options.run, "--port", "0", "--batch", str(options.batch))
    words += ("--queue", str(options.queue))
    server = subprocess.Popen(
        pinned(options.server_core, *words), stderr=subprocess.PIPE, text=True
    )
    address = server.stderr.readline().split(" at ")[1].split()[0]
    return server, int(address.rpartition(":")[2])


async def measure(options: argparse.Namespace) -> dict[str, object]:
    offline = subprocess.Popen(
        pinned(options.server_core, "-c", OFFLINE, options.run, str(options.batch)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    _, examples = json.loads(offline.stdout.readline())
    server, port = start_server(options)
    try:
        await saturate(port, options.batch, 2, examples)  # kernels are chosen, caches are warm
        pairs: list[tuple[float, float]] = []
        for _ in range(options.rounds):
            offline.stdin.write(f"{options.seconds}\n")
            offline.stdin.flush()
            alone = float(offline.stdout.readline())
            pairs.append(
                (alone, await saturate(port, 2 * options.batch, options.seconds, examples))
            )
        offline.stdin.close()
        rate = statistics.median(served for _, served in pairs)
        before = memory(server.pid)
        half, times = await arrive(port, rate / 2, 4 * options.seconds, examples)
        calm = memory(server.pid)
        over, over_times = await arrive(port, 10 * rate, 2 * options.seconds, examples)
        after = memory(server.pid)
        again = await saturate(port, 2 * options.batch, options.seconds, examples)
    finally:
        server.terminate()
        offline.terminate()
    return {
        "pairs": pairs,
        "half": (dict(half), spread(times)),
        "over": (dict(over), spread(over_times)),
        "memory": (before, calm, after),
        "again": again,
        "exit": server.wait(60),
    }


def spread(times: list[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and the largest, in milliseconds."""
    cuts = statistics.quantiles(times, n=100)
    return 1e3 * cuts[49], 1e3 * cuts[98], 1e3 * max(times)


def table(found: dict, options: argparse.Namespace) -> str:
    from heedful.bench.environment import environment

    here = environment()
    ratios = sorted(served / alone for alone, served in found["pairs"])
    middle = [statistics.median(each) for each in zip(*found["pairs"], strict=True)]
    half, (p50, p99, most) = found["half"]
    over, (o50, o99, o_most) = found["over"]
    asked = sum(over.values())
    before, calm, after = found["memory"]
    versions = ", ".join(f"{name} {number}" for name, number in here.versions.items())
    return f"""# Serving under load: {options.name or Path(options.run).name}

{here.processor}, one core for the model and its server, another for who asks; {versions}; {here.date}.
`{" ".join(["OMP_NUM_THREADS=1 taskset -c 0 python", *sys.argv])}`

| | measured | target |
|---|---|---|
| offline, batches of {options.batch} | {middle[0]:.0f} inputs/s | |
| served, {2 * options.batch} callers at once, one input a request | {middle[1]:.0f} inputs/s | |
| served / offline, median of {len(ratios)} turns (lowest to highest) | {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) | 0.80 |
| at half of that load: median, p99, largest | {p50:.1f} ms, {p99:.1f} ms, {most:.1f} ms | |
| p99 / median | {p99 / p50:.2f} | 2 |
| statuses at half load | {half} | 200 alone |
| at 10 times that load, {asked} requests: statuses | {over} | 200 and 429 |
| hung or broken there | {over.get("hung", 0)}, {over.get("broken", 0)} | 0 |
| answered there: median, p99, largest | {o50:.0f} ms, {o99:.0f} ms, {o_most:.0f} ms | |
| throughput at once after it | {found["again"]:.0f} inputs/s | |
| memory of the server: begun, after half load, after overload | {before:.0f}, {calm:.0f}, {after:.0f} MiB | bounded |
| exit code after SIGTERM | {found["exit"]} | 0 |
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--name", default="")
    parser.add_argument("--server-core", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--queue", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    text = table(asyncio.run(measure(options)), options)
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
