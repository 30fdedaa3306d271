"""Why requests would go past us: one row a reason, each with its mend."""

from __future__ import annotations

from typing import Any

import pytest

from server.clients import Target, Wish, connected
from server.doctor import Facts, findings, healthy

HERE = Target("http://127.0.0.1:2455")
KEYED = Target("http://127.0.0.1:2455", keys=True)
LINE = 'openai_base_url = "http://127.0.0.1:2455/v1"\n'
BLOCK = (
    'model_provider = "x"\n[model_providers.x]\nname = "OpenAI"\nwire_api = "responses"\n'
    'base_url = "http://127.0.0.1:2455/v1"\n'
)


def codes(config: str | None = LINE, **facts: Any) -> list[str]:
    known = {"target": HERE, "running": True, "environ": {}, "signed_in": True, **facts}
    found = findings(Facts(config=config, **known))
    assert all(each.text and each.mend for each in found)
    return [each.code for each in found]


@pytest.mark.parametrize(
    ("config", "facts", "expected"),
    [
        pytest.param(LINE, {}, [], id="all is well with the line"),
        pytest.param(BLOCK + 'env_key = "K"\n', {"environ": {"K": "any"}}, [], id="and a block"),
        pytest.param(LINE, {"running": False}, ["server_not_running"], id="no server"),
        pytest.param(LINE, {"running": False, "stranger": True}, ["other_server"],
                     id="one of another data folder"),
        pytest.param(LINE, {"running": None, "environ": None, "signed_in": None}, [], id="unknown"),
        pytest.param(None, {}, ["not_connected"], id="no file"),
        pytest.param("", {}, ["not_connected"], id="an empty file"),
        pytest.param("", {"environ": {"OPENAI_BASE_URL": "http://127.0.0.1:2455/v1"}},
                     ["not_connected", "base_url_variable"], id="a variable that Codex ignores"),
        pytest.param("[", {}, ["config_broken"], id="not TOML"),
        pytest.param(None, {"problem": "It is a folder."}, ["config_unusable"], id="unusable"),
        pytest.param(LINE.replace("2455", "2456"), {}, ["other_port"], id="another port"),
        pytest.param('openai_base_url = "https://eu.x/v1"', {}, ["elsewhere"], id="elsewhere"),
        pytest.param('openai_base_url = "http://["', {}, ["elsewhere"], id="no address at all"),
        pytest.param('model_provider = "x"', {}, ["provider_missing"], id="no such provider"),
        pytest.param(LINE + 'profile = "p"\n', {}, ["legacy_profile"], id="a legacy profile"),
        pytest.param(LINE + 'chatgpt_base_url = "http://localhost:2455/backend-api"', {},
                     ["chatgpt_base_url"], id="chatgpt_base_url at the proxy"),
        pytest.param('chatgpt_base_url = "http://127.0.0.1:2455"', {},
                     ["not_connected", "chatgpt_base_url"], id="it alone does not lead here"),
        pytest.param(LINE + 'chatgpt_base_url = "https://chatgpt.com/backend-api"', {}, [],
                     id="chatgpt_base_url elsewhere"),
        pytest.param(BLOCK.replace("OpenAI", "openai"), {}, ["provider_name"], id="the name"),
        pytest.param(BLOCK + "supports_websockets = true\n", {}, ["websockets"], id="WebSockets"),
        pytest.param(LINE.replace("/v1", "/backend-api/codex"), {}, ["codex_path"], id="its path"),
        pytest.param(LINE, {"environ": {"HTTP_PROXY": "http://p"}}, ["http_proxy"], id="a proxy"),
        pytest.param(LINE, {"environ": {"HTTP_PROXY": "http://p", "no_proxy": "x, 127.0.0.1"}}, [],
                     id="a proxy that is told to leave us"),
        pytest.param(LINE, {"environ": {"ALL_PROXY": "http://p", "NO_PROXY": "*"}}, [],
                     id="and to leave all"),
        pytest.param(LINE, {"environ": {"HTTPS_PROXY": "http://p"}}, [], id="for https alone"),
        pytest.param(BLOCK + 'env_key = "K"\n', {}, ["env_key_unset"], id="the key is not set"),
        pytest.param(BLOCK + 'env_key = "K"\n', {"environ": None}, [], id="who knows"),
        pytest.param(LINE, {"signed_in": False}, ["auth_missing"], id="not signed in"),
        pytest.param(BLOCK + "requires_openai_auth = true\n", {"signed_in": False},
                     ["auth_missing"],
                     id="nor with a block that asks for it"),
        pytest.param(BLOCK, {"signed_in": False}, [], id="a block that asks for nothing"),
        pytest.param(LINE, {"target": KEYED}, ["key_needed"], id="keys are asked for"),
        pytest.param(LINE, {"others": {"/w/.codex/config.toml": 'model_provider = "y"'}},
                     ["project_config"], id="a project's file"),
        pytest.param(LINE, {"others": {"/h/.codex/work.config.toml": 'model_provider = "y"'}},
                     ["profile_elsewhere"], id="a profile's file"),
        pytest.param(LINE, {"others": {"/h/.codex/work.config.toml": LINE}}, [],
                     id="a profile that leads here"),
        pytest.param(LINE, {"others": {"/h/.codex/work.config.toml": "["}}, [], id="a broken one"),
    ],
)  # fmt: skip
def test_a_reason_is_found(config: str | None, facts: dict[str, Any], expected: list[str]) -> None:
    assert codes(config, **facts) == expected


@pytest.mark.parametrize("wish", [Wish(), Wish(style="provider")])
def test_what_we_write_is_healthy(wish: Wish) -> None:
    assert codes(connected("codex", 'model = "x"\n', HERE, wish)) == []


def test_notes_do_not_make_it_ill() -> None:
    assert healthy(findings(Facts(HERE, True, LINE, others={"/w/.codex/config.toml": LINE})))
    assert not healthy(findings(Facts(HERE, False, LINE)))


def test_an_address_is_told_without_its_password() -> None:
    (found,) = findings(Facts(HERE, True, 'openai_base_url = "https://u:hush@x/v1?k=hush"'))
    assert "hush" not in found.text
    assert "https://x/v1" in found.text
