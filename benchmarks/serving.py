"""`heedful serve` under load, asked from another process: throughput, latency, what is refused.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/serving.py RUN... --server-core 1

Offline is `Service.predict` on batches of as many inputs, in a process of its own on the core of
the server, in turns with it, and with the same HTTP server before an application that reads a
request and answers it with the same few bytes: less than that no request can cost.
At half load and at overload requests come at random times that do not wait for answers, as those of
many callers do; latency counts from when a request was due.
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from _measure import write

OFFLINE = """
import sys, time
from heedful.serving.inputs import Input
from heedful.serving.service import Service
from heedful.training.run import Run
service = Service(Run(sys.argv[1]))
batch, examples = int(sys.argv[2]), range(len(service.examples))
service.warm_up()
print(len(examples), flush=True)
for line in sys.stdin:
    end, done = time.perf_counter() + float(line), 0
    begun = time.perf_counter()
    while time.perf_counter() < end:
        service.predict([Input(index=(done + n) % len(examples)) for n in range(batch)])
        done += batch
    print(done / (time.perf_counter() - begun), flush=True)
"""
EMPTY = """
import sys
from types import SimpleNamespace
from heedful.serving.limits import Limits
from heedful.serving.listening import address_of, listen
from heedful.serving.serve import BACKLOG, engine_of

ANSWER = b'{"answers": [' + b'{"answer": "so it is", "data": {"text": "so"}}, ' * 2 + b']}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]

async def empty(scope, receive, send):
    while scope["type"] == "lifespan":
        kind = (await receive())["type"]
        await send({"type": kind + ".complete"})
        if kind == "lifespan.shutdown":
            return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})

door = listen("127.0.0.1", 0)
door.listen(BACKLOG)
print("empty at " + address_of(door), file=sys.stderr, flush=True)
engine_of(SimpleNamespace(app=empty, limits=Limits())).run([door])
"""
HUNG = 90  # seconds without an answer
CALLERS = 1_000  # at most that many at once; who finds none left is counted as turned away


class Turn(NamedTuple):
    """Answers a second, and seconds of a processor for each."""

    alone: float
    served: float
    alone_cost: float
    served_cost: float
    empty_cost: float


class Connection:
    """A caller that keeps its connection, with as little work of its own as can be."""

    def __init__(self, port: int, inputs: int) -> None:
        self.port, self.inputs, self.streams = port, inputs, None

    async def ask(self, index: int) -> int:
        """Ask for the answers to one held-out example, as often as said, and return the status."""
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        body = b'{"inputs": [%s]}' % b", ".join([b'{"index": %d}' % index] * self.inputs)
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


def callers_of(options: argparse.Namespace) -> int:
    """As many as ask for two batches together."""
    return max(2, 2 * options.batch // options.inputs)


async def saturate(port: int, seconds: float, examples: int, options: argparse.Namespace) -> float:
    """Answers a second where each caller asks again as soon as it is answered."""
    end = time.perf_counter() + seconds
    done = 0

    async def call(first: int) -> None:
        nonlocal done
        caller = Connection(port, options.inputs)
        while time.perf_counter() < end:
            status = await caller.ask((first + done) % examples)
            if status != 200:
                raise SystemExit(f"every answer must be 200 here, got {status}")
            done += options.inputs
        caller.close()

    begun = time.perf_counter()
    await asyncio.gather(*(call(each) for each in range(callers_of(options))))
    return done / (time.perf_counter() - begun)


async def arrive(
    port: int, rate: float, seconds: float, examples: int, inputs: int
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
        caller = free.pop() if free else Connection(port, inputs)
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


def processor_time(process: int) -> float:
    """Seconds that a process has had of a processor."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")


def pinned(core: int, *words: str) -> list[str]:
    return ["taskset", "-c", str(core), sys.executable, *words]


class Offline:
    """The model in a process of its own, without a server."""

    def __init__(self, run: str, options: argparse.Namespace) -> None:
        words = pinned(options.server_core, "-c", OFFLINE, run, str(options.batch))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(words, **pipes)
        self.examples = int(self.process.stdout.readline())

    def throughput(self, seconds: float) -> float:
        """Answers a second."""
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def start_server(run: str, options: argparse.Namespace) -> tuple[subprocess.Popen[str], int]:
    words = ("-m", "heedful", "serve", run, "--port", "0", "--batch", str(options.batch))
    return started(*words, "--queue", str(options.queue), options=options)


def started(*words: str, options: argparse.Namespace) -> tuple[subprocess.Popen[str], int]:
    """A server on its core, and the port that it says it is at."""
    server = subprocess.Popen(
        pinned(options.server_core, *words), stderr=subprocess.PIPE, text=True
    )
    address = server.stderr.readline().split(" at ")[1].split()[0]
    return server, int(address.rpartition(":")[2])


