import sys

import pytest

from heedful.locks import LOCK, hold
from heedful.tasks.translation.config import Config, Train


def test_trains_measures_translates_draws_and_says_what_next(heedful, library):
    code, out, _ = heedful("demo", "--minutes", "0.5", "--seed", "9", "-o", "d")
    assert code == 0
    assert library.train == [(Config(seed=9, output="d", train=Train(minutes=0.5)), None)]
    assert library.evaluate == [("d", "test", [])]
    for words in ("exact match", "in 3 days → 译:in 3 days", "[100]", "The run is in d. Next:"):
        assert words in out


def test_ends_with_a_page_of_the_run(heedful, library, tmp_path):
    assert heedful("demo", "-o", "d")[0] == 0
    assert library.pages == [("d", "d.html", "heedful report d -o d.html")]
    (tmp_path / "d.html").write_text("dear", encoding="utf-8")
    code, _, err = heedful("demo", "-o", "d")
    assert (code, len(library.pages)) == (0, 1)
    assert "No page was written: output must be a new file, got d.html." in err


def test_without_the_extra_there_is_no_page(heedful, library, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, _, err = heedful("demo", "-o", "d")
    assert (code, library.pages) == (0, [])
    assert "No page was written: a page needs jinja2" in err


def test_goes_on_to_optimise_what_it_trained(heedful, library):
    code, out, err = heedful("demo", "-o", "d", "--seed", "3")
    assert code == 0
    (call,) = library.optimize
    assert (str(call["run"]), str(call["output"])) == ("d", "d-optimised")
    assert (str(call["lose"]), call["settings"].seed) == ("chrf 0.5", 3)
    assert "attention operations" in out
    assert "Now less attention, losing at most chrf 0.5" in err


def test_a_budget_that_is_missed_is_an_answer(heedful, library):
    library.refused = "it must be faster, got 0.9x"
    code, out, _ = heedful("demo", "-o", "d")
    assert code == 0
    assert "Nothing was optimised: it must be faster, got 0.9x" in out


def test_the_older_name_of_what_may_be_lost_still_works(heedful, library):
    assert "--keep 'bleu >= -1' is now" in heedful("demo", "-o", "d", "--keep", "bleu >= -1")[2]
    assert str(library.optimize[0]["lose"]) == "bleu 1"
    assert heedful("demo", "-o", "e", "--keep", "")[0] == 0
    assert len(library.optimize) == 1


def test_optimising_can_be_left_out(heedful, library):
    code, out, _ = heedful("demo", "-o", "d", "--lose", "")
    assert (code, library.optimize) == (0, [])
    assert "The run is in d. Next:" in out


def test_defaults_are_those_of_the_config(heedful, library):
    heedful("demo")
    assert library.train == [(Config(output="runs/demo"), None)]


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "run.json").touch()
    return folder


def test_a_run_is_never_overwritten_silently(heedful, library, run):
    code, out, err = heedful("demo", "-o", "d")
    assert (code, out, library.train) == (2, "", [])
    assert err == (
        "heedful: output must be a new or an empty folder, got d, which holds a run. "
        "Go on with --resume, choose another --output, or replace it with --force.\n"
    )
    assert (run / "run.json").exists()


def test_force_replaces_a_run(heedful, library, run):
    assert heedful("demo", "-o", "d", "--force")[0] == 0
    assert not run.exists()  # the fake writes nothing
    assert library.train[0][1] is None


def test_resume_goes_on(heedful, library, run):
    assert heedful("demo", "-o", "d", "--resume")[0] == 0
    ((config, resume),) = library.train
    assert (config, str(resume)) == (None, "d")


def test_an_empty_folder_is_used(heedful, library, tmp_path):
    (tmp_path / "d").mkdir()
    assert heedful("demo", "-o", "d")[0] == 0


@pytest.mark.parametrize(
    "words, message",
    [
        (("-o", "other"), "got other, which is something else. Choose another --output.\n"),
        (("-o", "other", "--force"), "--force deletes runs only and must find one, got other\n"),
        (("-o", "other", "--resume"), "--resume must find a run, got none in other\n"),
        (("--resume", "--force"), "--resume and --force must not stand together, got both\n"),
    ],
)
def test_other_folders_are_left_alone(heedful, library, tmp_path, words, message):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear", encoding="utf-8")
    code, _, err = heedful("demo", *words)
    assert (code, library.train) == (2, [])
    assert err.endswith(message)
    assert (tmp_path / "other" / "letter.txt").read_text(encoding="utf-8") == "dear"


def test_a_refused_optimisation_announces_no_smaller_run(heedful, library, tmp_path):
    library.refused = "it must be faster, got 0.9x"
    out = heedful("demo", "-o", "d")[1]
    assert (tmp_path / "d-optimised" / "report.json").is_file()
    assert "The run is in d. Next:\n" in out


def test_an_optimised_run_is_announced(heedful, library, tmp_path):
    (tmp_path / "d-optimised").mkdir()
    (tmp_path / "d-optimised" / "run.json").touch()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "run.json").touch()
    out = heedful("demo", "-o", "d", "--resume")[1]
    assert "The run is in d, the smaller one in d-optimised. Next:\n" in out
    assert library.optimize == []


def test_a_budget_is_read_before_anything_is_deleted(heedful, library, run):
    code, out, err = heedful("demo", "-o", "d", "--force", "--lose", "nonsense")
    assert (code, out, library.train) == (2, "", [])
    assert "lose must read METRIC NUMBER" in err
    assert (run / "run.json").exists()


def test_force_never_follows_a_link(heedful, library, run, tmp_path):
    (tmp_path / "link").symlink_to("d")
    code, _, err = heedful("demo", "-o", "link", "--force", "--lose", "")
    assert (code, library.train) == (2, [])
    assert "--force deletes folders and never follows links, got the link link" in err
    assert (run / "run.json").exists()


def test_the_current_folder_can_be_gone_on_with_but_not_deleted(heedful, library, run, monkeypatch):
    monkeypatch.chdir(run)
    code, _, err = heedful("demo", "-o", ".", "--force", "--lose", "")
    assert (code, library.train) == (2, [])
    assert "--force must not delete the current folder, got" in err
    assert heedful("demo", "-o", ".", "--resume", "--lose", "")[0] == 0


def test_force_deletes_nothing_but_the_run(heedful, library, run):
    (run / "notes.txt").write_text("mine", encoding="utf-8")
    code, _, err = heedful("demo", "-o", "d", "--force")
    assert (code, library.train) == (2, [])
    assert "--force deletes runs alone, got d, which holds something else" in err
    assert {path.name for path in run.iterdir()} == {"notes.txt", "run.json"}


def test_force_deletes_no_run_that_is_being_trained(heedful, library, run):
    with hold(run):
        code, _, err = heedful("demo", "-o", "d", "--force")
        assert (code, library.train) == (2, [])
        assert "d must not be in use, got: held by process" in err
        assert (run / "run.json").exists()


def test_what_a_kill_left_before_the_run_began_is_nobodys(heedful, library, tmp_path):
    (tmp_path / "d" / ".start.7.tmp").mkdir(parents=True)
    (tmp_path / "d" / LOCK).touch()
    assert heedful("demo", "-o", "d")[0] == 0
    assert len(library.train) == 1


def test_a_taken_place_of_the_smaller_run_is_named_first(heedful, library, tmp_path):
    (tmp_path / "d-optimised").touch()
    for words in ((), ("--force",)):
        code, _, err = heedful("demo", "-o", "d", *words)
        assert (code, library.train) == (2, [])
        assert "the place of the optimised run must be free, got d-optimised" in err
