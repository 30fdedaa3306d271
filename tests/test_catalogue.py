"""The models of all accounts as one list, and what is said while nobody has been asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.auth.keys import Draft
from server.config import Config
from server.proxy import catalogue
from server.store import settings
from tests.rig import Rig, running, wait_until
from tests.upstream import refusal

CODEX_MODELS = "/backend-api/codex/models?client_version=0.169.0"
SOL = {"slug": "gpt-6.1-sol", "display_name": "Sol", "priority": 1, "base_instructions": "You…"}
LUNA = {"slug": "gpt-6-luna", "priority": 2, "visibility": "list", "new_field": {"a": [1]}}
HIDDEN = {"slug": "codex-auto-review", "priority": 3, "visibility": "hide"}


@pytest.fixture
def rig(config: Config, database: None) -> Iterator[Rig]:
    with running(config) as found:
        found.provider.models = [LUNA, SOL, HIDDEN]
        yield found


def asked(rig: Rig) -> list[Any]:
    return [r for r in rig.provider.received if r.path.endswith("/models")]


def test_codex_gets_the_providers_models_unchanged(rig: Rig) -> None:
    for path in (CODEX_MODELS, "/v1/models?client_version=0.169.0"):
        reply = rig.get(path)
        assert reply.json["models"] == [SOL, LUNA, HIDDEN]
    (request,) = asked(rig)
    assert request.path == "/backend-api/codex/models"
    assert request.headers["chatgpt-account-id"] in rig.accounts


def test_one_tag_is_on_every_answer(rig: Rig) -> None:
    tag = rig.get(CODEX_MODELS).headers["etag"]
    assert rig.get(CODEX_MODELS).headers["etag"] == tag
    assert rig.send().headers["x-models-etag"] == tag
    rig.provider.play(refusal(400, "x"))
    assert rig.send().headers["x-models-etag"] == tag
    rig.proxy.refresh_models()
    assert rig.get(CODEX_MODELS).headers["etag"] == tag, "nothing changed"
    rig.provider.models = [SOL]
    rig.proxy.refresh_models()
    assert rig.get(CODEX_MODELS).headers["etag"] != tag


@pytest.mark.parametrize("path", [CODEX_MODELS, "/v1/models", "/backend-api/codex/models"])
def test_a_list_that_the_client_has_is_not_sent_again(rig: Rig, path: str) -> None:
    tag = rig.get(path).headers["etag"]
    for given in (tag, f"W/{tag}", f'"old", {tag}', "*"):
        reply = rig.get(path, if_none_match=given)
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    for given in ('"old"', "", "x", ",,"):
        assert rig.get(path, if_none_match=given).status == 200
    rig.provider.models = [SOL]
    rig.proxy.refresh_models()
    reply = rig.get(path, if_none_match=tag)
    assert (reply.status, len(reply.json["data"])) == (200, 1), "there is news"


def test_what_a_key_may_see_has_a_tag_of_its_own(rig: Rig) -> None:
    settings.change({"apiKeyAuthEnabled": True})
    keys = rig.proxy._gate.keys
    whole, part = (
        {"authorization": f"Bearer {keys.create(Draft('x', models))[1]}"}
        for models in (None, ("gpt-6-luna",))
    )
    tag = rig.get("/v1/models", **whole).headers["etag"]
    reply = rig.get("/v1/models", if_none_match=tag, **part)
    assert (reply.status, [each["id"] for each in reply.json["data"]]) == (200, ["gpt-6-luna"])
    own = reply.headers["etag"]
    assert rig.get("/v1/models", if_none_match=own, **part).status == 304
    codex = rig.get(CODEX_MODELS, **part)
    assert codex.headers["etag"] == rig.get(CODEX_MODELS, **whole).headers["etag"], "the pool's"
    again = rig.get(CODEX_MODELS, if_none_match=codex.headers["etag"], **part)
    assert again.status == 200, "a key's part of it is not known by the pool's tag"


def test_others_get_the_openai_list(rig: Rig) -> None:
    rig.proxy.refresh_models()
    for path in ("/v1/models", "/backend-api/codex/models"):
        body = rig.get(path).json
        assert body["object"] == "list"
        assert [entry["id"] for entry in body["data"]] == ["gpt-6.1-sol", "gpt-6-luna"]
        assert {entry["object"] for entry in body["data"]} == {"model"}
        assert {"created", "owned_by"} <= set(body["data"][0])


def test_offline_others_get_the_shipped_list(config: Config, database: None) -> None:
    with running(config, ()) as rig:
        ids = [entry["id"] for entry in rig.get("/v1/models").json["data"]]
        assert "gpt-5.5" in ids
        assert "codex-auto-review" not in ids
        assert {"id": "gpt-5.5", "name": "GPT-5.5"} in rig.proxy.models()


def test_offline_codex_is_sent_to_its_own_list(config: Config, database: None) -> None:
    """The shipped list has no instructions in it; with the plain list Codex takes its bundled."""
    with running(config, ()) as rig:
        reply = rig.get(CODEX_MODELS)
        assert (reply.status, "models" in reply.json) == (200, False)
        plain = rig.get("/v1/models")
        assert reply.json == plain.json and reply.json["object"] == "list"
        assert reply.headers["etag"] == plain.headers["etag"], "every list has a tag"
        assert "x-models-etag" not in rig.send().headers


@pytest.mark.parametrize(
    "models",
    [
        pytest.param([], id="none"),
        pytest.param(["x", {"slug": 5}, None], id="nonsense"),
    ],
)
def test_a_bad_answer_keeps_what_was_known(rig: Rig, models: list[Any]) -> None:
    rig.proxy.refresh_models()
    rig.provider.models = models
    rig.proxy.refresh_models()
    assert rig.get(CODEX_MODELS).json["models"] == [SOL, LUNA, HIDDEN]


def test_a_silent_provider_is_not_asked_by_every_client(rig: Rig) -> None:
    rig.provider.models = []
    for _ in range(3):
        assert rig.get(CODEX_MODELS).status == 200
    assert len(asked(rig)) == 2, "two accounts of the plan, once each"


def test_paused_accounts_are_not_asked(rig: Rig) -> None:
    for account in rig.accounts.values():
        rig.pool.pause(account)
    rig.proxy.refresh_models()
    assert not asked(rig)


def test_a_newer_client_is_believed(rig: Rig) -> None:
    rig.get("/v1/models?client_version=0.200.1")
    rig.get("/v1/models?client_version=%0d%0aX-Evil:1")
    wait_until(lambda: asked(rig), "the question")
    rig.proxy.refresh_models()
    assert rig.proxy._catalogue._version == "0.200.1"


def test_the_shipped_list_is_whole() -> None:
    models = catalogue.shipped()
    assert len(models) >= 10
    assert all(model["display_name"] and model["slug"] for model in models)


def test_the_documents_name_models_that_there_are() -> None:
    root = Path(__file__).resolve().parent.parent
    known = {model["slug"] for model in catalogue.shipped()}
    for document in (root / "README.md", *(root / "docs").glob("*.md")):
        text = document.read_text(encoding="utf-8")
        named = {found.rstrip(".") for found in re.findall(r"\bgpt-\d[\w.-]*", text)}
        assert named <= known, document.name
