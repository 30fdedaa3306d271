"""Clients' configuration as text: pointed at us, recognised, and byte for byte as it was."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import clients, jsonc
from server.clients import Target, Wish, connected, diff, disconnected, snippet, standing
from server.errors import AppError, BadRequest, Conflict

HERE = Target("http://127.0.0.1:2455", models=(("gpt-5.5", "GPT-5.5"), ("gpt-6", "GPT-6")))
KEYED = Target("http://127.0.0.1:2455", keys=True, models=HERE.models)
REPLACE = Wish(replace=True)
BLOCK = Wish(style="provider")

TOMLS = [
    pytest.param("", id="an empty file"),
    pytest.param('model = "gpt-5.5"\n', id="a key"),
    pytest.param('model = "gpt-5.5"', id="no end of line"),
    pytest.param('# mine\n\nmodel = "x" # why\n\n[tui]\na = 1\n', id="comments and a section"),
    pytest.param("[analytics]\r\nenabled = false\r\n", id="Windows lines"),
    pytest.param("[analytics]\r\nenabled = false", id="Windows lines, no end"),
    pytest.param('\ufeffmodel = "x"\n', id="a byte order mark"),
    pytest.param('s = """\n[x]\nopenai_base_url = "no"\n"""\n', id="a text that looks like it"),
    pytest.param('model_provider = "openai"\n', id="the built-in provider by name"),
    pytest.param('tui = { a = 1 }\nmodel_providers.x = { name = "y" }\n', id="inline tables"),
    pytest.param('[otel]\nexporter = "none"\n', id="telemetry of the user's own"),
    pytest.param('[model_providers.azure]\nname = "Azure"\n', id="another provider, not chosen"),
    pytest.param('[[x]]\na = 1\n[[x]]\n\n\n# the end', id="arrays of tables"),
]  # fmt: skip


def toml(text: str) -> dict[str, Any]:
    return tomllib.loads(text.removeprefix("\ufeff"))


@pytest.mark.parametrize("text", TOMLS)
@pytest.mark.parametrize("wish", [Wish(), BLOCK], ids=["one line", "a provider block"])
def test_codex_is_connected_and_comes_back(text: str, wish: Wish) -> None:
    if wish is BLOCK and "model_provider =" in text:
        wish = Wish(style="provider", replace=True)
    done = connected("codex", text, HERE, wish)
    provider, base = clients.codex_route(toml(done))
    assert base == "http://127.0.0.1:2455/v1"
    assert provider == ("openai" if wish.style == "auto" else "brimline")
    ours = {"openai_base_url", "model_provider"}
    kept = {k: v for k, v in toml(text).items() if k != "model_provider"}
    for key, value in kept.items():
        assert toml(done)[key] == value or key == "model_providers"
    assert set(toml(done)) - ours - {"model_providers"} == set(kept) - ours - {"model_providers"}
    assert ("\r\n" in text) == ("\r\n" in done)
    assert text.startswith("\ufeff") == done.startswith("\ufeff")
    assert standing("codex", done, HERE) == "connected"
    assert disconnected("codex", done) == text
    assert connected("codex", done, HERE, wish) == done
    moved = Target("http://127.0.0.1:9000")
    assert standing("codex", done, moved) == "other_address"
    assert connected("codex", connected("codex", done, moved, wish), HERE, wish) == done
    assert disconnected("codex", text) == text


def test_the_line_goes_above_the_first_section() -> None:
    done = connected("codex", '[tui]\na = 1\nopenai_base_url = "mine"\n', HERE)
    assert done.splitlines()[0].startswith('openai_base_url = "http://127.0.0.1:2455/v1"')
    assert toml(done)["tui"]["openai_base_url"] == "mine"


def test_the_block_is_what_codex_needs() -> None:
    block = toml(connected("codex", "", HERE, BLOCK))["model_providers"]["brimline"]
    assert block == {
        "name": "OpenAI",
        "base_url": "http://127.0.0.1:2455/v1",
        "wire_api": "responses",
        "requires_openai_auth": True,
    }
    alone = Target("http://127.0.0.1:2455", signed_in=False)
    block = toml(connected("codex", "", alone, BLOCK))["model_providers"]["brimline"]
    assert set(block) == {"name", "base_url", "wire_api"}


def test_a_demanded_key_is_named_and_never_written() -> None:
    done = connected("codex", "", KEYED)
    assert toml(done)["model_provider"] == "brimline"
    assert toml(done)["model_providers"]["brimline"]["env_key"] == "BRIMLINE_API_KEY"
    assert '"apiKey": "{env:BRIMLINE_API_KEY}"' in connected("opencode", "", KEYED)
    assert '"apiKey": "${BRIMLINE_API_KEY}"' in connected("openclaw", "", KEYED)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('openai_base_url = "https://eu.example.com/v1"\n', id="another address"),
        pytest.param('a = 1\nmodel_provider = "azure" # why\n[model_providers.azure]\nname = "A"\n',
                     id="another provider"),
        pytest.param('"openai_base_url"="x"\r\nmodel_provider="codex-lb"\r\n', id="both"),
        pytest.param('openai_base_url = "http://127.0.0.1:2456/v1"', id="another port"),
        pytest.param('s = """\nopenai_base_url = 1\n"""\nopenai_base_url = "x"', id="a decoy"),
    ],
)  # fmt: skip
def test_what_leads_elsewhere_is_put_aside_only_with_consent(text: str) -> None:
    assert standing("codex", text, HERE) == "elsewhere"
    with pytest.raises(Conflict, match="leads elsewhere"):
        connected("codex", text, HERE)
    done = connected("codex", text, HERE, REPLACE)
    assert clients.points_here(clients.codex_route(toml(done))[1], HERE)
    assert toml(text).get("model_providers") == toml(done).get("model_providers")
    assert disconnected("codex", done) == text


def test_a_value_over_several_lines_is_left_alone() -> None:
    with pytest.raises(Conflict, match="several lines"):
        connected("codex", 'openai_base_url = """\nx"""\n', HERE, REPLACE)


def test_providers_in_one_line_are_left_alone() -> None:
    with pytest.raises(Conflict, match="by hand"):
        connected("codex", 'model_providers = { x = { name = "y" } }\n', HERE, BLOCK)


def test_a_provider_of_that_name_is_left_alone() -> None:
    with pytest.raises(Conflict, match="Rename it"):
        connected("codex", '[model_providers.brimline]\nname = "x"\n', HERE, BLOCK)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('openai_base_url = "http://localhost:2455/v1/"\n', id="the line"),
        pytest.param('model_provider = "x"\n[model_providers.x]\n'
                     'base_url = "http://127.0.0.1:2455/backend-api/codex"\n', id="a block"),
    ],
)  # fmt: skip
def test_lines_of_the_users_own_that_lead_here_stay(text: str) -> None:
    assert standing("codex", text, HERE) == "by_hand"
    assert connected("codex", text, HERE) == text
    assert disconnected("codex", text) == text


def test_a_line_of_the_users_own_that_cannot_carry_a_key_gets_a_block() -> None:
    text = 'openai_base_url = "http://127.0.0.1:2455/v1"\n'
    done = connected("codex", text, KEYED, BLOCK)
    assert toml(done)["model_provider"] == "brimline"
    assert disconnected("codex", done) == text


def test_what_the_user_changed_meanwhile_stays() -> None:
    done = connected("codex", 'model = "a"\n[tui]\nx = 1\n', HERE, BLOCK)
    # As Codex writes: keys at the end of the top, sections before the last comment.
    end = "# <<< brimline provider <<<"
    changed = done.replace('"a"\n', '"b"\nnotify = []\n').replace(end, f"\n[mcp.a]\ny = 1\n{end}")
    undone = disconnected("codex", changed)
    assert undone == 'model = "b"\nnotify = []\n[tui]\nx = 1\n\n[mcp.a]\ny = 1\n'


@pytest.mark.parametrize("text", ["[", "a = 1\na = 2\n", "[[" * 5000, "\x00"])
@pytest.mark.parametrize("client", ["codex", "telemetry"])
def test_broken_toml_is_left_alone(client: str, text: str) -> None:
    assert standing(client, text, HERE) == "broken"
    with pytest.raises(BadRequest, match="not valid TOML"):
        connected(client, text, HERE)


@given(st.text(alphabet="ab=\"'[]#.\n\r\t 1{}", max_size=60))
def test_any_toml_comes_back(text: str) -> None:
    for wish in (Wish(), BLOCK):
        try:
            done = connected("codex", text, HERE, wish)
        except AppError:
            continue
        assert disconnected("codex", done) == text


def test_telemetry_stands_for_itself() -> None:
    both = connected("telemetry", connected("codex", "a = 1\n", HERE), HERE)
    assert standing("telemetry", both, HERE) == "connected"
    assert standing("telemetry", both, Target("http://127.0.0.1:9")) == "other_address"
    assert disconnected("telemetry", disconnected("codex", both)) == "a = 1\n"
    assert disconnected("codex", disconnected("telemetry", both)) == "a = 1\n"
    assert standing("telemetry", '[otel]\nexporter = "none"\n', HERE) == "absent"
    assert standing("telemetry", '[otel.exporter.x]\nendpoint = "y"\n', HERE) == "elsewhere"
    own = '[otel.exporter."otlp-http"]\nendpoint = "http://127.0.0.1:2455/otlp/v1/logs"\n'
    assert standing("telemetry", own, HERE) == "by_hand"


def test_telemetry_beyond_this_computer_needs_the_token() -> None:
    here = Target("http://192.168.0.2:2455", token="t" * 32)
    done = connected("telemetry", "", here)
    assert "t" * 32 in done
    assert "t" * 32 not in diff("", done, "config.toml")
    with pytest.raises(Conflict, match="BRIMLINE_ADMIN_API_TOKEN"):
        connected("telemetry", "", Target("http://192.168.0.2:2455", token=""))


JSONS = [
    pytest.param('{\n  "$schema": "https://opencode.ai/config.json"\n}\n', id="only a schema"),
    pytest.param('{\n\t// mine\n\t"theme": "dark", /* why */\n\t"x": [1,],\n}\n', id="comments"),
    pytest.param('{"theme": "dark"}', id="one line"),
    pytest.param('\ufeff{\r\n    "theme": "dark"\r\n}', id="Windows"),
    pytest.param('{\n  "models": {\n    "mode": "replace"\n  }\n}\n', id="an object on the way"),
]


@pytest.mark.parametrize("text", JSONS)
@pytest.mark.parametrize("client", ["opencode", "openclaw"])
def test_json_clients_are_connected_and_come_back(client: str, text: str) -> None:
    assert standing(client, text, HERE) == "absent"
    done = connected(client, text, HERE)
    found = jsonc.read(done)
    ours, model = (
        (found["provider"]["brimline"], found["model"])
        if client == "opencode"
        else (
            found["models"]["providers"]["brimline"],
            found["agents"]["defaults"]["model"]["primary"],
        )
    )
    assert "http://127.0.0.1:2455/v1" in str(ours)
    assert model == "brimline/gpt-5.5"
    assert standing(client, done, HERE) == "connected"
    assert connected(client, done, HERE) == done
    assert disconnected(client, done, text) == text
    assert disconnected(client, done) == text
    assert standing(client, done, Target("http://127.0.0.1:9")) == "other_address"


def test_a_chosen_model_is_replaced_only_with_consent() -> None:
    text = '{\n  "model": "anthropic/x" // mine\n}'
    assert jsonc.read(connected("opencode", text, HERE))["model"] == "anthropic/x"
    done = connected("opencode", text, HERE, REPLACE)
    assert jsonc.read(done)["model"] == "brimline/gpt-5.5"
    assert disconnected("opencode", done, text) == text


def test_openclaw_reads_json5() -> None:
    text = "{\n  // mine\n  agents: { defaults: { model: 'openai/x' } },\n}\n"
    done = connected("openclaw", text, HERE)
    assert "model: 'openai/x'" in done
    assert disconnected("openclaw", done, text) == text
    done = connected("openclaw", text, HERE, REPLACE)
    model = jsonc.read(done, five=True)["agents"]["defaults"]["model"]
    assert model == {"primary": "brimline/gpt-5.5"}
    undone = disconnected("openclaw", done, text)
    assert jsonc.read(undone, five=True) == jsonc.read(text, five=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('{"provider": [', "not valid JSON", id="cut off"),
        pytest.param("[]", "does not hold an object", id="not an object"),
        pytest.param('{"provider": []}', "provider", id="another shape"),
        pytest.param('{"enabled_providers": ["openai"]}', "Add “brimline” to it", id="hidden"),
        pytest.param('{"disabled_providers": ["brimline"]}', "out of it", id="turned off"),
    ],
)
def test_what_cannot_be_changed_is_said(text: str, said: str) -> None:
    with pytest.raises(AppError, match=said):
        connected("opencode", text, HERE)


def test_snippets_are_whole_files() -> None:
    assert toml(snippet("codex", HERE))["openai_base_url"] == "http://127.0.0.1:2455/v1"
    assert "env_key" in toml(snippet("codex", KEYED))["model_providers"]["brimline"]
    assert "otel" in toml(snippet("telemetry", HERE))
    assert jsonc.read(snippet("opencode", HERE))["model"] == "brimline/gpt-5.5"
    assert 'OPENAI_BASE_URL="http://127.0.0.1:2455/v1"' in snippet("environment", HERE)


def test_a_diff_shows_the_change_and_no_secret() -> None:
    secrets = 'api_key = "hush-1"\nurl = "https://u:hush-2@x/"\nt = "sk-proj-hush-3-hush-3"\n'
    text = secrets + 'h = { "Authorization" = "Bearer hush-4" }\nopenai_base_url = "mine"\n'
    shown = diff(text, connected("codex", text, HERE, REPLACE), "config.toml")
    assert "hush" not in shown
    assert '+openai_base_url = "http://127.0.0.1:2455/v1"' in shown
    assert '-openai_base_url = "mine"' in shown
    keyed = diff("", connected("codex", "", KEYED), "config.toml")
    assert '+env_key = "BRIMLINE_API_KEY"' in keyed


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:2455/v1", True),
        ("http://localhost:2455/v1/", True),
        ("http://[::1]:2455/backend-api/codex", True),
        ("http://127.0.0.1:2456/v1", False),
        ("https://127.0.0.1:2455/v1", False),
        ("http://127.0.0.1:2455/", False),
        ("http://example.com:2455/v1", False),
        ("http://127.0.0.1:x/v1", False),
        ("http://[", False),
        (None, False),
        (5, False),
    ],
)
def test_an_address_is_ours(url: Any, here: bool) -> None:
    assert clients.points_here(url, HERE) is here
