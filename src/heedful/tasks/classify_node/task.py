"""Node classification: a label for each node of a graph, by attention over its neighbours."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from heedful.data.alignment import Alignment
from heedful.data.columns import read_columns
from heedful.data.examples import Splits
from heedful.data.graph import Graph, Node
from heedful.errors import DataError
from heedful.tasks.base import device_of
from heedful.tasks.classification import LABELS, Classification, Prediction, labels_of, read_labels
from heedful.tasks.classify_node.config import Config, TablesData, problem
from heedful.tasks.classify_node.nodes import Known, Nodes, open_graph, read_nodes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question


class ClassifyNode(Classification[Node]):
    """A label for a node, from its features and from those of its neighbours.

    There is one graph, which a run keeps: whatever is asked is one of its nodes.

    Args:
        config: Of the training.
        labels: All there are, in the order of the logits.
        graph: With features as the network reads them.
    """

    config_class = Config
    example_class = Node
    files = (LABELS, "task/graph.safetensors", "task/nodes.txt")
    monitor = "dev_loss"  # few nodes of dev say little by their accuracy
    unit = "nodes"
    answered = answered_room = 1_000_000  # what can reach several is computed once

    def __init__(self, config: Config, labels: Sequence[str], graph: Graph) -> None:
        super().__init__(config, labels)
        self.known = Known(graph)

    @classmethod
    def read(cls, config: Config) -> Splits[Node]:
        """Read or make the graph; a label that no node of the training split has is refused."""
        return read_nodes(config)

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Node]:
        """Read a table with the columns of ids and labels; after the built-in graph, two columns.

        All its nodes must be of the graph of the training: `encode` refuses others.
        """
        data = config.data
        columns = (data.id, data.label) if isinstance(data, TablesData) else ("1", "2")
        return [Node(own.strip(), label.strip()) for _, (own, label) in read_columns(path, columns)]

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with splits or with the sizes of the network."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Node]) -> Self:
        """Learn which labels there are, and keep the graph."""
        graph = open_graph(config).graph.normalised(config.data.normalise)
        return cls(config, labels_of(examples), graph)

    def save(self, folder: Path) -> None:
        """Write the labels and the graph."""
        super().save(folder)
        self.known.graph.save(*(folder / name for name in self.files[1:]))

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read the labels and the graph."""
        graph = Graph.load(*(folder / name for name in cls.files[1:]))
        return cls(config, read_labels(folder / LABELS), graph)

    def encode(self, examples: Sequence[Node], *, training: bool = False) -> Nodes:
        """Find nodes in the graph."""
        return Nodes(self.known, examples, self.numbers(examples))

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.node_classifier import build_classifier

        sizes = {"features": self.known.graph.width, "labels": len(self.labels)}
        return build_classifier(**sizes, **self.config.model.model_dump())

    def logits(self, model: "nn.Module", batch: Any) -> "Tensor":
        """Return the logits of the nodes of a batch."""
        return model(batch["graph"], batch["node"])

    def loss(self, model: "nn.Module", batch: Any) -> "tuple[Tensor, int]":
        """Return the cross-entropy summed over nodes, with the squares of weights for each."""
        from heedful.distributed.fsdp import gather_for_loss

        total, count = super().loss(model, batch)
        gather_for_loss(model)
        learned = [each for each in model.parameters() if each.requires_grad and each.dim() > 1]
        squares = sum(each.square().sum() for each in learned)
        return total + count * self.config.train.l2 / 2 * squares, count

    def parse(self, text: str) -> Node:
        """Take the id of a node."""
        if text.strip() not in self.known.numbers:
            raise DataError(
                f"a node must be one of the {len(self.known.graph):,} of the graph, "
                f"got {text.strip()!r:.80}"
            )
        return Node(text.strip())

    def identity(self, example: Node) -> str:
        """Return the id: its label does not make it another."""
        return example.id

    def to_json(self, example: Node, answer: Prediction) -> dict[str, Any]:
        """Return the node, its label and the shares of all labels."""
        return {"node": example.id, **super().to_json(example, answer)}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no label."""
        return {"node": text, "label": None, "shares": {}}

    def warnings(self, example: Node, answer: Prediction) -> list[str]:
        """Say where there was nothing but a node's own features."""
        row = self.known.numbers[example.id]
        if (self.known.graph.edges[:, 0] == row).any():
            return []
        return [f"{example.id} has no edge: nothing but its own features was read"]

    def question(self, model: "nn.Module", example: Node, answer: Prediction) -> "Question":
        """Ask which neighbours speak for the label."""
        from heedful.tasks.classify_node.question import why_node

        return why_node(self, model, example, answer)

    def picture(self, model: Any, example: Node, answer: Prediction) -> Alignment | None:
        """Return how the last layer weighs a node and its neighbours: the mean over heads."""
        import torch

        row, graph = self.known.numbers[example.id], self.known.graph
        with torch.inference_mode():
            found = model.looks(self.known.tensors(device_of(model)), row)
        if found is None:
            return None
        seen, weights = found
        return Alignment(
            source=tuple(graph.ids[number] for number in seen),
            target=(answer.label,),
            weights=(tuple(weights.tolist()),),
            title=f"{example.id} → {answer.label}: itself and its neighbours",
        )
