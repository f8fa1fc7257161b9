"""From a run that was trained in one place to one whose data never came together."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.allocation.weights import read_tensors
from heedful.called import called
from heedful.data.examples import Splits
from heedful.errors import ConfigError, RunError
from heedful.federated.app_folder import write_app
from heedful.federated.local_training import train_locally
from heedful.federated.loopback import check_flower, run_on_loopback
from heedful.federated.sides import HISTORY, WEIGHTS, data_of, fresh, put
from heedful.files import read_json
from heedful.locks import check_unused
from heedful.training.checkpoint import Progress, save_checkpoint
from heedful.training.layout import create
from heedful.training.optimizer import adamw
from heedful.training.run import Run

STRATEGIES = ("fedavg", "fedprox")


@dataclass(frozen=True, kw_only=True)
class Federation:
    """Who trains, and for how long.

    Args:
        clients: How many share the training split of the run.
        configs: Instead of shares: a TOML file for each client, whose `[data]` is its own.
        rounds: How often weights are averaged.
        steps: Of every client in every round.
        proximal: `mu` of FedProx; 0 is FedAvg.
        skew: See `heedful.federated.shards.shard`.

    Raises:
        ConfigError: A number is out of range.
    """

    clients: int = 2
    configs: tuple[Path, ...] = ()
    rounds: int = 10
    steps: int = 50
    proximal: float = 0.0
    skew: float | None = None

    def __post_init__(self) -> None:
        for name in ("rounds", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if len(self.configs) == 1 or (not self.configs and self.clients < 2):
            raise ConfigError(
                f"there must be at least 2 clients, got {len(self.configs) or self.clients}"
            )
        if not 0 <= self.proximal < float("inf"):
            raise ConfigError(f"proximal must be at least 0, got {self.proximal}")
        if self.skew is not None and not self.skew > 0:
            raise ConfigError(f"skew must be above 0, got {self.skew}")

    def nodes(self, run: Run) -> list[dict[str, str | int | float]]:
        """The node configuration of every client."""
        place = str(run.folder.resolve())
        if self.configs:
            return [{"run": place, "config": str(path.resolve())} for path in self.configs]
        more = {} if self.skew is None else {"skew": self.skew}
        return [
            {"run": place, "client": client, "clients": self.clients, **more}
            for client in range(self.clients)
        ]


def federate(
    run: Run,
    federation: Federation,
    *,
    output: Path,
    on_round: Callable[[int, int], None],
) -> Run:
    """Train the network of a run anew, by clients whose examples stay with them.

    What the run has learned from its data before training (vocabularies, labels, scales) is shared;
    its weights are not used.

    Args:
        run: Of any task with one loss. Never changed.
        federation: Who trains, and for how long.
        output: New run folder; it has the held-out examples of `run`.
        on_round: Called with the number of the round that begins, and of all.

    Raises:
        MissingExtraError: flwr is not installed.
        ConfigError: The config of a client is of another task.
        DataError: A client has no example that the network takes.
        RunError: The folder is not new.
        TrainingError: A client did not answer, or a process of Flower ended.
        UnsupportedError: It is to run on Windows.
    """
    check_flower()
    check_unused(output)
    nodes = federation.nodes(run)
    for node in nodes if federation.configs else nodes[:1]:  # shares are drawn together
        data_of(run, node)  # what cannot be read or shared is refused before anything starts
    with tempfile.TemporaryDirectory(prefix="heedful-federated-") as made:
        work = Path(made)
        app = work / "app"
        app.mkdir()
        settings = {
            "run": str(run.folder.resolve()),
            "result": str(work),
            "clients": len(nodes),
            "rounds": federation.rounds,
            "steps": federation.steps,
            "proximal": federation.proximal,
        }
        write_app(app, settings)
        run_on_loopback(app, nodes, logs=work, on_round=on_round)
        if not (work / WEIGHTS).exists():
            raise RunError(f"the server must write what came of it, got none; {_told(work)}")
        model = fresh(run)
        put(model, read_tensors(work / WEIGHTS))
        told: Any = read_json(work / HISTORY)
    about = {"strategy": STRATEGIES[federation.proximal > 0], "loss": told["loss"]}
    about |= {key: settings[key] for key in ("clients", "rounds", "steps", "proximal")}
    write_run(run, model, output, federation, about)
    return Run(output)


def train_alone(run: Run, federation: Federation, *, client: int, output: Path) -> Run:
    """Train what one client would have without the others, for as many steps, and write a run."""
    check_unused(output)
    node = federation.nodes(run)[client]
    model, steps = fresh(run), federation.rounds * federation.steps
    loss = train_locally(run.task, model, data_of(run, node), steps=steps)
    about = {"strategy": "alone", "client": client, "loss": [loss], "steps": steps}
    write_run(run, model, output, federation, about)
    return Run(output)


def write_run(
    run: Run, model: Any, output: Path, federation: Federation, about: dict[str, Any]
) -> None:
    """Write a run with these weights, which answers and is measured as any other."""
    steps = federation.rounds * federation.steps
    held_out = Splits[Any](train=[], dev=run.examples("dev"), test=run.examples("test"))
    told = run.about | {"command": called(), "federated": about}
    optimizers = {"main": adamw(model, run.config.train)}
    progress = Progress(step=steps, finished=True)

    def first(start: Path) -> None:
        save_checkpoint(start, model, optimizers, progress, best=True)

    create(output, run.task, held_out, told, first)


def _told(work: Path) -> str:
    """What the logs say went wrong."""
    for log in sorted(work.glob("*.log")):
        for line in reversed(log.read_text("utf-8", errors="replace").splitlines()):
            if "Error" in line:
                return f"{log.stem}: {line.strip():.300}"
    return "no log says why"
