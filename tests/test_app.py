"""What the app itself promises, beside its routes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask

from tests.serving import whole_app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with whole_app(tmp_path_factory.mktemp("app")) as found:
        yield found


def test_every_route_still_knows_its_own_address(app: Flask) -> None:
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            values: dict[str, Any] = dict.fromkeys(rule.arguments, "1")
            made = urlsplit(app.url_for(rule.endpoint, left="over", **values))
            assert made.query == "left=over"
            method = min((rule.methods or set()) - {"HEAD", "OPTIONS"})
            assert app.url_map.bind("x").match(made.path, method)[0] == rule.endpoint
