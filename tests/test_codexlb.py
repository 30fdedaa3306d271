"""A data folder of codex-lb, early or late, becomes accounts, keys and settings."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask

from desktop import cli
from server.accounts import codexlb
from server.accounts.allowance import SIGN_IN_NEEDED
from server.app import Services, create_app
from server.config import Config
from server.errors import BadRequest
from server.store import db, settings, vault
from tests.auth_server import Provider, access_token, id_token, provider

KEY = Fernet.generate_key()
SECRET = "sk-clb-abcdefghijklmnopqrstuvwxyz0123456789ABCDE"
SCHEMA = """
create table accounts (id text primary key, chatgpt_account_id text, email text, plan_type text,
  access_token_encrypted blob, refresh_token_encrypted blob, id_token_encrypted blob,
  last_refresh datetime, created_at datetime, status text, deactivation_reason text,
  reset_at integer{more});
create table dashboard_settings (id integer primary key, sticky_threads_enabled boolean,
  prefer_earlier_reset_accounts boolean, import_without_overwrite boolean,
  totp_required_on_login boolean, api_key_auth_enabled boolean{settings});
create table api_keys (id text primary key, name text, key_hash text, key_prefix text,
  allowed_models text, expires_at datetime, is_active boolean, created_at datetime,
  last_used_at datetime);
create table api_key_limits (id integer primary key, api_key_id text, limit_type text,
  limit_window text, max_value integer, current_value integer, model_filter text,
  reset_at datetime);
"""


def sealed(text: str, key: bytes = KEY) -> bytes:
    return Fernet(key).encrypt(text.encode())


def put(database: sqlite3.Connection, table: str, **values: Any) -> None:
    marks = ", ".join("?" * len(values))
    names = ", ".join(values)
    database.execute(f"insert into {table} ({names}) values ({marks})", tuple(values.values()))


def account(name: str, key: bytes = KEY, **more: Any) -> dict[str, Any]:
    mail = f"{name}@example.com"
    return {
        "id": f"ws-{name}_12345678",
        "chatgpt_account_id": f"ws-{name}",
        "email": mail,
        "plan_type": "plus",
        "access_token_encrypted": sealed(access_token(name), key),
        "refresh_token_encrypted": sealed(f"refresh-{name}", key),
        "id_token_encrypted": sealed(
            id_token(email=mail, account=f"ws-{name}", user=f"u-{name}"), key
        ),
        "last_refresh": "2026-11-01 10:00:00.123456",
        "created_at": "2026-02-20 00:00:00",
        "status": "active",
        **more,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As a late release leaves it."""
    place = tmp_path / "codex-lb"
    place.mkdir()
    (place / "encryption.key").write_bytes(KEY)
    with closing(sqlite3.connect(place / "store.db")) as database:
        database.execute("pragma journal_mode = wal")
        database.executescript(
            SCHEMA.format(
                more=", alias text, routing_policy text",
                settings=", routing_strategy text, single_account_id text",
            )
        )
        put(database, "accounts", **account("ada", alias="Work", routing_policy="burn_first"))
        put(database, "accounts", **account("bob", status="PAUSED"))
        put(database, "accounts", **account("eve", Fernet.generate_key()))
        put(
            database,
            "dashboard_settings",
            id=1,
            sticky_threads_enabled=0,
            prefer_earlier_reset_accounts=1,
            import_without_overwrite=1,
            totp_required_on_login=1,
            api_key_auth_enabled=1,
            routing_strategy="single_account",
            single_account_id="ws-ada_12345678",
        )
        put(
            database,
            "api_keys",
            id="key-1",
            name="laptop",
            key_hash=hashlib.sha256(SECRET.encode()).hexdigest(),
            key_prefix=SECRET[:15],
            allowed_models=json.dumps(["gpt-5.5"]),
            is_active=1,
            created_at="2026-03-01 00:00:00",
        )
        put(database, "api_keys", id="key-2", name="broken", key_hash="short", is_active=1)
        for kind, window, maximum in (
            ("total_tokens", "weekly", 1000),
            ("cost_usd", "5h", 5),
            ("smiles", "weekly", 9),
        ):
            put(
                database,
                "api_key_limits",
                api_key_id="key-1",
                limit_type=kind,
                limit_window=window,
                max_value=maximum,
                current_value=3,
                reset_at="2020-01-01 00:00:00",
            )
        database.commit()
    return place


@pytest.fixture
def upstream() -> Iterator[Provider]:
    with provider() as fake:
        yield fake


