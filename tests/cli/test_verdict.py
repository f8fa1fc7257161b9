import json

import pytest


@pytest.fixture
def files(tmp_path):
    def make(lost):
        paths = []
        for name, less in (("before", 0.0), ("after", lost)):
            rows = [{"id": number, "score": number % 7 - less} for number in range(200)]
            paths.append(tmp_path / f"{name}.jsonl")
            paths[-1].write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return [str(path) for path in paths]

    return make


def test_what_keeps_the_budget_is_accepted(heedful, files):
    code, out, err = heedful("verdict", *files(0.01), "--lose", "score 0.5")
    assert (code, err) == (0, "")
    assert out.startswith("accepted on 200 examples: score went from 2.97")
    assert "with 96 % confidence the difference is no worse than" in out


def test_what_loses_too_much_is_refused_with_3(heedful, files):
    code, out, err = heedful("verdict", *files(0.6), "--lose", "score 0.5")
    assert (code, out) == (3, "")
    assert err.startswith("heedful: refused on 200 examples: score went from 2.97")


@pytest.mark.parametrize("lost, code", [(0.01, 0), (0.6, 3)])
def test_json_is_the_verdict_and_nothing_else(heedful, files, lost, code):
    asked = ("--lose", "score 0.5", "--look", "2", "--span", "6", "--seed", "4", "--json")
    got, out, _ = heedful("verdict", *files(lost), *asked)
    assert got == code
    found = json.loads(out)
    assert (found["accepted"], found["examples"], found["seed"]) == (code == 0, 200, 4)
    assert found["confidence"] == pytest.approx(0.995)


def test_bad_input_is_one_line_and_2(heedful, files, tmp_path):
    before, _ = files(0.1)
    for asked, said in (
        ((before, str(tmp_path / "none"), "--lose", "score 1"), "must be in a file that exists"),
        ((before, before, "--lose", "score"), "lose must read METRIC NUMBER"),
    ):
        code, out, err = heedful("verdict", *asked)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert said in err