async def measure(run: str, options: argparse.Namespace) -> dict[str, Any]:
    offline = Offline(run, options)
    server, port = start_server(run, options)
    empty, door = started("-c", EMPTY, options=options)
    examples, seconds, inputs = offline.examples, options.seconds, options.inputs
    turns: list[Turn] = []
    try:
        offline.throughput(2)
        await saturate(port, 2, examples, options)  # kernels are chosen, caches are warm
        for _ in range(options.rounds):
            used = [processor_time(each) for each in (offline.process.pid, server.pid)]
            alone = offline.throughput(seconds)
            served = await saturate(port, seconds, examples, options)
            used[0] = processor_time(offline.process.pid) - used[0]
            used[1] = processor_time(server.pid) - used[1]
            before = processor_time(empty.pid)
            answered = await saturate(door, seconds, examples, options)
            cost = (processor_time(empty.pid) - before) / (answered * seconds)
            costs = (used[0] / (alone * seconds), used[1] / (served * seconds), cost)
            turns.append(Turn(alone, served, *costs))
        rate = statistics.median(turn.served for turn in turns) / inputs  # requests a second
        kept = [memory(server.pid)]
        half, times = await arrive(port, rate / 2, 4 * seconds, examples, inputs)
        kept.append(memory(server.pid))
        over, over_times = await arrive(port, 10 * rate, 2 * seconds, examples, inputs)
        kept.append(memory(server.pid))
        await arrive(port, 10 * rate, 2 * seconds, examples, inputs)
        kept.append(memory(server.pid))
        again = await saturate(port, seconds, examples, options)
    finally:
        server.terminate()
        offline.process.terminate()
        empty.terminate()
    found = {"half": half, "times": times, "over": over, "over_times": over_times}
    return {**found, "turns": turns, "memory": kept, "again": again, "exit": server.wait(60)}


def spread(times: list[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and the largest, in milliseconds."""
    cuts = statistics.quantiles(times, n=100)
    return 1e3 * cuts[49], 1e3 * cuts[98], 1e3 * max(times)


def told(found: Counter[int | str]) -> str:
    return ", ".join(f"{count:,} x {status}" for status, count in sorted(found.items(), key=str))


def lines(run: str, found: dict[str, Any], options: argparse.Namespace) -> list[str]:
    turns: list[Turn] = found["turns"]
    ratios = sorted(turn.served / turn.alone for turn in turns)
    costs = [
        1e3 * statistics.median(getattr(turn, name) for turn in turns)
        for name in ("alone_cost", "served_cost", "empty_cost")
    ]
    most_of_it = costs[0] / (costs[0] + costs[2])
    (p50, p99, most), (o50, o99, o_most) = spread(found["times"]), spread(found["over_times"])
    over, mebibytes = found["over"], ", ".join(f"{each:.0f}" for each in found["memory"])
    ends = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    rows = [
        ("measured", "", "target"),
        ("---", "---", "---"),
        ("offline, inputs/s", f"{statistics.median(t.alone for t in turns):.0f}", ""),
        ("served, inputs/s", f"{statistics.median(t.served for t in turns):.0f}", ""),
        (
            f"served / offline, of {len(ratios)} turns",
            f"{statistics.median(ratios):.2f} ({ends})",
            ">= 0.80",
        ),
        (
            "processor time of an input, offline and served",
            f"{costs[0]:.2f} ms, {costs[1]:.2f} ms ({costs[0] / costs[1]:.2f})",
            "",
        ),
        (
            "the same of an answer by nothing, and the most that leaves",
            f"{costs[2]:.2f} ms, {most_of_it:.2f}",
            "",
        ),
        ("half load: median, p99, longest", f"{p50:.1f}, {p99:.1f}, {most:.1f} ms", ""),
        ("half load: p99 / median", f"{p99 / p50:.2f}", "< 2"),
        ("half load: statuses", told(found["half"]), "200"),
        ("10 times the load: statuses", told(over), "200, 429"),
        ("10 times the load: hung, broken", f"{over['hung']}, {over['broken']}", "0, 0"),
        ("10 times the load: answered after", f"{o50:.0f}, {o99:.0f}, {o_most:.0f} ms", ""),
        ("after it, inputs/s", f"{found['again']:.0f}", ""),
        ("memory: begun, half load, overload, overload again", f"{mebibytes} MiB", "bounded"),
        ("exit code after SIGTERM", str(found["exit"]), "0"),
    ]
    return [f"## {Path(run).name}", "", *("| " + " | ".join(row) + " |" for row in rows), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--server-core", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--queue", type=int, default=256)
    parser.add_argument("--inputs", type=int, default=1, help="in each request")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    said = [
        f"Offline: batches of {options.batch} in one process, on one core. Served: the server on "
        f"that core, asked by {callers_of(options)} callers from another one, "
        f"inputs in a request: {options.inputs}. "
        f'At 10 times the load {CALLERS:,} connections ask as fast as that; "not sent" found all '
        "of them waiting.",
        "",
    ]
    for run in options.runs:
        said += lines(run, asyncio.run(measure(run, options)), options)
    write("serving", said)


if __name__ == "__main__":
    main()
