"""`heedful verify` prints what came of every rule, and leaves with 4 where one is broken."""

import json
import sys
import zlib

import pytest

BROKEN = """
from heedful.ops import dot_attention


def forgets(query, key, value, *, mask=None):
    return dot_attention(query, key, value)
"""


@pytest.fixture
def few_rules(monkeypatch):
    """Three rules stand for all, so that these tests are quick."""
    from heedful.testing import verification

    some = {n: verification.RULES[n] for n in ("hidden_keys", "inputs_unchanged", "no_dropout")}
    monkeypatch.setattr(
        verification.verify, "__kwdefaults__", {**verification.verify.__kwdefaults__, "rules": some}
    )


@pytest.fixture
def broken(tmp_path, monkeypatch):
    (tmp_path / "broken_to_verify.py").write_text(BROKEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "broken_to_verify:forgets"
    sys.modules.pop("broken_to_verify", None)


def test_json_counts_and_has_a_row_a_rule(heedful, few_rules):
    code, out, _ = heedful("verify", "heedful.ops:dot_attention", "--json")
    report = json.loads(out)
    assert code == 0
    assert (report["passed"], report["failed"], report["unsupported"]) == (2, 0, 0)
    assert [row["rule"] for row in report["rules"]] == [
        "hidden_keys",
        "inputs_unchanged",
        "no_dropout",
    ]


def test_a_broken_rule_leaves_with_4_after_the_report(heedful, few_rules, broken):
    code, out, err = heedful("verify", broken, "--oracle", "dot", "--json")
    assert code == 4
    assert json.loads(out)["failed"] == 1
    assert err.splitlines()[-1] == "heedful: every rule must hold, got 1 that do not"


NEVER = """
def never(query, key, value, *, mask=None):
    raise NotImplementedError("not today")
"""


def test_who_never_answers_keeps_nothing(heedful, few_rules, tmp_path, monkeypatch):
    (tmp_path / "never_to_verify.py").write_text(NEVER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    code, out, err = heedful("verify", "never_to_verify:never", "--json")
    assert (code, json.loads(out)["passed"]) == (4, 0)
    assert err.splitlines()[-1] == "heedful: some rule must hold, got 2 that are refused"


def test_people_get_a_table_and_the_first_wrong_case(heedful, few_rules, broken):
    code, out, _ = heedful("verify", broken, "--oracle", "dot")
    assert code == 4
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "hidden_keys failed hidden keys and values cannot matter, bit for bit" in lines
    assert "hidden_keys: 5 failed, 0 passed; first: kind=lengths: a hidden key changes query 0" in (
        lines
    )
    assert lines[-1] == "1 passed, 0 partly, 1 failed, 0 unsupported"


@pytest.mark.parametrize(
    "words, message",
    [
        (("torch",), "target must be MODULE:FUNCTION, got 'torch'"),
        (("",), "target must be MODULE:FUNCTION, got ''"),
        ((":f",), "target must be MODULE:FUNCTION, got ':f'"),
        ((".x:f",), "target must be MODULE:FUNCTION, got '.x:f'"),
        (("a..b:f",), "target must be MODULE:FUNCTION, got 'a..b:f'"),
        (("heedful.ops:OPS", "--oracle", "no"), "oracle must be one of adaptive_span, "),
    ],
)
def test_usage(heedful, words, message):
    code, out, err = heedful("verify", *words)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    "body, got",
    [
        ("def f(query, key, value, mask):\n    return None", "a mask, got TypeError: 'NoneType'"),
        ("raise OSError('no net')", "must be importable, got OSError: no net"),
        ("import sys; sys.exit(7)", "must be importable, got SystemExit: 7"),
        ("1 +", "must be importable, got SyntaxError"),
    ],
)
def test_what_a_users_function_raises_is_one_line(
    heedful, few_rules, tmp_path, monkeypatch, body, got
):
    name = f"users_{zlib.crc32(body.encode())}"
    (tmp_path / f"{name}.py").write_text(body, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    code, _, err = heedful("verify", f"{name}:f")
    assert code == 2
    assert got in err.splitlines()[-1]
