import base64
import json

import pytest
from pydantic import ValidationError

from heedful.errors import DataError
from heedful.serving.inputs import (
    MEDIA,
    Input,
    bodies,
    media_of,
    of_body,
    problem,
    written,
)
from heedful.tasks.catalog import BUILT_IN, find_task

PNG, WAV = b"\x89PNG\r\n\x1a\n...", b"RIFF...."


def read(takes, *inputs, examples=3):
    predict, _ = bodies(takes, examples)
    return [each.input() for each in predict.model_validate_json(asked(*inputs)).inputs]


def asked(*inputs):
    return json.dumps({"inputs": inputs})


def refused(takes, *inputs, examples=3):
    with pytest.raises(ValidationError) as error:
        read(takes, *inputs, examples=examples)
    return problem(error.value)


def plain(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_task_takes_something_that_can_be_sent(name):
    takes = find_task(name).takes
    assert takes
    assert set(takes) <= set(MEDIA)
    assert len(media_of(takes)) > 1


def test_a_text_or_the_number_of_an_example():
    found = read(("text",), "a", {"text": "b"}, {"index": 2})
    assert found == [Input(text="a"), Input(text="b"), Input(index=2)]


def test_files_are_known_by_how_they_begin():
    [found] = read(("image", "sound", "text"), {"image": plain(PNG), "sound": plain(WAV)})
    assert found.files == {"image": (".png", PNG), "sound": (".wav", WAV)}
    for start, suffix in ((b"\xff\xd8\xff", ".jpg"), (b"whatever", ".png")):
        [found] = read(("image",), {"image": plain(start)})
        assert found.files["image"] == (suffix, start)
    [found] = read(("sound",), {"sound": plain(b"fLaC...")})
    assert found.files["sound"][0] == ".flac"


@pytest.mark.parametrize("text", ["?", "aGk", "aGk=\n", "aG k=", "data:image/png;base64,aGk=", "é"])
def test_a_file_that_is_not_base64(text):
    words = "inputs.0.image: a file must be written in base64, got something else"
    assert refused(("image",), {"image": text}) == words


def test_a_text_is_none_where_files_are_taken():
    assert refused(("image",), "/etc/passwd").startswith("inputs.0 must be as /openapi.json says")
    assert "inputs.0.text must be as" in refused(("image",), {"text": "x"})


def test_rows_become_a_table():
    rows = [{"date": "2026-07-01", "load": 1.5}, {"date": "2026-07-02", "load": None}]
    [found] = read(("rows",), {"rows": rows})
    assert found.files["rows"] == (".csv", b"date,load\n2026-07-01,1.5\n2026-07-02,\n")
    [found] = read(("rows",), {"table": "date\tload\n1\t2\n"})
    assert found.files["rows"] == (".tsv", b"date\tload\n1\t2\n")
    [found] = read(("rows",), {"table": "date,load\n1,2\n"})
    assert found.files["rows"][0] == ".csv"
    words = "inputs.0.rows: rows must have equal columns, got others in row "
    for other in ({"load": 1, "date": "x"}, {"date": "x"}, {}):
        assert refused(("rows",), {"rows": [rows[0], other]}) == f"{words}1"
    assert refused(("rows",), {"rows": [{}]}) == f"{words}0"
    assert "must be as" in refused(("rows",), {"rows": []})
    assert "must be as" in refused(("rows",), {"rows": [{"a": [1]}]})


@pytest.mark.parametrize("name", ["x.fa", "/data/x.FASTA", " ../x.fna.gz "])
def test_a_sequence_is_never_the_name_of_a_file(name):
    words = "a sequence must be letters, got the name of a file"
    assert words in refused(("sequence",), name)
    assert words in refused(("sequence",), {"sequence": name})
    with pytest.raises(DataError, match=words):
        of_body("text/plain", name.encode(), ("sequence",))
    assert of_body("text/plain", name.encode(), ("text",)) == Input(text=name)


def test_a_body_is_one_input_of_its_type():
    assert of_body("text/plain", "猫".encode(), ("text",)) == Input(text="猫")
    found = of_body("audio/x-wav", WAV, ("image", "sound", "text"))
    assert found == Input(files={"sound": (".wav", WAV)})
    assert of_body("image/png", PNG, ("sound",)) is None
    with pytest.raises(DataError, match="a text must be UTF-8, got byte 0xff at 1"):
        of_body("text/plain", b"a\xff", ("text",))


def test_what_a_task_parses(tmp_path):
    assert written(Input(text="a"), tmp_path, ("text",)) == "a"
    path = written(Input(files={"image": (".png", PNG)}), tmp_path, ("image",))
    assert (tmp_path / "image.png").read_bytes() == PNG
    assert path == str(tmp_path / "image.png")
    video = written(Input(files={"video": (".npz", b"PK")}), tmp_path, ("video",))
    assert video == f"{tmp_path / 'video.npz'}:0"


def test_of_several_kinds_no_text_can_pass_for_a_path(tmp_path):
    takes = ("image", "sound", "text")
    given = Input(text="image=/etc/passwd")
    assert json.loads(written(given, tmp_path, takes)) == {"text": "image=/etc/passwd"}
    given = Input(files={"sound": (".wav", WAV)}, text="seven")
    found = json.loads(written(given, tmp_path, takes))
    assert found == {"sound": str(tmp_path / "sound.wav"), "text": "seven"}


def test_there_are_no_held_out_examples():
    assert "inputs.0.index must be as" in refused(("text",), {"index": 0}, examples=0)
    words = "inputs.0: an input must have text, got none"
    assert refused(("text",), {}, examples=0) == words
