import pytest
from tests.serving.running import Mirror, served

from heedful.serving.origins import LOCAL


@pytest.fixture(scope="module")
def client():
    with served(Mirror(), hosts=(*LOCAL, "model.example")) as client:
        yield client


@pytest.fixture(scope="module")
def public():
    with served(Mirror()) as client:
        yield client


@pytest.mark.parametrize(
    "host, status",
    [
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8000", 200),
        ("model.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example:8000", 421),
        ("", 421),
    ],
)
def test_names_under_which_it_is_asked(client, public, host, status):
    body = {"inputs": ["ab"]}
    said = client.post("/predict", json=body, headers={"host": host})
    assert said.status_code == status
    if status == 421:
        assert said.json()["error"].endswith(f"model.example, got {host!r}")
    assert public.post("/predict", json=body, headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:1", ""])
def test_a_page_of_somebody_else(client, public, origin):
    for asked in (client, public):
        said = asked.post("/predict", content="ab", headers={"origin": origin})
        assert said.status_code == 403
        assert said.json()["error"] == (
            f"a page must be of this server to ask it, got one of {origin!r}"
        )


def test_its_own_page(client):
    host = client.base_url.netloc.decode()
    own = {"origin": f"http://{host}"}
    assert client.post("/predict", json={"inputs": ["ab"]}, headers=own).status_code == 200
