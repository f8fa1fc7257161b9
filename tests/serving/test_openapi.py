import pytest
from tests.serving.running import Mirror, served

from heedful.serving.openapi import REFUSALS


@pytest.fixture(scope="module")
def client():
    with served(Mirror()) as client:
        yield client


def test_what_it_takes_is_described(client):
    said = client.get("/openapi.json").json()
    assert set(said["paths"]) == {"/predict", "/explain", "/healthz", "/metrics"}
    schemas = said["components"]["schemas"]
    assert set(schemas["Input"]["properties"]) == {"text", "index"}
    found = set()

    def follow(node):
        if isinstance(node, dict):
            found.update([node["$ref"]] if "$ref" in node else [])
            node = list(node.values())
        for each in node if isinstance(node, list) else ():
            follow(each)

    follow(said)
    assert {each.removeprefix("#/components/schemas/") for each in found} <= set(schemas)


def test_every_refusal_and_every_content_type_is_described(client):
    said = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    assert set(said["responses"]) == {"200", *map(str, REFUSALS)}
    assert set(said["requestBody"]["content"]) == {"application/json", "text/plain"}
