"""What the server asks of the system before it begins."""

from __future__ import annotations

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource", reason="Windows has no such limit")

_ASKS = """
import resource, socket
from server.runtime import make_room
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))
with socket.create_server(("127.0.0.1", 0)) as listener:
    make_room(listener)
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("hard", "expected"),
    [
        pytest.param("hard", None, id="as many as 2,000 streams take"),
        pytest.param("200", (200, 200), id="as many as the system permits"),
    ],
)
def test_it_may_hold_many_connections(hard: str, expected: tuple[int, int] | None) -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _ASKS.format(hard=hard)], capture_output=True, text=True, check=True
    )
    soft, most = map(int, done.stdout.split())
    if expected is None:
        assert soft == (4096 if most < 0 else min(4096, most))
    else:
        assert (soft, most) == expected
