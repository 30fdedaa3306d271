"""JSON with comments as text: what goes in comes out, and nothing else moves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import BadRequest
from server.jsonc import drop, put, read

TEXTS = [
    pytest.param("{}", id="an empty object"),
    pytest.param("{ }\n", id="a blank in it"),
    pytest.param('{"a": 1}', id="one line"),
    pytest.param('{\n  "a": 1\n}\n', id="two blanks"),
    pytest.param('{\n\t"a": 1,\n\t"b": [1, {"c": 2}]\n}\n', id="tabs"),
    pytest.param('{\r\n    "a": 1\r\n}\r\n', id="Windows lines, four blanks"),
    pytest.param('\ufeff{\n  "a": 1\n}', id="a byte order mark"),
    pytest.param('// mine\n{ // here\n  "a": 1, // one\n  /* two */ "b": 2, // three\n}\n// end',
                 id="comments and a trailing comma"),
    pytest.param('{\n  "x": {\n    // why\n    "y": {"z": null}\n  }\n}', id="objects on the way"),
    pytest.param('{"x": {}}', id="an empty object on the way"),
    pytest.param('{"url": "http://a//b", "c": "/* no */", "q": "\\"{"}', id="signs in texts"),
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("path", [("new",), ("x", "new"), ("x", "y", "new"), ("p", "q", "r")])
def test_a_member_goes_in_and_comes_out(text: str, path: tuple[str, ...]) -> None:
    before = read(text)
    value = {"n": ["ä", 1], "o": {}}
    done = put(text, path, value)
    expected = json.loads(json.dumps(before))
    inner = expected
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = value
    assert read(done) == expected
    # Whichever object was made on the way is what goes again.
    made = 1
    inner = before
    while made < len(path) and path[made - 1] in inner:
        inner = inner[path[made - 1]]
        made += 1
    undone = drop(done, path[:made])
    if inner or "\n" in text.strip():
        assert undone == text
    assert read(undone) == before


def test_what_is_there_is_replaced_in_place() -> None:
    text = '{\n  "a": "old", // why\n  "b": 2\n}'
    assert put(text, ("a",), "new") == text.replace("old", "new")


@pytest.mark.parametrize(
    ("text", "path", "left"),
    [
        pytest.param('{"a": 1, "b": 2}', ("b",), '{"a": 1}', id="the last"),
        pytest.param('{"a": 1, "b": 2,}', ("b",), '{"a": 1,}', id="a trailing comma stays"),
        pytest.param('{"a": 1, "b": 2, "c": 3}', ("b",), '{"a": 1, "c": 3}', id="between"),
        pytest.param('{"a": 1 /* x */, /* y */ "b": 2}', ("b",), '{"a": 1 /* x */ /* y */}',
                     id="comments around it stay"),
        pytest.param('{\n  // why\n  "a": 1,\n}', ("a",), "{\n  // why\n}", id="alone"),
        pytest.param('{"a": 1}', ("b",), '{"a": 1}', id="none"),
        pytest.param('{"a": 1}', ("b", "c"), '{"a": 1}', id="none on the way"),
    ],
)  # fmt: skip
def test_a_member_comes_out(text: str, path: tuple[str, ...], left: str) -> None:
    assert drop(text, path) == left


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a"}', '{"a": 1 "b": 2}', '{"a": }', '{"a": 01x}', '{"a": "x}', "{a: 1}",
     "{'a': 1}", "{} {}", "[" * 100, '{"a": [1 2]}', "{,}", '{"a": /* }', '{"a": NaN}'],
)  # fmt: skip
def test_what_is_not_json_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(BadRequest, match="Line 1 is not valid JSON"):
        read(text)


def test_json5_is_read_where_the_client_reads_it() -> None:
    text = "{\n  // x\n  agents: {'a-b': .5, c: 'it\\'s \"x\"', d: +1, e: Infinity, f: 0x1F},\n}"
    found = read(text, five=True)["agents"]
    assert found == {"a-b": ".5", "c": 'it\'s "x"', "d": "+1", "e": "Infinity", "f": "0x1F"}
    done = put(text, ("agents", "g"), 1, five=True)
    assert drop(done, ("agents", "g"), five=True) == text


def test_a_way_that_is_no_object_is_refused() -> None:
    with pytest.raises(BadRequest, match="provider"):
        put('{"provider": []}', ("provider", "x"), 1)
    with pytest.raises(BadRequest, match="The file"):
        put("[]", ("provider",), 1)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
))  # fmt: skip
def test_all_json_is_read_as_json_reads_it(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        assert read(text) == value


@given(st.text(alphabet='{}[]",:/*\n a1\\', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for five in (False, True):
        try:
            read(text, five=five)
        except BadRequest:
            continue