@pytest.fixture
def here(config: Config, upstream: Provider) -> Config:
    base = f"{upstream.url}/backend-api"
    return replace(config, auth_base_url=upstream.url, upstream_base_url=base)


@pytest.fixture
def app(here: Config) -> Iterator[Flask]:
    vault.forget()
    yield create_app(here)
    db.close_databases()
    vault.forget()


def test_everything_is_brought_over(app: Flask, folder: Path) -> None:
    built: Services = app.extensions["brimline"]
    before = {path.name: path.read_bytes() for path in folder.glob("*[!-shmwal]")}
    answer = app.test_client().post("/api/import/codex-lb", json={"folder": str(folder)})
    found = answer.get_json()
    assert answer.status_code == 200, found
    ada, bob, eve = found["accounts"]
    assert (ada["status"], bob["status"], ada["problem"]) == ("active", "paused", None)
    assert (eve["email"], eve["accountId"]) == ("eve@example.com", None)
    assert eve["problem"] == "Its tokens do not open with this key file."
    shown = {each["accountId"]: each for each in built.pool.summaries(db.now_ms(), auth=True)}
    assert len(shown) == 2
    assert shown[ada["accountId"]]["displayName"] == "Work"
    assert shown[ada["accountId"]]["routingPolicy"] == "burn_first"
    assert built.pool.token(ada["accountId"]).access_token == access_token("ada")
    assert found["settings"] == {
        "stickyThreadsEnabled": False,
        "preferEarlierResetAccounts": True,
        "apiKeyAuthEnabled": True,
        "routingStrategy": "single_account",
        "singleAccountId": ada["accountId"],
    }
    assert settings.get("importWithoutOverwrite") is False
    (key,) = found["keys"]
    assert key["problem"] == "One of its limits is of a kind that does not exist here."
    known = built.keys.authenticate(SECRET)
    assert (known.name, known.models) == ("laptop", ("gpt-5.5",))
    assert [(x.rule.measure, x.rule.maximum, x.used) for x in built.keys.get(known.id).limits] == [
        ("total_tokens", 1000, 0),
        ("cost_usd", 5, 0),
    ], "a window that had ended begins afresh"
    assert {p.name: p.read_bytes() for p in folder.glob("*[!-shmwal]")} == before
    built.keys.load()
    assert built.keys.authenticate(SECRET).name == "laptop", "also after a restart"


def test_twice_is_once(app: Flask, folder: Path) -> None:
    built: Services = app.extensions["brimline"]
    client = app.test_client()
    first = client.post("/api/import/codex-lb", json={"folder": str(folder)}).get_json()
    assert not any(each["known"] for each in (*first["accounts"], *first["keys"]))
    ada = first["accounts"][0]["accountId"]
    client.put(f"/api/accounts/{ada}/alias", json={"alias": "Renamed here"})
    theirs, renewed = codexlb.read(folder).accounts[0].sign_in, access_token("renewed")
    assert theirs is not None
    built.pool.sign_in(replace(theirs, access_token=renewed))
    again = client.post("/api/import/codex-lb", json={"folder": str(folder)}).get_json()
    assert [each["known"] for each in again["accounts"]] == [True, True, False]
    assert (again["keys"][0]["known"], again["keys"][0]["problem"]) == (True, None)
    assert again["settings"] == {}, "they stand already"
    assert len(client.get("/api/accounts").get_json()["accounts"]) == 2
    assert built.pool.token(ada).access_token == renewed, "the folder's tokens are used up"
    assert built.pool.summary(ada, db.now_ms())["alias"] == "Renamed here"


def test_an_account_that_needs_a_sign_in_gets_the_one_of_the_folder(
    app: Flask, folder: Path
) -> None:
    built: Services = app.extensions["brimline"]
    client = app.test_client()
    first = client.post("/api/import/codex-lb", json={"folder": str(folder)}).get_json()
    ada = first["accounts"][0]["accountId"]
    built.pool.block(ada, SIGN_IN_NEEDED, 0, "Its sign-in has ended.")
    assert built.pool.summary(ada, db.now_ms())["status"] == SIGN_IN_NEEDED
    again = client.post("/api/import/codex-lb", json={"folder": str(folder)}).get_json()
    assert (again["accounts"][0]["known"], again["accounts"][0]["status"]) == (False, "active")


