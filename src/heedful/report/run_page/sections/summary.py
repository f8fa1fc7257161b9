"""What the page says first: badges, and a paragraph made of the numbers."""

from typing import Any

from heedful.report.run_page.data import CAPTURE_LIMIT, PageData
from heedful.report.run_page.judgement import TrainedOriginal
from heedful.report.run_page.words import Words

GOOD, BAD, OPEN = "good", "bad", "open"


def view(data: PageData, words: Words) -> dict[str, Any]:
    """Return the badges, the sentences and how the run came about."""
    return {
        "badges": [_budget(data, words), _capture(data, words), _explained(data, words)],
        "sentences": [*_optimised(data, words), *_scored(data, words), *_looked(data, words)],
        "about": {words.named(name): value for name, value in data.about.items()},
        "command": data.command,
    }


def _badge(state: str, text: str) -> dict[str, str]:
    return {"state": state, "mark": {GOOD: "✓", BAD: "✗", OPEN: "–"}[state], "text": text}


def _budget(data: PageData, words: Words) -> dict[str, str]:
    if data.judgement is None:
        return _badge(OPEN, words("no verdict" if data.smaller else "nothing optimised"))
    if data.judgement.accepted:
        return _badge(GOOD, words("budget met"))
    return _badge(BAD, words("optimisation refused"))


def _capture(data: PageData, words: Words) -> dict[str, str]:
    if not data.atlas.heads:
        return _badge(OPEN, words("no maps"))
    error = data.atlas.error
    if error is None:
        return _badge(OPEN, words("capture unknown"))
    state = GOOD if error <= CAPTURE_LIMIT else BAD
    return _badge(state, words("capture verified" if state == GOOD else "capture wrong"))


def _explained(data: PageData, words: Words) -> dict[str, str]:
    tested = [each.explanation.word for each in data.shown if each.explanation is not None]
    tested = [word for word in tested if word != "not tested"]
    verified = tested.count("verified")
    text = words("explanations not tested")
    if tested:
        text = words("explanations verified", verified=verified, tested=len(tested))
    without = sum(each.explanation is None and bool(each.reason) for each in data.shown)
    if without:
        text = words("and not explainable", text=text, count=without)
    return _badge(OPEN if not tested else GOOD if verified == len(tested) else BAD, text)


def _optimised(data: PageData, words: Words) -> list[str]:
    found = data.judgement
    if found is None:
        return []
    if found.before is None or found.after is None or found.bound is None:
        return [words("refused early")]
    told = {
        **{"metric": words.named(found.metric), "before": f"{found.before:.4g}"},
        **{"after": f"{found.after:.4g}", "bound": f"{found.bound:+.3g}"},
        **{"budget": f"{found.budget:+.3g}", "examples": f"{found.examples:,}"},
        **{"split": words(f"split {found.split}"), "speedup": f"{found.speedup:.2f}"},
        "confidence": f"{100 * found.confidence:.4g}",
    }
    sentences = [words("accepted" if found.accepted else "refused", **told)]
    sentences += _as_long(found.trained, words)
    saved = {
        cost.name: 1 - cost.after / cost.before for cost in data.costs if cost.after and cost.before
    }
    operations = saved.get("attention_operations")
    if found.accepted and operations is not None:
        sentences.append(words("saved operations", share=f"{operations:.0%}"))
    removed = sum(head.removed for head in data.atlas.heads)
    if removed:
        sentences.append(words("heads gone", removed=removed, heads=len(data.atlas.heads)))
    return sentences


def _as_long(found: TrainedOriginal | None, words: Words) -> list[str]:
    """What is left of the difference where the original was fine-tuned for as long."""
    if found is None:
        return []
    told = {
        **{"steps": f"{found.steps:,}", "before": f"{found.before:.4g}"},
        **{"difference": f"{found.difference:+.3g}", "bound": f"{found.bound:+.3g}"},
        "confidence": f"{100 * found.confidence:.4g}",
    }
    if found.steps < found.wanted:
        told["steps"] = words("steps of", steps=told["steps"], wanted=f"{found.wanted:,}")
    return [words("original as long within" if found.accepted else "original as long", **told)]


def _scored(data: PageData, words: Words) -> list[str]:
    if data.judgement is not None or not data.scores:
        return []
    score = data.scores[0]
    value = f"{score.before.value:.4g}\N{NO-BREAK SPACE}{score.unit}".rstrip()
    told = {"metric": words.named(score.name), "value": value}
    ends = {"low": f"{score.before.low:.4g}", "high": f"{score.before.high:.4g}"}
    return [words("scored", **told, **ends, examples=f"{data.examples:,}")]


def _looked(data: PageData, words: Words) -> list[str]:
    marked = [each for each in data.shown if each.explanation is not None]
    bad = [each for each in marked if each.explanation and each.explanation.word != "verified"]
    return [words("explanations marked", bad=len(bad), all=len(marked))] if bad else []
