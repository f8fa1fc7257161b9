import json
import threading

import pytest
from tests.serving.running import Mirror, served, until

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def mirror():
    return Mirror()


@pytest.fixture(scope="module")
def client(mirror):
    with served(mirror, bytes=20_000, queue=8, batch=4, wait=0.0) as client:
        yield client


def line(response):
    """What was said in one line, and that it is one."""
    said = response.json()
    assert list(said) == ["error"]
    assert "\n" not in said["error"]
    return said["error"]


def test_answers_come_in_order(client):
    said = client.post("/predict", json={"inputs": ["ab", {"text": "猫狗"}, {"index": 1}]})
    assert said.status_code == 200
    assert [each["answer"] for each in said.json()["answers"]] == ["ba", "狗猫", "b"]
    assert said.json()["answers"][0] == {"answer": "ba", "data": {"text": "ab"}, "warnings": []}


def test_what_is_no_number_is_null_in_json(client):
    said = client.post("/predict", json={"inputs": ["empty"]})
    assert json.loads(said.text, parse_constant=pytest.fail)["answers"][0]["answer"] is None


def test_a_body_may_be_the_input_itself(client):
    plain = {"content-type": "text/plain; charset=utf-8"}
    said = client.post("/predict", content="三月 a".encode(), headers=plain)
    assert said.json()["answers"][0]["answer"] == "a 月三"


