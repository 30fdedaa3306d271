"""Sign-in files as a request carries them: a form, or the file itself as the body."""

from __future__ import annotations

import json

from flask import request

from server.errors import BadRequest

MOST_FILES = 100
FIELD = "auth_json"  # codex-lb's name for it


def files() -> list[tuple[str, bytes]]:
    """The name and content of every file in this request, in order.

    They may come as multipart/form-data (the field's name is `auth_json`, but any file counts) or
    as the body itself, which may also be a list of several. Raises 400 invalid_auth_json, saying
    how to send them, when there is none or there are more than a hundred.
    """
    found = _in_a_form() if request.mimetype == "multipart/form-data" else _as_the_body()
    if not found:
        raise BadRequest(
            "Send the auth.json itself as the body, or as multipart/form-data in a field named "
            f"{FIELD}.",
            code="invalid_auth_json",
        )
    if len(found) > MOST_FILES:
        raise BadRequest(f"Send at most {MOST_FILES} files at once.", code="invalid_auth_json")
    return found


def _in_a_form() -> list[tuple[str, bytes]]:
    found = [
        (file.filename or "auth.json", file.stream.read())
        for _, sent in request.files.lists()
        for file in sent
    ]
    return found + [("auth.json", text.encode()) for text in request.form.getlist(FIELD)]


def _as_the_body() -> list[tuple[str, bytes]]:
    # Before anything reads it as a form: that is what `curl --data-binary` calls any file.
    raw = request.get_data(cache=False, parse_form_data=False)
    text = raw.strip()
    if not text.startswith(b"["):
        return [("auth.json", raw)] if text else []
    try:
        several = json.loads(text)
    except (ValueError, RecursionError):
        return [("auth.json", raw)]  # whoever reads it as a sign-in says what is wrong
    files = [(f"auth-{n}.json", json.dumps(each).encode()) for n, each in enumerate(several, 1)]
    return files or [("auth.json", raw)]  # a list of none is a file that is no sign-in
