"""Every kind of secret is taken out of evidence, and what only looks like one stays."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from server.ingest.redact import KINDS, places, redact

A = "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z"  # 32 characters that mean nothing
H = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{A}{A}\n{A}{A}\n{A}==\n-----END RSA PRIVATE KEY-----"
BODY = f"{A}{A}\n" * 4

SECRETS = [
    ("openai_key", f"sk-{A}{A[:16]}", "the old form"),
    ("openai_key", f"sk-proj-{A}-{A}_T3Bl", "of a project"),
    ("openai_key", f"sk-clb-{A}", "ours"),
    ("openai_key", f"sk-or-v1-{H}{H}", "of a reseller"),
    ("anthropic_key", f"sk-ant-api03-{A}-{A}", "Anthropic"),
    ("github_pat", f"github_pat_11{A[:20]}_{A}", "fine-grained"),
    ("github_token", f"ghp_{A}{A[:4]}", "classic"),
    ("github_token", f"ghs_{A}{A[:4]}", "of an action"),
    ("gitlab_token", f"glpat-{A[:20]}", "GitLab"),
    ("aws_access_key", "AKIAIOSFODNN7EXAMPLE", "an id"),
    ("aws_access_key", "ASIAIOSFODNN7EXAMPLE", "a temporary id"),
    ("google_api_key", f"AIza{A}abc", "Google"),
    ("google_oauth", f"ya29.{A}{A}", "an access token"),
    ("google_oauth", f"GOCSPX-{A[:28]}", "a client's secret"),
    ("slack_token", f"xoxb-123456789012-123456789012-{A[:24]}", "of a bot"),
    ("slack_token", f"xapp-1-A0123456789-1234567890123-{H}", "of an app"),
    ("webhook", f"https://hooks.slack.com/services/T012345/B012345/{A[:24]}", "Slack"),
    ("webhook", f"https://discord.com/api/webhooks/123456789/{A}{A}", "Discord"),
    ("stripe_key", f"sk_live_{A}", "live"),
    ("stripe_key", f"rk_test_{A}", "restricted"),
    ("stripe_key", f"whsec_{A}", "of a webhook"),
    ("huggingface_token", f"hf_{A}ab", "Hugging Face"),
    ("registry_token", f"npm_{A}abcd", "npm"),
    ("registry_token", f"pypi-AgEIcHlwaS5vcmc{A}{A}", "PyPI"),
    ("sendgrid_key", f"SG.{A[:22]}.{A}{A[:11]}", "SendGrid"),
    ("bot_token", f"123456789:AA{A}a", "Telegram"),
    ("bot_token", f"M{A[:23]}.{A[:6]}.{A}", "Discord"),
    ("service_token", f"dckr_pat_{A[:27]}", "Docker"),
    ("service_token", f"dop_v1_{H}{H}", "DigitalOcean"),
    ("service_token", f"shpat_{H}", "Shopify"),
    ("service_token", f"hvs.{A}", "Vault"),
    ("azure_key", f"AccountName=x;AccountKey={A}{A}==;EndpointSuffix=y", "a connection"),
    ("azure_key", f"https://x.blob.core.windows.net/c?sv=2024&sig={A}%3D", "a signed address"),
    ("jwt", f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{A}", "signed"),
    ("private_key", PEM, "whole"),
    ("private_key", json.dumps(PEM), "inside JSON"),
    ("private_key", PEM[:80], "without its end"),
    ("private_key", f"{BODY}-----END OPENSSH PRIVATE KEY-----", "without its beginning"),
    ("private_key", f"AGE-SECRET-KEY-1{A.upper()}", "age"),
    ("authorization", f"Authorization: Bearer {H}", "a header"),
    ("authorization", f"authorization: Basic {A}==", "basic"),
    ("authorization", f"-H 'X-Api-Key: {H}'", "a key's header"),
    ("authorization", f"sent bearer {A}", "in a sentence"),
    ("authorization", f"curl -u bob:{A} https://example.com", "curl"),
    ("cookie", f"Cookie: session={H}; theme=dark", "sent"),
    ("cookie", f"Set-Cookie: sid={H}; HttpOnly", "set"),
    ("url_password", f"postgres://app:{A}@db:5432/x", "a database"),
    ("url_password", f"https://x-token:{H}@example.com/a.git", "a remote"),
    ("aws_secret_key", f"aws_secret_access_key = {A}{A[:8]}", "a file"),
    ("assignment", f"DB_PASSWORD={A}", "a variable"),
    ("assignment", f"password: {A[:9]}", "YAML"),
    ("assignment", f'{{"client_secret": "{A}"}}', "JSON"),
    ("assignment", json.dumps({"arguments": json.dumps({"apiKey": A})}), "JSON in JSON"),
    ("assignment", f"const apiKey = '{A}';", "code"),
    ("assignment", f"refresh_token={A}&grant_type=x", "a form"),
    ("assignment", 'passphrase: "four words of mine"', "with spaces"),
    ("option", f"deploy --token {A} --fast", "a command"),
    ("option", "mysql --password 'hunter22'", "short"),
    ("service_token", f"gsk_{A}{A[:20]}", "Groq"),
    ("service_token", f"xai-{A}{A}{A[:16]}", "xAI"),
    ("service_token", f"r8_{A}{A[:5]}", "Replicate"),
    ("service_token", f"ATATT3xFfGF0{A}-{A}_{A}=1A2B3C4D", "Atlassian"),
    ("service_token", f"NRAK-{A.upper()[:27]}", "New Relic"),
    ("service_token", f"key-{H}", "Mailgun"),
    ("service_token", f"SK{H}", "Twilio"),
    ("service_token", f"pul-{H}{H[:8]}", "Pulumi"),
    ("service_token", f"fo1_{A}{A[:11]}", "Fly"),
    ("service_token", f"fm2_{A}{A}", "Fly, newer"),
    ("bot_token", f"MTE4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.{A[:27]}", "Discord, 24 characters"),
    ("bot_token", f"MTE4NjIyNDgzNDcxOTI1MjQ4OA.GabcDe.{A}{A[:6]}", "Discord, 26 characters"),
    ("bot_token", f"MTE4NjIyNDgzNDcxOTI1MjQ4OTA.Gab-cD.{A}{A[:20]}", "Discord, longer"),
    ("password", "machine a.example login bob password hunter22", "netrc, one line"),
    ("password", "machine a\n  login bob\n  password correct-hunter22\n", "netrc, several lines"),
    ("password", json.dumps("machine a\n  login bob\n  password hunter22\n"), "netrc in JSON"),
    ("password", "\n  password hunter22pass\nx", "netrc, the line alone"),
    ("password", "CREATE ROLE app WITH LOGIN PASSWORD 'hunter22'", "SQL, of a role"),
    ("password", "alter user app with password 'hunter22';", "SQL in lower case"),
    ("password", "CREATE USER app IDENTIFIED BY 'hunter22'", "SQL, another dialect"),
    ("password", "psql -c \"... WITH PASSWORD 'hunter22'\"", "SQL, the end alone"),
    ("password", "sshpass -p hunter22 ssh host", "sshpass"),
    ("password", "sshpass -p 'four words of mine' ssh host", "sshpass in quotes"),
    ("password", "sshpass -phunter22 ssh host", "sshpass without a space"),
    ("registry_token", f'{{"auths":{{"r.example":{{"auth":"{A}=="}}}}}}', "docker"),
    ("registry_token", json.dumps(json.dumps({"auth": f"{A}=="})), "docker in JSON in JSON"),
    ("assignment", f"SECRET_KEY = 'django-insecure-{A}$&'", "Django, of a new project"),
    ("assignment", f"SECRET_KEY = '$b({A}^=)%7'", "Django, of odd signs"),
    ("assignment", f'SECRET_KEY = "r8({A}"', "Django, like a call"),
    ("assignment", json.dumps(f'SECRET_KEY="{A}{A}"'), "Django, in JSON"),
    ("assignment", f"SECRET_KEY={A}", "without quotes"),
    ("assignment", f"secret_key_base: {H}{H}", "Rails"),
    ("password", "mysql -u root -phunter22 shop", "MySQL"),
    ("password", "mysqldump -h db -P3306 -p'hunter22' shop", "MySQL, with a port and quotes"),
    ("password", "/usr/bin/mariadb-dump -phunter22 --all-databases", "MariaDB"),
    ("password", json.dumps({"cmd": "mysql -phunter22"}), "MySQL in JSON"),
    ("password", "Passwort: hunter22", "German"),
    ("password", "KENNWORT = 'hunter22'", "German, in code"),
    ("password", "mot de passe\u00a0: hunter22", "French"),
    ("password", "Contraseña: hunter22", "Spanish"),
    ("password", "Senha: hunter22", "Portuguese"),
    ("password", "Пароль: hunter22", "Russian"),
    ("password", "密码：hunter22", "Chinese"),
    ("password", "パスワード: hunter22", "Japanese"),
    ("password", "비밀번호: hunter22", "Korean"),
    ("password", "كلمة المرور: hunter22", "Arabic"),
    ("service_token", f"HRKU-{A[:8]}-{A[:4]}-{A[:4]}-{A[:4]}-{A[:12]}", "Heroku"),
    ("service_token", f"HRKU-AA{A}_{A[:25]}", "Heroku, newer"),
    ("service_token", f"https://{H}@o123456.ingest.us.sentry.io/4501", "a Sentry DSN"),
    ("service_token", f"https://{H}:{H}@sentry.example.com/2", "a Sentry DSN of the old form"),
    ("service_token", f"sntrys_{A}{A}", "Sentry"),
    ("assignment", f"token=&quot;{A}&quot;", "HTML"),
    ("assignment", f"&quot;api_key&quot;: &quot;{A}&quot;", "JSON in HTML"),
    ("assignment", f'api_key=\n    "{A}"', "on the next line"),
    ("assignment", json.dumps(f"api_key =\n  '{A}'"), "on the next line, in JSON"),
    ("assignment", f"password=\n{A[:14]}\nx", "bare on the next line"),
    ("assignment", json.dumps(f"password:\n  {A[:14]}\nuser: me"), "bare there, in JSON"),
    ("assignment", f"password=\n{A[:14]} and more", "on the next line, before other words"),
    ("assignment", f"dbpass={A[:14]}", "in one word"),
    ("assignment", f"DB_PASS={A[:14]}", "a short name"),
    ("assignment", "DB_PASS=opensesame_hunter22", "a variable's, of words"),
    ("assignment", f"SMTP_PASS: {A[:14]}", "a short name in YAML"),
    ("assignment", 'pass = "hunter22"', "the shortest name"),
    ("assignment", json.dumps({"pass": A[:14]}), "the shortest name in JSON"),
    ("assignment", f"smtpPass: '{A[:14]}'", "a short name in code"),
    ("assignment", f"kubectl create secret generic x --from-literal=pw={A[:14]}", "pw"),
    ("assignment", f"OPENAI_KEY={A[:20]}", "a service's key"),
    ("assignment", f"STRIPE_KEY={A}", "another service's"),
    ("assignment", f'"openaiKey": "{A[:20]}"', "a service's key in JSON"),
    ("assignment", f"https://x.example/y?key={A[:30]}", "in an address"),
    ("assignment", f"AUTH = 'https://x.example/y?key={A[:30]}'", "in an address in quotes"),
    ("service_token", f"pplx-{A}{A[:16]}", "Perplexity"),
    ("assignment", "REDIS_AUTH=hunter22", "Redis"),
    ("assignment", f"NPM_AUTH={A[:14]}", "npm"),
    ("assignment", f"//registry.example/:_auth={A[:20]}=", "npm's file"),
    ("assignment", f"auth: {A[:20]}", "any service's"),
    ("authorization", f"https://b.example/x?X-Amz-Date=2026&X-Amz-Signature={H}{H}", "S3"),
    ("password", f"root:$6${A[:16]}${A}{A}./:19000:0:99999:7:::", "/etc/shadow"),
    ("password", f"$2b$12${A}{A[:21]}", "bcrypt"),
    ("password", f"hash=$argon2id$v=19$m=65536,t=3,p=4${A[:22]}${A}", "argon2"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text"), [pytest.param(k, t, id=f"{k}: {why}") for k, t, why in SECRETS]
)
def test_a_secret_is_taken_out(kind: str, text: str) -> None:
    found: Counter[str] = Counter()
    shown = redact(f"before {text} after", found)
    assert f"[redacted {kind}]" in shown
    assert found[kind] == 1, found
    assert shown.startswith("before ")
    for part in (A, H, A[:20], A[:14], A.upper()[:20], "IOSFODNN", "hunter22", "four words"):
        assert part not in shown, part
    assert redact(shown) == shown, "once is enough"


def test_every_kind_has_an_example() -> None:
    assert len(KINDS) >= 24
    assert {kind.name for kind in KINDS} == {kind for kind, _, _ in SECRETS}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("input_tokens=5000 cached_input_tokens: 4000", id="figures of a call"),
        pytest.param('"total_token_usage":{"input_tokens":120}', id="figures in JSON"),
        pytest.param("Original token count: 5120", id="a tool's header"),
        pytest.param("Token budget=200000", id="a budget"),
        pytest.param("max_token=4096", id="a limit"),
        pytest.param("token: 5.3k", id="a rounded count"),
        pytest.param("commit 0123456789abcdef0123456789abcdef01234567", id="a commit"),
        pytest.param(f"sha256:{H}{H}", id="a digest"),
        pytest.param("01a1fbc5-af83-77a1-9bf9-f8b04c619334", id="a thread's id"),
        pytest.param(f"resp_{H}", id="a response's id"),
        pytest.param("def sign_in(password: str, token: str | None) -> None:", id="types"),
        pytest.param('token = os.environ["TOKEN"]', id="read from the environment"),
        pytest.param("password = getpass.getpass()", id="asked for"),
        pytest.param("password=$DB_PASSWORD", id="a variable's name"),
        pytest.param("api_key: ${{ secrets.API_KEY }}", id="a workflow's reference"),
        pytest.param("secret: <your secret>", id="a placeholder"),
        pytest.param("password: null, token: undefined", id="nothing"),
        pytest.param("PWD=/home/dev/project", id="the working folder"),
        pytest.param("risk-assessment-for-the-whole-project-2026", id="sk- within a word"),
        pytest.param("sk-learn-contrib", id="a package"),
        pytest.param("a task-queue-worker", id="another word"),
        pytest.param("the bearer of bad news", id="a bearer"),
        pytest.param("basic authentication is used", id="basic"),
        pytest.param("https://example.com:8080/a@b", id="an address with a port"),
        pytest.param("git@example.com:team/repo.git", id="a remote without a password"),
        pytest.param("-----BEGIN PUBLIC KEY-----", id="a public key"),
        pytest.param("the cookie: it was good", id="a biscuit"),
        pytest.param("AKIA is how such ids begin", id="a prefix"),
        pytest.param("eyJ is base64 for an open brace", id="the beginning of a token"),
        pytest.param("server.ingest.redact", id="a module"),
        pytest.param("from keyboard import key_of", id="keys of another kind"),
        pytest.param("--token-limit 500", id="an option about tokens"),
        pytest.param("gsk_learn_of_a_module_with_a_long_name", id="gsk_ in a name"),
        pytest.param("xai-explainable-models-for-all-of-us", id="xai- in words"),
        pytest.param("key-value-store and key-0123", id="a key and its value"),
        pytest.param(f"risk-key-{H[:20]}", id="a shorter digest"),
        pytest.param("SKETCH and SK0123", id="SK in words"),
        pytest.param("pul-request-of-a-kind", id="pul- in words"),
        pytest.param("r8_register_name", id="a register"),
        pytest.param("forgot my password yesterday", id="a password in a sentence"),
        pytest.param("reset the password with sha256", id="how a password is kept"),
        pytest.param("login form password field", id="a form"),
        pytest.param("connect with password authentication", id="how to connect"),
        pytest.param("identified by its name", id="identified"),
        pytest.param('"auth": "none"', id="no sign-in"),
        pytest.param('"auth":"clientcredentials"', id="a way to sign in"),
        pytest.param("sshpass -p $SSH_PASSWORD host", id="sshpass with a variable"),
        pytest.param("ALTER ROLE app WITH PASSWORD NULL", id="SQL without a password"),
        pytest.param("token=&amp;x=1", id="an empty field in HTML"),
        pytest.param("secret:\n\nthe next line", id="a heading"),
        pytest.param('SECRET_KEY = os.environ["SECRET_KEY"]', id="Django from the environment"),
        pytest.param('SECRET_KEY = env("SECRET_KEY")', id="Django by a call"),
        pytest.param("mysql -u root -p shop", id="MySQL that asks"),
        pytest.param("mysql -P3306 -uroot -p$DB_PASSWORD", id="MySQL with a variable"),
        pytest.param("docker run -p3306:3306 mysql", id="a container's port"),
        pytest.param("Passwort vergessen?", id="a German sentence"),
        pytest.param("https://example.com/a@b", id="an address with a sign"),
        pytest.param("if password == other_password:", id="a comparison"),
        pytest.param("if (password === form.password2) {", id="a comparison in a script"),
        pytest.param("assert token == expected_token_1", id="a comparison in a test"),
        pytest.param("password=\nDB_USER2=app", id="a field left empty"),
        pytest.param("password:\nversion2 of it is described below", id="a heading, with words"),
        pytest.param("password:\n  secretKeyRef1:\n    name: x", id="a reference in YAML"),
        pytest.param("pass: true, fail: false", id="a test's end"),
        pytest.param("pass: 1284 fail: 3", id="how many passed"),
        pytest.param("first_pass = optimiser_run", id="a pass of several"),
        pytest.param("render pass: shadow, pass=vertex", id="a pass of a renderer"),
        pytest.param("bypass=cache12345 compass: north12345", id="pass in words"),
        pytest.param("DB_PASS=$DB_PASSWORD DB_PASS=12", id="a variable in a variable"),
        pytest.param("key=value, key: value", id="a key and a value"),
        pytest.param("monkey=abcdefgh12345678", id="key in a word"),
        pytest.param("foreign_key=id primary_key: true", id="a table's"),
        pytest.param(f"cache_key={A} public-key: {A}", id="keys that open nothing"),
        pytest.param("sort_key=created_at_2026", id="an order"),
        pytest.param('<Row key="user-card-1234" />', id="a key of a list"),
        pytest.param("KEY=01a1fbc5-af83-77a1-9bf9-f8b04c619334", id="a thread's key"),
        pytest.param("auth: none, auth: basic, auth=required", id="ways to sign in"),
        pytest.param("auth: scram-sha-256 auth: oauth2", id="ways with numbers"),
        pytest.param("USE_AUTH=required", id="whether to sign in"),
        pytest.param('_AUTH = "https://login.example/2/auth1"', id="where to sign in"),
        pytest.param("oauth=abcdefgh12345678x", id="auth in a word"),
        pytest.param("signature=of_a_function_in_the_module", id="a signature in words"),
        pytest.param("awk '{print $1$2$6}' and $6$", id="fields"),
        pytest.param("pplx-is-the-prefix-of-such-a-key-in-the-documentation", id="pplx- in words"),
    ],
)  # fmt: skip
def test_what_is_none_stays(text: str) -> None:
    assert redact(text) == text


def test_a_secret_amid_words_leaves_them() -> None:
    said = redact(f'{{"cmd":"export TOKEN=\\"{A}\\" && make test"}}')
    assert said == '{"cmd":"export TOKEN=\\"[redacted assignment]\\" && make test"}'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("in /home/dev/shop/a.py:3", "in [redacted path:]:3", id="a file"),
        pytest.param(r"C:\Users\Ann\shop\a.py", "[redacted path:]", id="on Windows"),
        pytest.param("file:///home/dev/shop", "[redacted path:]", id="an address of a file"),
        pytest.param("~/shop/notes.md", "[redacted path:]", id="of a home"),
        pytest.param("ann@example.com", "[redacted e-mail:]", id="an address of a person"),
        pytest.param("/bin/bash -lc ls", "/bin/bash -lc ls", id="the system's own"),
        pytest.param("https://example.com/a/b", "https://example.com/a/b", id="on the web"),
        pytest.param("and/or 1/2 a/b.py", "and/or 1/2 a/b.py", id="no place"),
    ],
)  # fmt: skip
def test_places_are_hidden_where_names_are(text: str, shown: str) -> None:
    import re

    assert re.sub(r":[0-9a-f]{8}\]", ":]", places(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("sk-" * 60_000, id="beginnings"),
        pytest.param("password=" * 20_000, id="names without values"),
        pytest.param("PRIVATE " + (A * 2 + "\n") * 3_000, id="base64 without an end"),
        pytest.param("PRIVATE " + A * 6_000, id="one long word"),
        pytest.param("-----BEGIN PRIVATE KEY-----" * 7_000, id="keys that never end"),
        pytest.param("://:@" * 40_000, id="addresses"),
        pytest.param("eyJ." * 50_000, id="dots"),
        pytest.param("/a" * 100_000, id="a deep path"),
        pytest.param("a@" * 100_000, id="letters to nobody"),
        pytest.param("cookie:" * 30_000, id="cookies"),
        pytest.param("password='" + "\\" * 200_000, id="escapes"),
        pytest.param("Authorization: " * 15_000, id="headers"),
        pytest.param("mysql -" * 30_000, id="MySQL"),
        pytest.param("mysql " + " -p" * 60_000, id="options"),
        pytest.param("secret_key='" * 15_000, id="keys"),
        pytest.param("passwort: " * 20_000, id="words"),
        pytest.param("password=\n" * 20_000, id="breaks"),
        pytest.param("key=" * 40_000, id="weak names"),
        pytest.param("key='$key" * 20_000, id="weak names and references"),
        pytest.param("password='$" * 20_000 + "'", id="references"),
        pytest.param("key   " * 30_000, id="weak names and blanks"),
        pytest.param("auth=" + "a-" * 90_000, id="parts"),
        pytest.param("$6$" * 60_000, id="hashes"),
        pytest.param("signature=" * 20_000, id="signatures"),
        pytest.param("é世\0\ud800" * 30_000, id="odd letters"),
    ],
)
def test_hostile_text_costs_little(text: str) -> None:
    began = time.process_time()
    places(redact(text))
    assert time.process_time() - began < 2
