"""What a client's API key lets a request do, and what the request then counts.

With the setting `apiKeyAuthEnabled` off there is no key, and every method lets all pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from server.auth.keys import (
    LONGEST_OUTPUT,
    OUTPUT_BUDGET,
    Estimate,
    Key,
    Keys,
    Spent,
    bearer,
)
from server.errors import AppError
from server.proxy.body import Body
from server.proxy.catalogue import entry
from server.proxy.recorder import Record
from server.store import settings
from server.usage.pricing import Tokens, price

_BYTES_A_TOKEN = 4
_CUT = "stream_incomplete"


class Gate:
    """Stands between the proxy's routes and the keys."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def admit(self, environ: Mapping[str, Any]) -> Key | None:
        """The key of a request; None when keys are not asked for. Raises 401."""
        if not settings.get("apiKeyAuthEnabled"):
            return None
        return self.keys.authenticate(bearer(environ))

    def knows(self, token: str | None) -> bool:
        """Whether this is one of our keys, and good."""
        try:
            return bool(settings.get("apiKeyAuthEnabled")) and bool(self.keys.authenticate(token))
        except AppError:
            return False

    def reserve(self, key: Key | None, body: Body, record: Record) -> None:
        """Hold what the request may use. Raises 403 for its model and 429 for a limit."""
        if key is None:
            return
        record.key = key.id
        self.keys.allow_model(key, body.model)
        record.reservation = self.keys.reserve(key, body.model, _estimate(body, record.started_at))

    def reserve_side_call(self, key: Key | None, record: Record) -> None:
        """Count a call without a model, such as an upload, as one request. Raises 429."""
        if key is None:
            return
        record.key = key.id
        record.reservation = self.keys.reserve(key, "", Estimate(0, 0, 0, 0))

    def settle(self, record: Record) -> None:
        """Count what a finished request used, or let go of what it held."""
        held, used = record.reservation, record.tokens
        if held is None:
            return
        if used is not None:
            priced = price(record.model, record.tier, record.started_at, used)
            self.keys.settle(held, Spent(used.input, used.output, priced.cost, priced.credits))
        elif record.status == "success" or (record.response_id and _broke_off(record)):
            self.keys.settle(held, None)
        else:
            self.keys.release(held)

    def only(self, key: Key | None, answer: bytes) -> bytes:
        """A list of models without those that the key may not use. Raises 429."""
        if key is None:
            return answer
        self.keys.allow_listing(key)
        if key.models is None:
            return answer
        found = orjson.loads(answer)
        for name, field in (("models", "slug"), ("data", "id")):
            if name in found:
                found[name] = [model for model in found[name] if model[field] in key.models]
        if "data" in found:
            # What the owner allowed by name may be asked for, whether the list knows it or not.
            listed = {model["id"] for model in found["data"]}
            found["data"] += [entry(name) for name in key.models if name not in listed]
        return orjson.dumps(found)


def _broke_off(record: Record) -> bool:
    """Whether the answer ended before the provider could say what it used."""
    return record.status == "cancelled" or record.error_code == _CUT


def _estimate(body: Body, now: int) -> Estimate:
    tokens = body.weight // _BYTES_A_TOKEN
    alone = price(body.model, body.tier, now, Tokens(tokens))
    whole = price(body.model, body.tier, now, Tokens(tokens, output=OUTPUT_BUDGET))
    most = price(body.model, body.tier, now, Tokens(tokens, output=LONGEST_OUTPUT))
    return Estimate(tokens, alone.cost, whole.cost, whole.credits, most.cost, most.credits)
