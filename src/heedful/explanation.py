"""`heedful.explain`: why a run answers what it answers, and whether that explanation holds."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heedful.errors import ConfigError, DataError
from heedful.explaining.attempt import attempt
from heedful.explaining.explain import explain_question
from heedful.explaining.explanation import Explanation
from heedful.explaining.methods import find_method
from heedful.explaining.pass_rate import PassRate, pass_rate
from heedful.explaining.paths import decision_paths
from heedful.training.run import Run


def explain(
    run: Run | str | Path,
    given: str | int,
    *,
    method: str | None = None,
    site: str | None = None,
    head: int | None = None,
    test: bool = True,
    draws: int = 200,
    seed: int = 0,
    split: str = "test",
    paths: int = 0,
) -> Explanation:
    """Answer an input and say which of its pieces the answer rests on.

    ```python
    found = heedful.explain("runs/topics", "the cat sat on the mat")
    print(found.word, found.verdict.reason)
    ```

    Args:
        run: A run or its folder.
        given: What a user types, as for `heedful predict`: a text, the path of a file; or the
            number of a held-out example.
        method: How; `None` means what was measured to be best for the task, mostly
            `gradient-attention`. `heedful.explaining.methods.METHODS` has all.
        site: With the method `attention`: one site of the model.
        head: With the method `attention`: one of its heads.
        test: Is the map judged? A map without a verdict is a picture.
        draws: Random maps that it is judged against.
        seed: Of what is random.
        split: Where a number counts: `dev` or `test`.
        paths: How many of the strongest paths through heads are cut for each target; see
            `heedful.explaining.paths.decision_paths`.

    Raises:
        ConfigError: There is no such method, site, head, split or example.
        DataError: The input cannot be used.
        RunError: The folder is no run, or it is damaged.
        UnsupportedError: The task has no input of pieces, or the model cannot be asked so.

    Source:
        The methods name theirs. The verdict: DeYoung et al. 2019, arXiv:1911.03429; Adebayo et al.
        2018, arXiv:1810.03292.

    Cost:
        Some hundred copies of the input through the model, in batches.
    """
    run = run if isinstance(run, Run) else Run(run)
    example = example_of(run, given, split)
    model = run.model  # loaded outside: parameters of inference mode have no gradients
    with torch.inference_mode():
        (answer,) = run.task.answer(model, run.task.encode([example]))
    question = run.task.question(model, example, answer)
    found = explain_question(
        model, question, method=method, site=site, head=head, test=test, draws=draws, seed=seed
    )
    found = replace(found, warnings=tuple(run.task.warnings(example, answer)))
    if not paths:
        return found
    return replace(found, paths=decision_paths(model, question, paths=paths, seed=seed))


def explain_examples(
    run: Run | str | Path,
    examples: int,
    *,
    split: str = "test",
    seed: int = 0,
    method: str | None = None,
    **options: Any,
) -> PassRate:
    """Explain held-out examples, drawn by the seed, and return how often the verdict is "verified".

    One that cannot be explained, as the text of a sound in which nothing was heard, is counted with
    its reason, and is in no share.

    Args:
        run: A run or its folder.
        examples: How many, of as many as there are.
        split: `dev` or `test`.
        seed: Of what is random.
        method: As for `explain`.
        options: Of `explain`, by name.

    Raises:
        ConfigError: There is no such method.
        DataError: The split is empty, or none of the examples can be explained.
        RunError: The folder is no run, or it is damaged.

    Cost:
        That of `explain` for each of them.
    """
    run = run if isinstance(run, Run) else Run(run)
    count = len(run.examples(split))
    if not count:
        raise DataError(f"the {split} split must hold an example, got none")
    if method is not None:
        find_method(method)  # else each example would be in turn what cannot be explained
    run.model.eval()  # loaded here: without one the run is refused, not each of its examples
    order = np.random.default_rng(seed).permutation(count)[:examples].tolist()
    options |= {"method": method, "split": split, "seed": seed}
    return pass_rate(attempt(partial(explain, run, each, **options)) for each in order)


def example_of(run: Run, given: str | int, split: str) -> Any:
    """Return what is explained: what a user types as an example, or a held-out one by its number.

    Args:
        run: The run.
        given: As for `explain`.
        split: Where a number counts.

    Raises:
        ConfigError: There is no example of this number.
        DataError: The input cannot be used.
    """
    if isinstance(given, str):
        if not given.strip():
            raise DataError(f"an input must hold something to explain, got {given!r}")
        return run.task.parse(given)
    examples = run.examples(split)
    if not 0 <= given < len(examples):
        raise ConfigError(
            f"index must be in 0 to {len(examples) - 1} of the {split} split, got {given}"
            if examples
            else f"the {split} split must hold an example, got none"
        )
    return examples[given]
