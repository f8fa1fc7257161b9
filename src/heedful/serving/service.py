"""A run at work for callers: inputs in, answers and explanations out, each with its own fault."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from heedful.errors import DataError, HeedfulError, UnsupportedError
from heedful.explaining.attempt import attempt
from heedful.explaining.explain import explain_question
from heedful.explaining.explanation import Explanation, NotExplainable
from heedful.explaining.paths import decision_paths
from heedful.explaining.question import Question
from heedful.report.run_page.data import Shown
from heedful.reporting.examples import fields_of, said_in_a_line
from heedful.serving.inputs import Input, Options, written
from heedful.tasks.base import Picture
from heedful.texts import finite
from heedful.training.run import Run
from heedful.training.splits import shown_split

Outcome = dict[str, Any] | HeedfulError


@dataclass(frozen=True)
class Asked:
    """An answer that somebody wants explained.

    Args:
        input: To be answered.
        options: How it is explained.
        picture: Is it also shown where the model looked? Then an answer that cannot be explained,
            or attention that leads to no input, is no error.
    """

    input: Input
    options: Options
    picture: bool = False


class Service:
    """A run that answers; one thread at a time may ask it.

    Args:
        run: Opened; its model is loaded here.
        settings: For answers, such as `decode.beam=4`.

    Raises:
        RunError: The run is damaged.
        ConfigError: There is no such setting.
    """

    def __init__(self, run: Run, settings: Sequence[str] = ()) -> None:
        self.run, self.model = run, run.model
        self.task = run.answering(settings)
        self.takes: tuple[str, ...] = self.task.takes
        self.examples = run.examples("test")

    def predict(self, inputs: Sequence[Input]) -> list[Outcome]:
        """Answer inputs together.

        Returns:
            For each its answer: `answer` as `heedful predict` prints it, `data` as it does with
            `--json`, and `warnings`; or what is wrong with it.
        """
        with TemporaryDirectory(prefix="heedful-") as folder:
            texts = [self._parsed(each, Path(folder), n) for n, each in enumerate(inputs)]
            found = self._answers(texts)
            return [_plain(each, folder) for each in found]

    def explain(self, asked: Sequence[Asked]) -> list[Shown | HeedfulError]:
        """Answer inputs and say why, one after the other."""
        return [self._explained(each) for each in asked]

    def warm_up(self) -> None:
        """Answer a held-out example, so that the first caller waits for no more than an answer.

        Raises:
            HeedfulError: The run cannot answer it.
        """
        some = self.run.examples(shown_split(self.run))
        if not some:
            raise DataError("a run must hold out an example to warm up with, got none")
        self._answer(some[:1])

    # ---- one by one, and together ----------------------------------------------------------------

    def _parsed(self, given: Input, folder: Path, number: int) -> Any:
        """An example, `None` for a blank text, or what is wrong."""
        place = folder / str(number)
        try:
            if given.index is not None:
                return self.examples[given.index]
            if given.files:
                place.mkdir()
            text = written(given, place, self.takes)
            return self.task.parse(text) if text.strip() else None
        except HeedfulError as error:
            return error

    def _answers(self, examples: Sequence[Any]) -> list[Any]:
        """For each example its answer as plain data, or what is wrong."""
        whole = [each for each in examples if not _is_none_or_wrong(each)]
        said = iter(self._together(whole) if whole else ())
        return [
            self._blank() if each is None else each if _is_none_or_wrong(each) else next(said)
            for each in examples
        ]

    def _together(self, examples: Sequence[Any]) -> list[Any]:
        try:
            answers = self._answer(examples)
        except HeedfulError as error:
            if len(examples) == 1:
                return [error]
            return [self._together([each])[0] for each in examples]  # one of them: which?
        return [self._said(*pair) for pair in zip(examples, answers, strict=True)]

    def _answer(self, examples: Sequence[Any]) -> Sequence[Any]:
        with torch.inference_mode():
            return self.task.answer(self.model, self.task.encode(examples))

    def _said(self, example: Any, answer: Any) -> dict[str, Any]:
        return {
            "answer": self.task.show(answer),
            "data": self.task.to_json(example, answer),
            "warnings": self.task.warnings(example, answer),
        }

    def _blank(self) -> dict[str, Any]:
        return {"answer": "", "data": self.task.blank(""), "warnings": []}

    def _explained(self, asked: Asked) -> Shown | HeedfulError:
        with TemporaryDirectory(prefix="heedful-") as folder:
            example = self._parsed(asked.input, Path(folder), 0)
            if example is None:
                return DataError("an input must hold something to explain, got a blank one")
            if isinstance(example, HeedfulError):
                return _hidden(example, folder)
            try:
                return self._shown(example, asked, folder)
            except HeedfulError as error:
                return _hidden(error, folder)

    def _shown(self, example: Any, asked: Asked, folder: str) -> Shown:
        (answer,) = self._answer([example])
        said = said_in_a_line(self.task.show(answer))
        fields = {name: _pathless(value, folder) for name, value in fields_of(example).items()}

        def explain() -> tuple[Explanation, str]:
            question = self.task.question(self.model, example, answer)
            options = asked.options.model_dump(exclude={"paths"})
            found = explain_question(self.model, question, **options)
            told = tuple(_pathless(each, folder) for each in self.task.warnings(example, answer))
            found = replace(found, title=_pathless(found.title, folder), warnings=told)
            return self._with_paths(found, question, asked)

        if not asked.picture:
            return Shown(asked=fields, answer=said, explanation=explain()[0])
        found, reason = None, ""
        tried = attempt(explain)
        if isinstance(tried, NotExplainable):
            reason = _pathless(tried.reason, folder)
        else:
            found, reason = tried
        picture = self._picture(example, answer)
        return Shown(asked=fields, answer=said, explanation=found, picture=picture, reason=reason)

    def _with_paths(
        self, found: Explanation, question: Question, asked: Asked
    ) -> tuple[Explanation, str]:
        """The explanation with the paths that were asked for, or why there are none."""
        options = asked.options
        if not options.paths:
            return found, ""
        try:
            paths = decision_paths(self.model, question, paths=options.paths, seed=options.seed)
        except UnsupportedError as error:
            if not asked.picture:
                raise
            return found, str(error)
        return replace(found, paths=paths), ""

    def _picture(self, example: Any, answer: Any) -> Picture | None:
        try:
            return self.task.picture(self.model, example, answer)
        except HeedfulError:  # the model has no such attention
            return None


def _is_none_or_wrong(example: Any) -> bool:
    return example is None or isinstance(example, HeedfulError)


# ---- what leaves ---------------------------------------------------------------------------------


def _plain(found: Any, folder: str) -> Outcome:
    return (
        _hidden(found, folder)
        if isinstance(found, HeedfulError)
        else finite(_plain_data(found, folder))
    )


def _hidden(error: HeedfulError, folder: str) -> HeedfulError:
    """The same error, without the name of a folder that only the server knows."""
    return type(error)(_pathless(str(error), folder))


def _pathless(text: str, folder: str) -> str:
    return re.sub(rf"{re.escape(folder)}[/\\]\d+[/\\]", "", text)


def _plain_data(value: Any, folder: str) -> Any:
    """The same plain data without the folders of callers' files."""
    if isinstance(value, dict):
        return {name: _plain_data(each, folder) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_data(each, folder) for each in value]
    return _pathless(value, folder) if isinstance(value, str) else value
