"""What the window shows while the server is away: a page of its own, in the reader's language.

The words are the pages' own, from the files that lie beside the program, for there is no server to
ask. The page chooses among them as ours do: the language it spoke last, else the system's.
"""

from __future__ import annotations

import json
from html import escape

from server import words

_KEYS = ("away.title", "away.text", "do.retry")
_PLAIN = {  # while the pages are not built
    "away.title": "Brimline does not answer",
    "away.text": "Start it with “brimline serve”. This page comes back by itself.",
    "do.retry": "Try again",
}
_STYLE = """
:root{color-scheme:light dark;--accent:#17717F}
body{margin:0;display:grid;place-items:center;min-height:100vh;
font:14px/1.5 system-ui,sans-serif;background:#FAF9F6;color:#1E2124}
main{max-width:420px;padding:24px}
h1{font-size:20px;font-weight:600;margin:0 0 8px}
p{margin:0 0 16px}
button{font:inherit;padding:8px 16px;border-radius:8px;border:1px solid #8A9096;
background:transparent;color:inherit;cursor:pointer}
button:hover{border-color:currentColor}
button:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
@media(prefers-color-scheme:dark){:root{--accent:#6CC8D6}
body{background:#131517;color:#E9E7E2}}
"""
_CHOOSE = """
for (const wanted of [last, ...navigator.languages]) {
  const code = wanted.toLowerCase().split("-")[0];
  if (!Object.hasOwn(all, code)) continue;
  document.documentElement.lang = code;
  document.documentElement.dir = rightToLeft.includes(code) ? "rtl" : "ltr";
  for (const one of document.querySelectorAll("[data-word]"))
    one.textContent = all[code][one.dataset.word];
  break;
}
document.querySelector("button").onclick = () => pywebview.api.retry();
"""


def page(last: str = "") -> str:
    """The page; `last` is the code of the language that our pages spoke last, if that is known."""
    known = {code: words.catalogue(code) for code in words.languages()}
    found = {
        code: {key: said[key] for key in _KEYS}
        for code, said in known.items()
        if all(key in said for key in _KEYS)
    }
    title, text, again = (escape(found.get("en", _PLAIN)[key]) for key in _KEYS)
    given = {"all": found, "last": last, "rightToLeft": words.RIGHT_TO_LEFT}
    values = "".join(f"const {name} = {_script(value)};\n" for name, value in given.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Brimline</title>'
        f'<style>{_STYLE}</style><main><h1 data-word="away.title">{title}</h1>'
        f'<p data-word="away.text">{text}</p><button data-word="do.retry">{again}</button></main>'
        f"<script>\n{values}{_CHOOSE}</script></html>"
    )


def _script(value: object) -> str:
    """A value as a script may hold it: nothing in it can end the script."""
    return json.dumps(value, ensure_ascii=True).replace("<", "\\u003c")
