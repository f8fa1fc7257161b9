"""Held-out examples with their answers, and why: never without the verdict."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.data.alignment import Alignment
from heedful.data.image_attention import ImageAttention
from heedful.explaining.explanation import Effect, Explanation
from heedful.report.explained import way_of
from heedful.report.png import data_uri
from heedful.report.run_page import cells
from heedful.report.run_page.data import PageData, Shown
from heedful.report.run_page.words import Words

MOST_MAPS = 8
MOST_PATHS = 10
LARGEST_CANVAS = 320  # pixels a side
PARTS = ("text", "table", "images", "because", "numbers", "paths", "method", "left_out", "shades")


@dataclass(frozen=True)
class Room:
    """How much of a map is shown; what lies further on is left out, and that is said.

    Args:
        rows: Of a table, the first ones.
        columns: The same.
        images: With what counts for one target each.
    """

    rows: int = 24
    columns: int = 60
    images: int = 4


SOME = Room()
# causes of a verdict that say something of what removing did
FALLS = {"worse than random", "passed", "failed", "occlusion failed", "few draws"}
STATES = {
    **{"verified": "good", "inconclusive": "open"},
    **{"not tested": "open", "not explainable": "open"},
}  # else bad


def view(data: PageData, words: Words) -> dict[str, Any] | None:
    """Return the examples; `None` where there are none."""
    if not data.shown:
        return None
    found = [example_view(each, words) for each in data.shown]
    legends = dict.fromkeys(each["shades"] for each in found if each["shades"])
    note = words("between sentences").join([words("examples note"), *legends])
    return {"examples": found, "note": note}


def example_view(shown: Shown, words: Words, *, room: Room = SOME) -> dict[str, Any]:
    """Return what `example.html` shows of one example."""
    found = None if shown.explanation is None else _said(shown.explanation, words)
    without = "not explainable" if shown.reason else "not tested"
    word = without if found is None else found.word
    state = STATES.get(word, "bad")
    why = words.reason(shown.reason) if shown.reason else None
    view: dict[str, Any] = {
        "asked": {words.named(name): value for name, value in shown.asked.items()},
        "answer": words.said(shown.answer) or words("nothing answered"),
        "state": state,
        "mark": {"good": "✓", "bad": "✗", "open": "–"}[state],
        "word": words(f"verdict {word}"),
        "reason": why,
        **dict.fromkeys((*PARTS, "note")),
    }
    if found is not None:
        view |= _explained(found, words, room) | {"note": why}
    elif isinstance(shown.picture, Alignment):
        picture = shown.picture
        rows, columns = (map(words.said, names) for names in (picture.target, picture.source))
        view |= _table(rows, columns, picture.weights, words, room)
    elif shown.picture is not None and shown.picture.maps:
        view["images"] = _looked(shown.picture, words)
    return view


def _said(found: Explanation, words: Words) -> Explanation:
    targets, pieces = (tuple(map(words.said, names)) for names in (found.targets, found.pieces))
    return replace(found, targets=targets, pieces=pieces)


def _explained(found: Explanation, words: Words, room: Room) -> dict[str, Any]:
    view: dict[str, Any] = {
        **_reason(found, words),
        "method": words(
            "method",
            method=words.named(found.method),
            score=words.named(found.score),
            removal=words.named(found.removal),
        ),
        "numbers": _numbers(found, words),
        "paths": _paths(found),
    }
    if found.canvas is not None:
        return view | _images(found, found.canvas, words, room)
    if len(found.targets) == 1:
        text = cells.shaded(found.pieces, found.weights[0])
        return view | {"text": text, "shades": words("shades text")}
    return view | _table(found.targets, found.pieces, found.weights, words, room)


def _reason(found: Explanation, words: Words) -> dict[str, Any]:
    """Why the verdict came out so: in the words of the page, else as it was recorded."""
    verdict = found.verdict
    if verdict is None or not verdict.cause:
        return {"reason": words.reason(verdict.reason) if verdict is not None else None}
    fall, kept = verdict.comprehensiveness, verdict.sufficiency
    names = ["reason stretches"] if verdict.stretches else []
    names += ["reason falls"] if verdict.cause in FALLS else []
    names += [f"reason {verdict.cause}"] if verdict.cause != "failed" else []
    told = {
        **{"fall": f"{fall.value:.3g}", "fall_random": f"{fall.random:.3g}"},
        **{"kept": f"{kept.value:.3g}", "kept_random": f"{kept.random:.3g}"},
        **{"fall_p": f"{fall.p:.3f}", "kept_p": f"{kept.p:.3f}"},
        **{"pieces": len(found.pieces), "draws": verdict.draws, "stretches": verdict.stretches},
        **{"wrong": f"{verdict.wrong_sign:.0%}", "resemblance": f"{verdict.resemblance:.2f}"},
    }
    because = words("between sentences").join(words(name, **told) for name in names)
    return {"reason": None, "because": because}


def _table(rows: Any, columns: Any, weights: Any, words: Words, room: Room) -> dict[str, Any]:
    rows, columns = list(rows), list(columns)
    left = max(0, len(rows) - room.rows) + max(0, len(columns) - room.columns)
    weights = np.asarray(weights, float).reshape(len(rows), len(columns))
    part = weights[: room.rows, : room.columns]
    table = cells.table(rows[: room.rows], columns[: room.columns], part)
    return {
        "table": table,
        "left_out": words("left out", count=left) if left else None,
        "shades": words("shades table"),
    }


def _images(
    found: Explanation, canvas: NDArray[np.uint8], words: Words, room: Room
) -> dict[str, Any]:
    # stretches of a sound lie side by side
    shape = found.shape if len(found.shape) == 2 else (1, len(found.pieces))
    named = list(zip(found.targets, found.weights, strict=True))
    given = _given(canvas, words)
    if shape[0] == 1:  # a time, which the picture itself does not say
        given["name"] = words("whole sound", first=found.pieces[0], last=found.pieces[-1])
        most = [found.pieces[abs(weights).argmax()] for weights in found.weights]
        named = [
            (f"{name} ({words('strongest', piece=piece)})", weights)
            for (name, weights), piece in zip(named, most, strict=True)
        ]
    laid = [_veiled(given, weights.reshape(shape), name) for name, weights in named[: room.images]]
    left = len(named) - len(laid)
    return {
        "images": [given, *laid],
        "left_out": words("images left out", count=left) if left else None,
        "shades": words("shades images"),
    }


def _looked(found: ImageAttention, words: Words) -> list[dict[str, Any]]:
    given = _given(np.asarray(found.pixels, np.uint8), words)
    veiled = [
        _veiled(
            given,
            np.asarray(each.weights, float),
            each.word or words("place", row=each.row + 1, column=each.column + 1),
        )
        for each in found.maps[:MOST_MAPS]
    ]
    return [given, *veiled]


def _given(canvas: NDArray[np.uint8], words: Words) -> dict[str, Any]:
    """A picture as it was, which what is laid over it would hide."""
    every = max(1, -(-max(canvas.shape[:2]) // LARGEST_CANVAS))
    canvas = np.ascontiguousarray(canvas[::every, ::every])
    size = "wide" if canvas.shape[1] > 2 * canvas.shape[0] else "square"
    return {"base": data_uri(canvas), "veil": "", "name": words("canvas"), "size": size}


def _veiled(given: dict[str, Any], weights: NDArray[np.float64], name: str) -> dict[str, Any]:
    """The same with something laid over it: where little counts it gets dark."""
    return {**given, "veil": data_uri(cells.veil(weights)), "name": name}


def _numbers(found: Explanation, words: Words) -> list[tuple[str, str]] | None:
    verdict = found.verdict
    if verdict is None:
        return None

    def effect(value: Effect) -> str:
        low, high = value.interval
        ends = f"{low:.3g} – {high:.3g}"
        random = words("against random", random=f"{value.random:.3g}", interval=ends)
        return f"{value.value:.3g}; {random}, p = {value.p:.3f}"

    return [
        (words("comprehensiveness"), effect(verdict.comprehensiveness)),
        (words("sufficiency"), effect(verdict.sufficiency)),
        (words("reference"), f"{verdict.reference:.3g}"),
        (words("wrong sign"), f"{verdict.wrong_sign:.0%}"),
        (words("resemblance"), f"{verdict.resemblance:.2f}"),
        (words("draws"), f"{verdict.draws:,}"),
        *([(words("stretches"), f"{verdict.stretches:,}")] if verdict.stretches else []),
    ]


def _paths(found: Explanation) -> list[dict[str, str]] | None:
    # words without the space before them, which only a terminal has to show
    named = {
        name: tuple(each.strip() or each for each in getattr(found, name))
        for name in ("targets", "pieces")
    }
    bare = replace(found, **named)
    return [
        {
            "way": way_of(bare, path, "{site} · {head}"),
            "drop": f"{path.drop:+.3g}",
            "random": f"{path.random_drop:+.3g}",
        }
        for path in sorted(found.paths, key=lambda each: -each.strength)[:MOST_PATHS]
    ] or None
