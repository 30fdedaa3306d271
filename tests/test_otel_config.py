"""The [otel] section of a config.toml: added once, never over the user's own, and undone."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import BadRequest, Conflict
from server.ingest.connect import logs_endpoint, state, with_otel, without_otel

HERE = "http://127.0.0.1:2455/otlp/v1/logs"
TEXTS = [
    pytest.param("", id="an empty file"),
    pytest.param('model = "gpt-5.5"\n', id="a key"),
    pytest.param('model = "gpt-5.5"', id="no end of line"),
    pytest.param('model = "x"\r\n[analytics]\r\nenabled = false\r\n', id="Windows lines"),
    pytest.param('model = "x"\r\n[analytics]\r\nenabled = false', id="Windows lines, no end"),
    pytest.param("[a]\nb = 1\n\n\n# the end\n\n", id="blank lines at the end"),
    pytest.param("# otel = true\n", id="only a comment speaks of it"),
    pytest.param("[profiles.x.otel]\na = 1\n", id="another table's otel"),
    pytest.param('s = """\n[otel]\n"""\n', id="a text that looks like it"),
    pytest.param("\n", id="one blank line"),
]


@pytest.mark.parametrize("text", TEXTS)
def test_it_is_added_and_undone_byte_for_byte(text: str) -> None:
    done = with_otel(text, HERE)
    assert done.startswith(text)
    assert tomllib.loads(done)["otel"] == {
        "log_user_prompt": False,
        "log_sse_deltas": False,
        "tool_result": {"max_bytes": 0},
        "exporter": {"otlp-http": {"endpoint": HERE, "protocol": "binary"}},
        "metrics_exporter": "none",
        "trace_exporter": "none",
    }
    assert ("\n" in done.replace("\r\n", "")) == ("\r\n" not in text)
    assert (state(text), state(done)) == ("absent", "ours")
    assert without_otel(done) == text
    assert without_otel(text) == text


@pytest.mark.parametrize("text", TEXTS)
def test_twice_is_once_with_the_new_address(text: str) -> None:
    again = with_otel(with_otel(text, HERE), "http://127.0.0.1:9/otlp/v1/logs")
    assert again == with_otel(text, "http://127.0.0.1:9/otlp/v1/logs")
    assert without_otel(again) == text


@pytest.mark.parametrize("text", TEXTS)
def test_what_the_user_adds_afterwards_stays(text: str) -> None:
    undone = without_otel(with_otel(text, HERE) + "[later]\nx = 1\n")
    assert tomllib.loads(undone) == {**tomllib.loads(text), "later": {"x": 1}}


@pytest.mark.parametrize("text", TEXTS)
def test_what_codex_writes_before_our_end_stays(text: str) -> None:
    # Codex keeps a file's last comment last, and that is our end.
    end = "# <<< brimline telemetry <<<"
    done = with_otel(text, HERE).replace(end, f'\n[mcp_servers.a]\nargs = ["x"]\n{end}')
    undone = tomllib.loads(without_otel(done))
    assert undone == {**tomllib.loads(text), "mcp_servers": {"a": {"args": ["x"]}}}


def test_a_key_of_the_users_own_keeps_its_section() -> None:
    done = with_otel("a = 1\n", HERE).replace("tool_result", 'environment = "dev"\ntool_result')
    assert without_otel(done) == 'a = 1\n[otel]\nenvironment = "dev"\n'


OURS = {
    "log_user_prompt": False,
    "log_sse_deltas": False,
    "tool_result": {"max_bytes": 0},
    "exporter": {"otlp-http": {"endpoint": HERE, "protocol": "binary"}},
    "metrics_exporter": "none",
    "trace_exporter": "none",
}
THEIRS = {"otlp-http": {"endpoint": "https://their.example", "protocol": "json"}}
LINE = 'exporter = { otlp-http = { endpoint = "https://their.example", protocol = "json" } }'
TABLE = (
    '[otel.exporter."otlp-http"]\nendpoint = "https://their.example"\n\n'
    '[otel.exporter."otlp-http".headers]\nkey = "theirs"\n\n[tui]\nanimations = false\n'
)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param('[otel]\nenvironment = "prod"', {"environment": "prod"}, id="another key"),
        pytest.param('[otel]\nexporter = "none"\n', {}, id="nothing is sent"),
        pytest.param('x = 1\r\n[otel]\r\nexporter = "none"\r\n', {}, id="Windows lines"),
        pytest.param("[otel]", {}, id="a header without an end"),
        pytest.param('s = """\n[otel]\n"""\n[otel]\n', {}, id="a text that looks like it first"),
        pytest.param('["otel"] # mine\n\n[z]\na = 1\n', {}, id="in quotes, amid others"),
        pytest.param("[otel]\nlog_user_prompt = false\n", {}, id="a value as ours"),
        pytest.param(
            f"[otel]\ntrace_{LINE}\n[a]\n", {"trace_exporter": THEIRS}, id="traces elsewhere"
        ),
        pytest.param(
            '[otel.metrics_exporter."otlp-http"]\nendpoint = "https://their.example"\n'
            'protocol = "json"\n',
            {"metrics_exporter": THEIRS},
            id="metrics elsewhere, no header",
        ),
    ],
)
def test_a_section_that_sends_no_logs_is_joined(text: str, kept: dict[str, object]) -> None:
    done = with_otel(text, HERE)
    rest = {key: value for key, value in tomllib.loads(text).items() if key != "otel"}
    assert tomllib.loads(done) == {**rest, "otel": {**OURS, **kept}}
    assert state(done) == "ours"
    assert with_otel(done, HERE) == done
    assert without_otel(done) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param(f'[otel]\nenvironment = "dev"\n{LINE}\n', {"environment": "dev"}, id="a line"),
        pytest.param(f"[otel]\n{LINE}", {}, id="a last line without an end"),
        pytest.param("[otel]\nlog_user_prompt = true\n[b]\n", {}, id="prompts too"),
        pytest.param(TABLE, {}, id="tables"),
        pytest.param(f'[otel]\nenvironment = "a"\n{TABLE}', {"environment": "a"}, id="both"),
        pytest.param('[otel]\nexporter.otlp-http.endpoint = "x"\n', {}, id="dotted keys"),
    ],
)
def test_what_leads_elsewhere_is_put_aside_with_consent(text: str, kept: dict[str, object]) -> None:
    with pytest.raises(Conflict) as refused:
        with_otel(text, HERE)
    assert refused.value.code == "config_has_other_value"
    assert "--replace" in str(refused.value) and "their.example" not in str(refused.value)
    done = with_otel(text, HERE, replace=True)
    rest = {key: value for key, value in tomllib.loads(text).items() if key != "otel"}
    assert tomllib.loads(done) == {**rest, "otel": {**OURS, **kept}}
    assert with_otel(done, HERE, replace=True) == done
    assert with_otel(done, HERE) == done, "what was put aside is asked for once"
    assert without_otel(done) == text


def test_what_came_after_the_consent_is_asked_for() -> None:
    done = with_otel(f"[otel]\n{LINE}\n", HERE, replace=True)
    own = "\n".join(
        "log_user_prompt = true" if line.startswith("log_user_prompt") else line
        for line in done.splitlines()
        if "brimline telemetry >>>" not in line
    )
    with pytest.raises(Conflict) as refused:
        with_otel(own, HERE)
    assert refused.value.code == "config_has_other_value"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('otel.environment = "dev"\n', id="dotted keys"),
        pytest.param("otel = {}\n", id="inline"),
        pytest.param("otel = 1\n", id="no section at all"),
        pytest.param('[otel.tool_result]\nx = """\n[otel]\n"""\n', id="a value over several lines"),
    ],
)
def test_a_section_that_cannot_be_joined_is_left_alone(text: str) -> None:
    assert state(text) == "foreign"
    with pytest.raises(Conflict, match="cannot add to them"):
        with_otel(text, HERE, replace=True)


@pytest.mark.parametrize("text", ["[", 's = """', "a = 1\na = 2\n", "[[" * 5000])
def test_what_is_not_toml_is_left_alone(text: str) -> None:
    assert state(text) == "broken"
    with pytest.raises(BadRequest, match="not valid TOML"):
        with_otel(text, HERE)


def test_a_token_goes_along() -> None:
    done = tomllib.loads(with_otel("", HERE, 'to"ken'))
    headers = done["otel"]["exporter"]["otlp-http"]["headers"]
    assert headers == {"authorization": 'Bearer to"ken'}


def test_the_address_is_used_as_it_stands_so_it_is_whole() -> None:
    assert logs_endpoint("http://127.0.0.1:2455/") == HERE


@given(st.text(alphabet="ab=\"'[]#.\n\r\t 1{}", max_size=60))
def test_any_toml_comes_back(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    try:
        done = with_otel(text, HERE)
    except (BadRequest, Conflict):
        return
    assert without_otel(done) == text
