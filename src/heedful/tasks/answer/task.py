"""Answers to questions about texts: a memory network over sentences, or a span by BiDAF."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from heedful.data.alignment import Alignment
from heedful.data.examples import Splits
from heedful.data.scripts import composed
from heedful.data.stories import Question, compared, one_spelling, read_babi
from heedful.data.tokens import Vocabulary, train_tokenizer
from heedful.errors import DataError, RunError
from heedful.files import read_whole, write_json
from heedful.metrics.classification import any_right
from heedful.metrics.rows import UNKNOWN, row_loss
from heedful.tasks.answer.config import Config, JsonLinesData, MemoryModel, problem
from heedful.tasks.answer.encoding import Batch, Memories, Passages, remarks_on, typed
from heedful.tasks.answer.questions import parse_question, read_json_lines, read_splits
from heedful.tasks.base import Dataset, Rows, Task, device_of
from heedful.texts import parse_json_as

if TYPE_CHECKING:
    from torch import Tensor, nn

    from heedful.explaining.question import Question as Why

RIGHT = attrgetter("right")
LARGEST = 1 << 26  # bytes of answers
ANSWERED = 128  # questions at a time


@dataclass(frozen=True)
class Response:
    """An answer and its share of all that there could be."""

    answer: str
    share: float

    @property
    def label(self) -> str:
        """The answer, as one of several that are known."""
        return self.answer


def said_by(answer: Any) -> str:
    """Return what an answer is compared by."""
    return compared(answer.label)


class Answer(Task[Question, Response]):
    """An answer to a question about a text: one that training has, or a piece of the text.

    Args:
        config: Of the training.
        vocabulary: Of tokens.
        answers: That training has, in the order of the logits of the memory network.
    """

    config_class = Config
    example_class = Question
    metrics = (any_right(answer=said_by, truth=RIGHT), row_loss())
    files = ("task/tokens.json", "task/answers.json")
    monitor = "accuracy"
    unit = "questions"
    remarks: ClassVar[Mapping[str, str]] = {
        "cut": "texts are longer than is read of them (model.sentences or model.max_length)",
        "unknown": "questions have an answer that the model cannot give",
    }

    def __init__(self, config: Config, vocabulary: Vocabulary, answers: Sequence[str]) -> None:
        super().__init__(config)
        self.vocabulary = vocabulary
        self.answers = {answer: number for number, answer in enumerate(answers)}

    @classmethod
    def read(cls, config: Config) -> Splits[Question]:
        """Read or make the questions."""
        return read_splits(config)

    @classmethod
    def read_training(cls, config: Config) -> list[Question]:
        """Read or make the training split alone."""
        data = config.data
        if isinstance(data, JsonLinesData):
            return read_json_lines(data.train, spans=config.model.name == "bidaf")
        return cls.read(config).train

    @classmethod
    def read_file(cls, config: Config, path: Path | str) -> list[Question]:
        """Read JSON lines, or a file named `*.txt` in the format of bAbI."""
        if ".txt" in Path(path).suffixes:
            return read_babi(path)
        return read_json_lines(path, spans=config.model.name == "bidaf")

    @classmethod
    def problem(cls, config: Config) -> str | None:
        """Say what is wrong with the settings."""
        return problem(config)

    @classmethod
    def fit(cls, config: Config, examples: Sequence[Question]) -> Self:
        """Learn tokens, and which answers there are."""
        settings = config.tokens
        stories = {sentence for each in examples for sentence in each.story}
        texts = sorted(stories | {each.question for each in examples})
        vocabulary = train_tokenizer(
            settings.kind,
            map(typed, texts),
            vocabulary=settings.vocabulary,
            min_count=settings.min_count,
        )
        answers = one_spelling([example.answer for example in examples])
        if len(answers) < least(config):
            raise DataError(f"the training split must have two answers or more, got {answers}")
        return cls(config, vocabulary, answers)

    def save(self, folder: Path) -> None:
        """Write tokens and answers."""
        tokens, answers = (folder / file for file in self.files)
        self.vocabulary.save(tokens)
        write_json(answers, list(self.answers))

    @classmethod
    def load(cls, config: Config, folder: Path) -> Self:
        """Read tokens and answers."""
        tokens, path = (folder / file for file in cls.files)
        answers = parse_json_as(list[str], read_whole(path, most=LARGEST), path)
        if len(set(answers)) < max(least(config), len(answers)):
            raise RunError(f"{path} must have the answers, each once, got {answers!r:.80}")
        return cls(config, Vocabulary.load(tokens), answers)

    def encode(
        self, examples: Sequence[Question], *, training: bool = False
    ) -> Memories | Passages:
        """Turn questions and their texts into tokens."""
        model = self.config.model
        if isinstance(model, MemoryModel):
            return Memories(
                examples,
                self.vocabulary,
                {compared(answer): number for answer, number in self.answers.items()},
                sentences=model.sentences,
                noise=model.noise,
            )
        return Passages(examples, self.vocabulary, longest=model.max_length)

    def build(self) -> "nn.Module":
        """Make the network that the config describes."""
        from heedful.models.memory_network import MemoryNetwork
        from heedful.models.span_reader import SpanReader

        model, size = self.config.model, self.vocabulary.size
        if isinstance(model, MemoryModel):
            settings = model.model_dump(exclude={"name", "sentences", "noise", "linear_share"})
            times = model.sentences + round(model.sentences * model.noise)
            return MemoryNetwork(size, answers=len(self.answers), times=times, **settings)
        settings = model.model_dump(exclude={"name", "max_length", "longest_answer"})
        return SpanReader(size, **settings)

    def proceed(self, model: Any, done: float) -> None:
        """Begin without softmax."""
        if isinstance(self.config.model, MemoryModel):
            model.linear = done < self.config.model.linear_share

    def loss(self, model: "nn.Module", batch: Batch) -> "tuple[Tensor, int]":
        """Return the cross-entropy summed over decisions, and how many those are."""
        from torch.nn.functional import cross_entropy

        said = self.rows(model, batch)
        loss = cross_entropy(said.outputs, self.truth(batch), ignore_index=UNKNOWN, reduction="sum")
        return loss, len(said.outputs)

    def scores(self, model: "nn.Module", dev: Any) -> dict[str, float]:
        """Return the share of right answers in per cent, and the cross-entropy a decision."""
        answers = self.answer(model, dev)
        right = sum(said_by(a) in r for a, r in zip(answers, dev.right, strict=True))
        return {"accuracy": 100 * right / len(dev), **super().scores(model, dev)}

    def answer(self, model: "nn.Module", data: Any) -> list[Response]:
        """Answer every question."""
        known, found = list(self.answers), self._answered(model, data)
        if isinstance(data, Passages):
            return [
                Response(data.words(row, *place), share) for row, (place, share) in enumerate(found)
            ]
        return [Response(known[place[0]], share) for place, share in found]

    def parse(self, text: str) -> Question:
        """Take a text and a question behind ` | `, or a JSON object with both."""
        return parse_question(text)

    def identity(self, example: Question) -> tuple[str, str]:
        """Return text and question."""
        return composed(example.text), composed(example.question)

    def right_answers(self, example: Question) -> frozenset[str]:
        """Return all that are right, whoever spells them."""
        return example.right

    def kind(self, example: Question) -> str:
        """Return what sort of question it is, for scores by kind."""
        return example.kind

    def show(self, answer: Response) -> str:
        """Return the answer and its share."""
        return f"{answer.answer}\t{answer.share:.0%}"

    def to_json(self, example: Question, answer: Response) -> dict[str, Any]:
        """Return the question, its answer and the share of that."""
        return {"question": example.question, "answer": answer.answer, "share": answer.share}

    def blank(self, text: str) -> dict[str, Any]:
        """Return no answer."""
        return {"question": text, "answer": None, "share": None}

    def warnings(self, example: Question, answer: Response) -> list[str]:
        """Say what of a text is not read, and which words of it and of the question are new."""
        return remarks_on(example, self.vocabulary, self.config.model)

    def remark(self, data: Any, answers: Sequence[Response]) -> dict[str, int]:
        """Count texts that were not read whole, and answers that cannot be given."""
        truth = data.spans[:, 0] if isinstance(data, Passages) else data.truth
        return {"cut": data.cut, "unknown": int((truth == UNKNOWN).sum())}

    def picture(self, model: "nn.Module", example: Question, answer: Response) -> Alignment | None:
        """Return which sentences each hop looks at, or which words of the question a text does."""
        from heedful.tasks.answer.attention import looked_at

        found = looked_at(self, model, example)
        if found is None:
            return None
        source, target, weights = found
        title = f"{example.question} → {answer.answer}"
        return Alignment(source=source, target=target, weights=weights, title=title)

    def question(self, model: "nn.Module", example: Question, answer: Response) -> "Why":
        """Ask which sentences speak for the answer, or which words for the ends of a span."""
        from heedful.tasks.answer.question import why_answered

        return why_answered(self, model, example, answer.answer)

    def rows(self, model: Any, batch: Batch) -> Rows:
        """Return a row of logits for each question: its answers, or the ends of its span."""
        import torch

        here = torch.arange(len(batch["question"]), device=batch["question"].device)
        if isinstance(self.config.model, MemoryModel):
            outputs = model(*(batch[name] for name in MEMORY_INPUTS))
            return Rows(outputs=outputs, truth=self.truth(batch), example=here)
        span = model(*(batch[name] for name in SPAN_INPUTS))
        more = self.config.model.max_length - span.start.shape[1]
        outputs = torch.nn.functional.pad(torch.cat(span), (0, max(more, 0)), value=-1e4)
        return Rows(outputs=outputs, truth=self.truth(batch), example=here.repeat(2))

    def truth(self, batch: Batch) -> "Tensor":
        """Return the numbers of answers, or where spans begin and then where they end."""
        return batch["truth"] if "truth" in batch else batch["spans"].T.flatten()

    def _answered(self, model: "nn.Module", data: Dataset) -> list[tuple[tuple[int, ...], float]]:
        """The number of each answer, or both ends of its span, and its share."""
        import torch

        from heedful.models.span_reader import best_spans

        found: list[tuple[tuple[int, ...], float]] = []
        settings = self.config.model
        with torch.inference_mode():
            for start in range(0, len(data), ANSWERED):
                rows = range(start, min(start + ANSWERED, len(data)))
                said = self.rows(model, data.batch(rows, device_of(model))).outputs.float()
                if isinstance(settings, MemoryModel):
                    shares, best = said.softmax(-1).max(-1)
                    pairs = zip(best.tolist(), shares.tolist(), strict=True)
                    found += [((number,), share) for number, share in pairs]
                else:
                    found += best_spans(*said.chunk(2), longest=settings.longest_answer)
        return found


def least(config: Config) -> int:
    """Return how many answers there must be; a piece of a text is sought even if it is one word."""
    return 2 if isinstance(config.model, MemoryModel) else 1


MEMORY_INPUTS = ("sentences", "lengths", "ago", "counts", "question", "question_lengths")
SPAN_INPUTS = ("text", "lengths", "question", "question_lengths")
