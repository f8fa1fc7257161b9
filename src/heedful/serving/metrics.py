"""What a server tells Prometheus: requests, their seconds, what waits, what was refused."""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
REFUSED = {413: "size", 408: "time", 504: "time", 422: "input", 429: "queue", 503: "stopping"}


class Metrics:
    """Counters of one server; nobody hears of them who does not ask.

    Args:
        depth: Says how many inputs wait.
        batch: Inputs that a batch has at most.
    """

    def __init__(self, depth: Callable[[], int], batch: int) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "heedful_requests",
            "Requests by path and status.",
            ("path", "status"),
            registry=self.registry,
        )
        self._of: dict[tuple[str, int], tuple[Counter, Histogram]] = {}  # looked up once
        self._seconds = Histogram(
            "heedful_request_seconds",
            "From a request to its answer, where there was one.",
            ("path",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._refused = Counter(
            "heedful_refused",
            "Requests refused: for their size, time or input, a full queue, a stop.",
            ("reason",),
            registry=self.registry,
        )
        sizes = [float(1 << n) for n in range((batch - 1).bit_length() + 1)]
        self._batches = Histogram(
            "heedful_batch_inputs",
            "Inputs worked on together.",
            buckets=sizes,
            registry=self.registry,
        )
        self._work = Counter(
            "heedful_model_seconds", "Time that the model was at work.", registry=self.registry
        )
        waiting = Gauge("heedful_queue_inputs", "Inputs that wait.", registry=self.registry)
        waiting.set_function(depth)
        ProcessCollector(registry=self.registry)
        for reason in sorted(set(REFUSED.values())):
            self._refused.labels(reason)  # a rate of what never happened is 0, not unknown

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        key = path, status
        if key not in self._of:
            requests = self._requests.labels(path, str(status))
            self._of[key] = requests, self._seconds.labels(path)
        requests, taken = self._of[key]
        requests.inc()
        if status in REFUSED:
            self._refused.labels(REFUSED[status]).inc()
        elif status == 200:
            taken.observe(seconds)

    def worked(self, inputs: int, seconds: float) -> None:
        """Count a batch."""
        self._batches.observe(inputs)
        self._work.inc(seconds)

    def text(self) -> bytes:
        """Return all of them, as Prometheus reads them."""
        return generate_latest(self.registry)