@pytest.mark.parametrize(
    "body, must",
    [
        (b"", "EOF while parsing"),
        (b"{", "EOF while parsing"),
        (b'{"inputs": ["a"]} x', "trailing characters"),
        (b"[1]", "the body must be as /openapi.json says"),
        (b"null", "the body must be as /openapi.json says"),
        (b'{"inputs": []}', "inputs must be as"),
        (b'{"inputs": "a"}', "inputs must be as"),
        (b'{"inputs": [NaN]}', "inputs.0 must be as"),
        (b'{"inputs": [1e999]}', "inputs.0 must be as"),
        (b'{"inputs": [{"text": Infinity}]}', "inputs.0.text must be as"),
        (b'{"inputs": [{"text": null}]}', "inputs.0.text must be as"),
        (b'{"inputs": [{}]}', "inputs.0: an input must have text, or an index alone, got none"),
        (b'{"inputs": [{"text": "a", "index": 1}]}', "got index and text"),
        (b'{"inputs": [{"image": "a"}]}', "inputs.0.image must be as"),
        (b'{"inputs": [{"index": 3}]}', "inputs.0.index must be as"),
        (b'{"inputs": [{"index": -1}]}', "inputs.0.index must be as"),
        (b'{"inputs": ["a"], "beam": 4}', "beam must be as"),
        (b'{"inputs": ["\\ud800"]}', "unexpected end of hex escape"),
        (b'{"inputs": ["\xff"]}', "invalid unicode code point"),
        (b'{"inputs": ' + b"[" * 9_000, "recursion limit"),
        (b'{"a":' * 4_000, "recursion limit"),
        (b'{"inputs": [' + b"9" * 9_000 + b"]}", "number out of range"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(client, body, must):
    for path in ("/predict", "/explain"):
        said = client.post(path, content=body, headers=JSON)
        assert said.status_code == 422
        words = line(said)
        assert len(words) < 400
        if path == "/predict":
            assert must in words


def test_an_input_that_cannot_be_used_is_named_with_its_place(client):
    said = client.post("/predict", json={"inputs": ["good", "bad"]})
    assert (said.status_code, line(said)) == (422, "inputs.1: a text must be good, got 'bad'")
    said = client.post("/predict", json={"inputs": ["bad"]})
    assert line(said) == "a text must be good, got 'bad'"


@pytest.mark.parametrize("kind", [None, "", "text/html", "application/x-www-form-urlencoded", "💥"])
def test_another_content_type(client, kind):
    headers = {} if kind is None else {"content-type": kind.encode()}
    said = client.post("/predict", content=b"a", headers=headers)
    assert said.status_code == 415
    assert line(said).startswith(
        "the content type must be one of application/json, text/plain, got "
    )


def test_a_text_that_is_not_utf8(client):
    said = client.post("/predict", content=b"ab\xff", headers={"content-type": "text/plain"})
    assert (said.status_code, line(said)) == (422, "a text must be UTF-8, got byte 0xff at 2")


def test_a_body_that_is_too_large_is_refused_and_its_sender_sees_why(client):
    said = client.post("/predict", content=b"x" * 5_000_000, headers=JSON)
    assert said.status_code == 413
    assert line(said) == "a body must have at most 20,000 bytes, got 5,000,000"


def test_a_body_without_a_length_is_counted(client):
    parts = (b"x" * 1_000 for _ in range(3_000))
    said = client.post("/predict", content=parts, headers=JSON)
    assert said.status_code == 413
    assert line(said) == "a body must have at most 20,000 bytes, got more"


def test_more_inputs_than_ever_find_room(client):
    said = client.post("/predict", json={"inputs": ["a"] * 9})
    assert said.status_code == 413
    assert line(said) == "a request must have at most 8 inputs, got 9"


def test_a_text_that_is_too_long(client):
    for path, body in (
        ("/predict", {"inputs": ["a", "b" * 10_001]}),
        ("/explain", {"input": "b" * 10_001}),
    ):
        said = client.post(path, json=body)
        assert said.status_code == 413
        assert line(said) == "a text must have at most 10,000 characters, got 10,001"
    assert client.post("/predict", json={"inputs": ["b" * 10_000]}).status_code == 200


def test_options_of_an_explanation(client, mirror):
    mirror.asked.clear()
    body = {"input": "a", "method": "occlusion", "draws": 20, "test": False}
    said = client.post("/explain", json=body)
    assert (said.status_code, line(said)) == (422, "nobody knows")
    plain = {"content-type": "text/plain"}
    client.post("/explain?head=3&test=false&draws=20", content="b", headers=plain)
    first, second = (each.options for each in mirror.asked)
    assert (first.method, first.draws, first.test, first.head) == ("occlusion", 20, False, None)
    assert (second.head, second.draws, second.test) == (3, 20, False)
    said = client.post("/explain?heads=3", content="b", headers=plain)
    assert (said.status_code, line(said)[:19]) == (422, "heads must be as /o")
    said = client.post("/explain", json={"input": "a", "draws": 1e9})
    assert (said.status_code, line(said)[:19]) == (422, "draws must be as /o")
    said = client.post("/explain", json={"input": "a", "paths": 11})
    assert (said.status_code, line(said)[:19]) == (422, "paths must be as /o")
    client.post("/explain?paths=10", content="b", headers=plain)
    assert mirror.asked[-1].options.paths == 10


def test_a_task_that_cannot_be_asked_why(client):
    said = client.post("/explain", json={"input": "odd"})
    assert said.status_code == 422
    assert line(said) == "the task must say why, got one that does not"


@pytest.mark.parametrize(
    "method, path, status", [("GET", "/predict", 405), ("GET", "/docs", 404), ("PUT", "/x", 404)]
)
def test_what_is_not_there(client, method, path, status):
    said = client.request(method, path)
    assert said.status_code == status
    assert line(said) == f"there must be something at {method} {path}, got: {status}"


def test_a_bug_is_500_without_its_inside_and_stands_in_the_log(client, mirror, caplog):
    mirror.wrong = ZeroDivisionError("secret")
    try:
        said = client.post("/predict", json={"inputs": ["a"]})
    finally:
        mirror.wrong = None
    assert said.status_code == 500
    assert line(said) == "this must not happen: the log of the server has it"
    assert "secret" in caplog.text


def test_an_input_that_fills_the_memory(client, mirror):
    mirror.wrong = MemoryError()
    try:
        said = client.post("/predict", json={"inputs": ["a"]})
    finally:
        mirror.wrong = None
    assert said.status_code == 413
    assert line(said) == "an input must fit into memory, got one that does not"


def test_requests_are_counted():
    with served(Mirror(), bytes=100) as client:
        client.post("/predict", json={"inputs": ["a", "b"]})
        client.post("/predict", json={"inputs": ["bad"]})
        client.post("/predict", content=b"x" * 101, headers=JSON)
        lines = client.get("/metrics").text.splitlines()
    for each in (
        'heedful_requests_total{path="/predict",status="200"} 1.0',
        'heedful_refused_total{reason="input"} 1.0',
        'heedful_refused_total{reason="size"} 1.0',
        'heedful_refused_total{reason="queue"} 0.0',
        'heedful_request_seconds_count{path="/predict"} 1.0',
        "heedful_queue_inputs 0.0",
        "heedful_batch_inputs_sum 4.0",  # the first is the one that warms up
    ):
        assert each in lines
    assert any(each.startswith("process_resident_memory_bytes") for each in lines)


def test_it_is_ready_once_it_has_answered():
    mirror = Mirror()
    mirror.gate.clear()
    with served(mirror) as client:
        said = client.get("/healthz")
        assert (said.status_code, said.json()) == (503, {"status": "warming up"})
        mirror.gate.set()
        until(lambda: client.get("/healthz").status_code == 200)
        assert client.get("/healthz").json() == {"status": "ready"}


def at_once(client, count, body):
    """Ask as many times as that, each from a thread; the answers are filled in as they come."""
    said = []

    def ask():
        said.append(client.post("/predict", json=body))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    return said, threads


def test_requests_of_many_callers_are_answered_together():
    mirror = Mirror()
    with served(mirror, batch=8, wait=0.0) as client:
        until(lambda: client.get("/healthz").status_code == 200)
        mirror.gate.clear()
        mirror.entered.clear()
        said, threads = at_once(client, 6, {"inputs": ["ab"]})
        mirror.entered.wait()
        until(lambda: client.server.batcher.depth() + mirror.begun == 6)
        mirror.gate.set()
        for thread in threads:
            thread.join()
    assert [each.json()["answers"][0]["answer"] for each in said] == ["ba"] * 6
    assert sum(mirror.batches) == 6
    assert len(mirror.batches) <= 2


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again():
    mirror = Mirror()
    with served(mirror, queue=3, batch=1, wait=0.0) as client:
        until(lambda: client.get("/healthz").status_code == 200)
        mirror.gate.clear()
        mirror.entered.clear()
        said, threads = at_once(client, 1, {"inputs": ["ab"]})
        mirror.entered.wait()
        until(lambda: not client.server.batcher.depth())
        more, others = at_once(client, 3, {"inputs": ["ab"]})
        until(lambda: client.server.batcher.depth() == 3)
        refused = client.post("/predict", json={"inputs": ["ab"]})
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert line(refused).startswith("at most 3 inputs must wait, got 3")
        assert client.get("/healthz").status_code == 200  # the loop is not blocked
        assert 'reason="queue"} 1.0' in client.get("/metrics").text
        mirror.gate.set()
        for thread in (*threads, *others):
            thread.join()
    assert [each.status_code for each in (*said, *more)] == [200] * 4


def test_an_answer_that_takes_too_long():
    mirror = Mirror()
    with served(mirror, seconds=0.2) as client:
        until(lambda: client.get("/healthz").status_code == 200)
        mirror.gate.clear()
        said = client.post("/predict", json={"inputs": ["ab"]})
        assert said.status_code == 504
        assert line(said) == "an answer must be there within 0.2 seconds, got none so far"
        mirror.gate.set()
        assert client.post("/predict", json={"inputs": ["ab"]}).status_code == 200


def test_a_body_that_does_not_come():
    stopped = threading.Event()

    def drip():
        yield b'{"inputs"'
        stopped.wait(0.6)
        yield b': ["a"]}'

    with served(Mirror(), seconds=0.2) as client:
        said = client.post("/predict", content=drip(), headers=JSON)
        assert said.status_code == 408
        assert line(said) == "a body must arrive in time, got 9 bytes of it"


def test_stopping_it_answers_who_waits_and_takes_nobody_else():
    mirror = Mirror()
    with served(mirror, batch=1, wait=0.0) as client:
        until(lambda: client.get("/healthz").status_code == 200)
        mirror.gate.clear()
        mirror.entered.clear()
        said, threads = at_once(client, 4, {"inputs": ["ab"]})
        mirror.entered.wait()
        until(lambda: client.server.batcher.depth() == 3)
        client.engine.should_exit = True
        until(lambda: not client.engine.servers[0].is_serving())
        mirror.gate.set()
        for thread in threads:
            thread.join()
    assert [each.status_code for each in said] == [200] * 4
    assert json.loads(said[0].content)["answers"][0]["answer"] == "ba"


def test_a_server_that_stops_says_so():
    with served(Mirror()) as client:
        until(lambda: client.get("/healthz").status_code == 200)
        client.server.batcher.close()
        said = client.post("/predict", json={"inputs": ["ab"]})
    assert said.status_code == 503
    assert said.headers["retry-after"] == "1"
    assert line(said) == "a server must be running to be asked, got one that stops"
