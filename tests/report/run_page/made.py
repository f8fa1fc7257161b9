"""A page of made-up numbers that has every section; texts in it try to break out of the page."""

import numpy as np

from heedful.data.alignment import Alignment
from heedful.data.image_attention import AttentionMap, ImageAttention
from heedful.explaining.explanation import DecisionPath, Effect, Explanation, Verdict
from heedful.report.run_page.data import (
    Atlas,
    Cost,
    Curve,
    Head,
    Interval,
    Look,
    PageData,
    Score,
    Search,
    Shown,
    Tile,
    Trial,
)
from heedful.report.run_page.judgement import Judgement, TrainedOriginal
from heedful.report.run_page.watched import WatchedHead

EVIL = "</script><script>alert('x')</script><img src=http://example.org/x>"


def tile(side=4, *, places=4, seed=0):
    weights = np.random.default_rng(seed).dirichlet(np.full(side, 0.3), side)
    cells = np.rint(255 * np.sqrt(weights / weights.max())).astype(np.uint8)
    return Tile(cells=cells, largest=float(weights.max()), queries=places, keys=places)


def look(entropy=0.5, **changes):
    return Look(**{"entropy": entropy, "keys": 2.5, "first": 0.25, "distance": 1.5} | changes)


def atlas(sites=2, heads=3, *, side=4, places=4):
    """Of each site the last head is removed."""
    found = []
    for place in range(sites):
        for number in range(heads):
            kept = number < heads - 1
            seed = 2 * (place * heads + number)
            found.append(
                Head(
                    site=f"encoder.{place}.self_attention",
                    number=number,
                    before=look(0.25, sink="no-op" if number == 0 else ""),
                    tile=tile(side, places=places, seed=seed),
                    after=look(0.75) if kept else None,
                    tile_after=tile(side, places=places, seed=seed + 1) if kept else None,
                    removed=not kept,
                    importance=0.5,
                )
            )
    names = (*(f"w{number}" for number in range(places - 1)), EVIL)
    return Atlas(
        heads=tuple(found),
        tokens={"encoder.0.self_attention": (names, names)},
        examples=7,
        title=EVIL,
        error=3e-7,
        unobservable={"other": EVIL},
    )


def verdict(word="verified"):
    effect = Effect(value=1.25, random=0.5, interval=(0.25, 0.75), p=0.005)
    return Verdict(
        word=word,
        reason=f"It was {word}.",
        comprehensiveness=effect,
        sufficiency=effect,
        reference=1.5,
        wrong_sign=0.125,
        resemblance=0.0625,
        draws=200,
    )


def explanation(targets=1, **changes):
    pieces = ("the", "cat", EVIL, "猫")
    values = {
        "pieces": pieces,
        "targets": tuple(f"t{number}" for number in range(targets)),
        "weights": np.tile([0.5, -0.25, 0.125, 0.0], (targets, 1)),
        "method": "gradient-attention",
        "removal": "left out",
        "verdict": verdict(),
        "paths": (
            DecisionPath(
                target=0,
                piece=1,
                heads=(("decoder.0", 1),),
                strength=0.5,
                drop=2.5,
                random_drop=0.1,
            ),
        ),
    }
    return Explanation(**values | changes)


def examples():
    canvas = np.arange(8 * 12, dtype=np.uint8).reshape(8, 12, 1)
    picture = Alignment(source=("a", EVIL), target=("b",), weights=((0.25, 0.75),))
    seen = ImageAttention(
        pixels=(((9,), (200,)),), maps=(AttentionMap(row=0, column=1, weights=((0.25, 0.75),)),)
    )
    asked = {"text": EVIL}
    return (
        Shown(asked=asked, answer=EVIL, explanation=explanation()),
        Shown(asked=asked, answer="b", explanation=explanation(3), reason=f"No paths {EVIL}."),
        Shown(
            asked=asked,
            answer="c",
            explanation=explanation(
                canvas=canvas, shape=(2, 2), verdict=verdict("no better than random")
            ),
        ),
        Shown(asked=asked, answer="d", picture=picture, reason=EVIL),
        Shown(asked=asked, answer="e", picture=seen, reason="It has no question."),
    )


def page_data(**changes):
    values = {
        "run": f"runs/{EVIL}",
        "smaller": "runs/x-optimised",
        "task": "translation",
        "command": f"heedful report {EVIL}",
        "date": "2026-11-30",
        "about": {"seed": "3"},
        "examples": 1234,
        "scores": (
            Score(
                name="exact_match",
                unit="%",
                higher_is_better=True,
                before=Interval(61.0, 60.0, 62.0),
                after=Interval(61.5, 60.5, 62.5),
            ),
            Score(
                name="loss",
                unit="",
                higher_is_better=False,
                before=Interval(0.5, 0.4, 0.6),
                after=Interval(0.9, 0.8, 1.0),
            ),
        ),
        "costs": (
            Cost(name="latency_ms", before=12.5, after=6.25),
            Cost(name="attention_operations", before=9000, after=3000),
        ),
        "judgement": Judgement(
            accepted=True,
            reason=EVIL,
            metric="exact_match",
            before=61.0,
            after=61.5,
            bound=-0.25,
            confidence=0.96,
            budget=-0.5,
            split="test",
            examples=1234,
            looks=2,
            speedup=1.875,
            speedup_middle_half=(1.75, 2.0),
            goal="latency",
            trained=TrainedOriginal(
                steps=2500,
                wanted=3175,
                before=61.25,
                difference=0.375,
                bound=-0.0625,
                confidence=0.95,
                accepted=True,
            ),
        ),
        "search": Search(
            metric="exact_match",
            allowed=-0.5,
            trials=(
                Trial(number=0, cost_share=1.0, difference=0.0, bound=None, kept=True),
                Trial(number=1, cost_share=0.75, difference=-0.125, bound=-0.25, kept=True),
                Trial(number=2, cost_share=0.5, difference=-2.0, bound=-2.5, kept=False),
                Trial(number=3, cost_share=0.4, difference=None, bound=None, kept=False),
                Trial(
                    number=1,
                    cost_share=0.7,
                    difference=0.5,
                    bound=-0.125,
                    kept=True,
                    final=True,
                    chosen=True,
                ),
            ),
        ),
        "atlas": atlas(),
        "shown": examples(),
        "curves": (
            Curve(name="loss", points=tuple((step, 1 / step) for step in range(1, 900))),
            Curve(name="dev_loss", points=((1, 2.0), (2, 1.0))),
        ),
        "watched": (
            WatchedHead(site=EVIL, number=0, points=((1, 0.9), (2, 0.4))),
            WatchedHead(site=EVIL, number=1, points=((1, 0.8), (2, 0.7))),
        ),
        "alarms": (EVIL,),
        "config": EVIL,
        "plan": EVIL,
    }
    return PageData(**values | changes)