def test_the_oldest_release_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "encryption.key").write_bytes(KEY + b"\n")
    with closing(sqlite3.connect(tmp_path / "store.db")) as database:
        database.executescript(SCHEMA.format(more="", settings=""))
        made_up = account("ada", chatgpt_account_id="email_0123456789ab", id_token_encrypted=None)
        put(database, "accounts", **made_up)
        put(database, "accounts", **account("bob"))
        database.commit()
    found = codexlb.read(tmp_path)
    assert found.accounts[0].sign_in is None, "nothing says whose it is"
    bob = found.accounts[1]
    assert (bob.email, bob.alias, bob.policy, bob.paused) == ("bob@example.com", None, None, False)
    assert bob.sign_in is not None
    assert bob.sign_in.refreshed_at == 1_793_527_200_123
    assert (found.keys, found.settings) == ((), {})


def test_a_folder_is_read_without_a_trace(folder: Path) -> None:
    assert (folder / "store.db").read_bytes()[18:20] == b"\2\2", "in WAL mode"
    assert not list(folder.glob("store.db-*"))
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(codexlb.read(folder).accounts) == 3
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("shared", [True, False], ids=["while it runs", "after a crash"])
def test_what_waits_beside_the_database_is_read(folder: Path, tmp_path: Path, shared: bool) -> None:
    copy = tmp_path / "copy"
    with closing(sqlite3.connect(folder / "store.db")) as database:
        put(database, "accounts", **account("late"))
        database.commit()
        shutil.copytree(folder, copy)  # with what is in the log only
        if not shared:
            (copy / "store.db-shm").unlink()
        chosen = folder if shared else copy
        before = sorted(path.name for path in chosen.iterdir())
        assert "late@example.com" in {each.email for each in codexlb.read(chosen).accounts}
        assert sorted(path.name for path in chosen.iterdir()) == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_only_be_read(folder: Path) -> None:
    folder.chmod(0o500)
    try:
        assert len(codexlb.read(folder).accounts) == 3
    finally:
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("encryption.key", None, "The key", id="no key"),
        pytest.param("encryption.key", b"short", "not a key", id="not a key"),
        pytest.param("store.db", None, "There is no store.db", id="no database"),
        pytest.param("store.db", b"not a database" * 100, "cannot be read", id="not a database"),
        pytest.param("store.db", b"", "holds no account", id="an empty file"),
    ],
)
def test_a_folder_that_is_none(folder: Path, name: str, content: bytes | None, said: str) -> None:
    for path in folder.glob("store.db-*"):
        path.unlink()
    path = folder / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadRequest, match=said) as caught:
        codexlb.read(folder)
    assert KEY.decode() not in caught.value.message


@pytest.mark.parametrize(
    "given",
    [{}, {"folder": 5}, {"folder": "a\0b"}, {"folder": "x" * 5000}, {"folder": "~nobody-here/x"}],
)
def test_a_question_that_is_not_understood(app: Flask, given: dict[str, Any]) -> None:
    answer = app.test_client().post("/api/import/codex-lb", json=given)
    assert answer.status_code == 422, answer.text


def test_a_folder_nobody_has(app: Flask) -> None:
    answer = app.test_client().post("/api/import/codex-lb", json={"folder": "/nowhere/at/all"})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (
        400,
        "invalid_codex_lb_folder",
    )


def test_the_command_works_without_a_server(
    here: Config, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vault.forget()
    monkeypatch.setenv("BRIMLINE_UPSTREAM_BASE_URL", here.upstream_base_url)
    monkeypatch.setenv("BRIMLINE_AUTH_BASE_URL", here.auth_base_url)
    data = ["--data-dir", str(here.data_dir)]
    assert cli.main([*data, "import", "codex-lb", str(folder)]) == 1, "one account is broken"
    shown = capsys.readouterr().out
    assert "account ada@example.com: active" in shown
    assert "account eve@example.com: Its tokens do not open" in shown
    assert "Do not start codex-lb again" in shown
    assert cli.main([*data, "accounts"]) == 0
    assert "Work" in capsys.readouterr().out
    with closing(sqlite3.connect(folder / "store.db")) as database:
        database.execute("delete from accounts where email = 'eve@example.com'")
        database.commit()
    assert cli.main([*data, "import", "codex-lb", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "account ada@example.com: here already, left as it is" in shown
    assert "Nothing is new" in shown
    assert cli.main([*data, "import", "codex-lb", str(folder / "nothing")]) == 1
    assert "There is no store.db" in capsys.readouterr().err
    vault.forget()
