"""What a training saw of its heads, from the lines of its log."""

from heedful.report.run_page.watched import WatchedHead
from heedful.reporting.watched import told_alarms, watched_heads


def line(step, *entropies, alarms=()):
    heads = [
        {"site": "encoder", "head": head, "normalised_entropy": value}
        for head, value in enumerate(entropies)
    ]
    return {"step": step, "heads": heads, "alarms": list(alarms)}


def test_each_head_has_a_curve_of_what_is_known():
    found = watched_heads([{"step": 1, "loss": 2.0}, line(2, 0.5, 0.75), line(4, 0.25, None)])
    assert found == (WatchedHead(site="encoder", number=0, points=((2, 0.5), (4, 0.25))),)


def test_alarms_keep_their_step_and_their_advice():
    alarm = {"site": "encoder", "head": 1, "text": "looks at one key", "advice": ""}
    told = told_alarms([line(3, alarms=[alarm, alarm | {"head": 2, "advice": "a = 1"}]), {}])
    assert told == (
        "step 3: encoder head 1: looks at one key",
        "step 3: encoder head 2: looks at one key; try a = 1",
    )
