from __future__ import annotations

from pathlib import Path

import pytest

from desktop import selftest
from server import app

PAGE = '<script src="/theme.js"></script><link rel="stylesheet" href="/assets/index.css">'


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        pytest.param(("theme.js", "assets/index.css"), None, id="whole"),
        pytest.param(("theme.js",), "assets/index.css is missing", id="packed while being built"),
        pytest.param(None, "they are not built", id="not built"),
    ],
)
def test_pages(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: tuple[str, ...] | None,
    complaint: str | None,
) -> None:
    monkeypatch.setattr(app, "pages_folder", lambda: tmp_path)
    if files is not None:
        (tmp_path / "index.html").write_text(PAGE)
        (tmp_path / "assets").mkdir()
        for name in files:
            (tmp_path / name).touch()
    if complaint is None:
        assert selftest._pages() == str(tmp_path)
        return
    with pytest.raises(FileNotFoundError, match=complaint):
        selftest._pages()
