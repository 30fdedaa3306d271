"""Sentences that pages show in the reader's language: written here once, in English. Pure.

`say` writes one; `told` reads it back as a key and values, whatever way it went (a column of
the request log, a notice, an account's status), so that a page can say it anew. What is not
from here, such as the provider's own words, has no key and is shown as it is.
"""

from __future__ import annotations

import errno
import json
import re
from functools import lru_cache
from typing import Any

_SIGN_IN_AGAIN = "Run `codex login`, then import ~/.codex/auth.json."
SENTENCES = {
    # What needs attention.
    "attention.signIn": "{name} needs a sign-in",
    "attention.usedUp": "{name} is used up",
    "attention.refused": "{name} is refused by the provider",
    "attention.returns": "It returns at its reset.",
    "attention.runsOut": "{name} runs out before its reset",
    "attention.behind": (
        "{left}% of its {window} allowance left, {points} points behind an even pace."
    ),
    "attention.low": "{name} has little left",
    "attention.left": "{left}% of its {window} allowance left.",
    "attention.credits": "{name} is served by credits",
    "attention.creditsPay": ("Its {window} allowance is used up; credits pay until the reset."),
    "attention.nobody": "No account can serve",
    "attention.resume": "Resume or add an account.",
    "attention.unpriced": "Calls of today without a price: {count}",
    "attention.noPrice": (
        "Their model is missing from the price table, so the cost leaves them out."
    ),
    "attention.more": "Further accounts that need a look: {count}",
    "attention.seeAll": "The Accounts page shows them all.",
    "attention.allPaused": "All accounts are paused",
    # Why nothing could be kept or taken.
    "store.unusable": (
        "The data folder cannot be used now (disk full, locked or read-only). Free some space "
        "or make it writable, then try again."
    ),
    "store.damaged": (
        "The database is damaged. Stop Brimline and start it again: it keeps the damaged file "
        "and makes a new one."
    ),
    "file.body": (
        "What was sent is larger than {most} MB, the most that is taken here. Send a smaller "
        "file, or less at once."
    ),
    # Why an account is out of rotation.
    "state.spent": "The {window} allowance is used up.",
    "state.usageLimit": "The provider says that this account's usage limit is reached.",
    "state.rateLimit": "The provider asks for a pause: too many requests in a short time.",
    "state.quota": "The provider says that this account's quota is used up.",
    "state.answered": "The provider answered “{words}”.",
    "state.expired": "Its sign-in has expired.",
    # What a thread is called that Codex began for itself.
    "thread.titling": "Title for a conversation",
    "state.reused": "Its sign-in was used by another program, so it no longer works here.",
    "state.revoked": "Its sign-in was revoked.",
    "state.unknown": "The provider does not know its sign-in.",
    "state.refused": "The provider no longer accepts its sign-in.",
    "state.suspended": "The provider has suspended this account.",
    "state.deleted": "The provider has deleted this account.",
    "state.deactivated": "The provider has deactivated this account.",
    "state.workspace": "The provider has deactivated its workspace.",
    "state.refusing": (
        "The provider has refused its sign-in since {since}. Brimline tries it again after a "
        "rest; sign in again, or probe it."
    ),
    "state.noTokens": "Its tokens are not stored here.",
    "state.lost": "Its stored sign-in is lost: secrets.db was damaged or missing.",
    "state.closed": (
        "Its stored sign-in cannot be opened: the key in {folder} is missing or another one. Put "
        "the key back, or sign in again."
    ),
    "state.noRefresh": "It was added without a refresh token.",
    "state.ended": "Its sign-in has ended.",
    # Why the allowance could not be read.
    "usage.unreachable": "The provider could not be reached. Check the network.",
    "usage.late": "The provider did not answer in time. Check the network.",
    "usage.cut": "The provider ended the connection early. Check the network.",
    "usage.status": "The provider answered HTTP {status} when asked for the allowance.",
    "usage.noJson": ("The provider answered something that is no allowance when asked for it."),
    # Why an account was chosen.
    "choice.owner": "it holds the earlier response",
    "choice.thread": "same thread",
    "choice.onlyNow": "the only account that can serve now",
    "choice.only": "the only account",
    "choice.most": "most headroom, {room}",
    "choice.share": "a share by headroom, {room}",
    "choice.mostSized": "most headroom by plan size, {room}",
    "choice.shareSized": "a share by headroom and plan size, {room}",
    "choice.least": "least used, {room}",
    "choice.turn": "its turn",
    "choice.priority": "it has the higher priority",
    "choice.policy": "its policy lets it go first",
    "choice.model": "it has an allowance for this very model",
    "choice.well": "the last requests of the others failed",
    "choice.earlier": "it resets earlier than the others",
    "choice.fullest": "fullest first, {room}",
    "choice.resets": "resets first, {room}",
    "choice.again": "again, with a new token",
    # Why no account can.
    "nobody.gone": "The account that the settings choose is gone.",
    "nobody.busy": ("The accounts that could serve have as many streams as the settings allow."),
    "nobody.tried": "The accounts that could serve were tried for this request.",
    "nobody.blocked": (
        "The provider refuses the accounts that could serve until their limits reset."
    ),
    "nobody.unable": "The accounts that could serve do not offer this model.",
    "nobody.signIn": "The accounts that are not paused need a new sign-in.",
    "nobody.paused": "Every account is paused.",
    "nobody.empty": "There is no account that may serve it.",
    "room.of": "{left}% of its {window} allowance left",
    "room.left": "{left}% left",  # as older rows say it
    "room.unknown": "allowance not known yet",
    # How an attempt ended.
    "outcome.ok": "ok",
    "outcome.status": "status {status}",
    "outcome.hungUp": "it hung up",
    "outcome.empty": "an empty answer",
    "outcome.unreachable": "unreachable",
    "outcome.slow": "no answer in time",
    "outcome.token": "no usable sign-in",
    "outcome.gone": "the client left",
    # What a client was told when nobody could serve it.
    "error.unreachable": (
        "Brimline cannot reach the provider. Check the network connection; it goes on by "
        "itself when that is back."
    ),
    "error.signIns": (
        "The provider does not accept the sign-in of any account that could serve this. "
        "Open Brimline, Accounts, and sign in again."
    ),
    "error.late": "The provider did not answer in time. The request may have been counted.",
    "error.trouble": "The provider has trouble ({outcome})",
    "error.troubleSaid": "The provider has trouble ({outcome}): {words}",
    "error.refused": "The provider refused every account that was tried: {words}",
    "error.rest": "All accounts are resting for a moment. Please try again in {seconds}s.",
    "error.limit": "The usage limit of every account has been reached.",
    "error.busy": (
        "All accounts serve as many streams as the settings allow. It goes on in a moment."
    ),
    "error.empty": "No account is signed in. Open Brimline, Accounts, and add one.",
    "error.keyEmpty": (
        "None of the accounts that this API key may use is here any more. Open Brimline, "
        "API keys, and choose other accounts for it."
    ),
    "error.chosenGone": (
        "The one account that should serve everything is gone, or this key may not use it. Open "
        "Brimline, Settings, and choose another account or another strategy."
    ),
    "error.page": (
        "A web page came instead of the provider's answer (status {status}). A Wi-Fi sign-in "
        "page, a VPN or a proxy in between may have sent it: open a browser, sign in to the "
        "network or switch that off, then try again."
    ),
    "outcome.page": "a web page, status {status}",
    "error.paused": ("All accounts are paused. Resume one in Brimline, Accounts or the tray menu."),
    "error.keyPaused": (
        "The accounts that this API key may use are paused. Resume one in Brimline, Accounts, or "
        "choose other accounts for the key."
    ),
    "error.signIn": "Every account needs a new sign-in. Open Brimline, Accounts.",
    "error.model": "No account offers this model. Choose another model.",
    # What is wrong with a file that should be a sign-in.
    "file.large": f"This file is too large for an auth.json. {_SIGN_IN_AGAIN}",
    "file.noToken": f"This file has no access token. {_SIGN_IN_AGAIN}",
    "file.whose": (
        "The tokens in this file do not say whose they are: the id token is missing or "
        f"cannot be read. {_SIGN_IN_AGAIN}"
    ),
    "file.noJson": f"This file is not JSON, so it cannot be an auth.json. {_SIGN_IN_AGAIN}",
    "file.other": f"This file is JSON, but not an auth.json of Codex. {_SIGN_IN_AGAIN}",
    "file.apiKey": (
        "This file holds an API key, not a ChatGPT sign-in, so there is no allowance to "
        f"show. Sign in with ChatGPT: {_SIGN_IN_AGAIN}"
    ),
    "file.claude": f"This is a sign-in of Claude, not of Codex. {_SIGN_IN_AGAIN}",
    "file.none": f"This file holds no ChatGPT sign-in. {_SIGN_IN_AGAIN}",
    "file.damaged": f"{{field}} in this file is damaged. {_SIGN_IN_AGAIN}",
    "file.several": (
        "Several accounts have this identity, so it is unclear which to sign in again. "
        "Remove all but one of them, then import the file again."
    ),
    # What is wrong in a file of the user's own.
    "own.broken": (
        "{file} cannot be used: {why}. Mend or remove it; until then the defaults hold."
    ),
    "own.number": (
        "{file}: {name} must be a number from 0 up. Until it is corrected, {usual} holds."
    ),
    "own.object": (
        "{file}: {name} must be an object in braces. Until it is corrected, it is left out."
    ),
    "own.list": ("{file}: {name} must be a list of texts. Until it is corrected, it is left out."),
    "own.text": ("{file}: {name} must be a text in quotes. Until it is corrected, it is left out."),
    "own.percent": (
        "{file}: {name} must say what is left as a number from 0 to 100. Until it is corrected, "
        "it is left out."
    ),
    # Why a file cannot be used, as a part of another sentence.
    "why.json": "line {line}, column {column} is not valid JSON",
    "why.place": "what stands in line {line}, column {column} does not belong there",
    "why.cut": "it ends too early",
    "why.utf8": "it is not text in UTF-8",
    "why.infinite": "{value} is no number",
    "why.irregular": "it is no regular file",
    "why.large": "it is larger than {most} MiB",
    "why.object": "it is not a JSON object",
    "why.nested": "it is nested too deeply",
    "why.after": "something follows its end",
    "why.comma": "a comma or {sign} is missing",
    "why.quotes": "a name in quotes is missing",
    "why.open": "a text has no end",
    "why.text": "a text cannot be read",
    "why.noValue": "a value is missing",
    "why.value": "a value cannot be read",
    "why.sign": "“{sign}” is missing",
    "why.noModel": "it names no model",
    "why.isCredits": (
        "it is a rate card in credits, not prices in dollars; "
        "`brimline update-rate-card --source-file` takes it"
    ),
    "why.isDollars": (
        "it holds prices in dollars, not a rate card in credits; "
        "`brimline update-pricing --source-file` takes it"
    ),
    "why.tier": "there is no table for the tier {name}",
    "why.tables": "models and aliases must be objects",
    "why.credits": "credit_rates must be an object",
    "why.noRates": "{name} has no rates",
    "why.three": "{name} needs three rates: input, cached input, output",
    "why.rate": "a rate of {name} is no number from 0 up",
    "why.write": "{kind} of {name} is no number from 0 to {most}",
    "why.day": "the day {value} of {name} is not written like 2026-08-20",
    "why.permission": "permission is missing",
    "why.full": "the disk is full",
    "why.readOnly": "the disk is read-only",
    "why.folder": "it is a folder",
    # Why a copied allowance was not taken.
    "copied.percent": (
        "What is left must lie between 0 and 100 %, not {given} % ({window}). Correct the number."
    ),
    "copied.none": (
        "No allowance was found in this text. It should say, for example: "
        "5h 79% 6:50 PM Weekly 33% Jun 7"
    ),
    # Why a sign-in to the pages, or what was pasted, was refused.
    "door.password": "That is not the password.",
    "door.passwordWait": (
        "Too many wrong passwords. Try again in {seconds} s, or open Brimline from its tray."
    ),
    "door.passwordShort": (
        "The password must have at least {least} characters (at most {most}), not "
        "counting spaces around it. Several words make a good one."
    ),
    "door.code": (
        "That code does not fit, or it has been used. Send the code that is shown now, or a "
        "recovery code."
    ),
    "door.codeWait": (
        "Too many wrong codes. Try again in {seconds} s, or open Brimline from its tray."
    ),
    "door.codeFirst": (
        "That code does not fit. Check that the clock of the device is right, "
        "then send the code it shows now."
    ),
    "door.setupOver": (
        "This set-up is not the one that was started, or it is older than 15 "
        "minutes. Start it again and scan the new picture."
    ),
    "door.token": "That is not the admin token.",
    "door.tokenWait": "Too many wrong tokens. Try again in {seconds} s.",
    "paste.whole": (
        "Paste the whole address of the page that the browser ended on; "
        "it holds “code=” and “state=”."
    ),
    "paste.other": "This address belongs to another sign-in. Use the newest sign-in page.",
    "paste.none": "No browser sign-in is under way. Start one.",
    "device.none": "The provider offers no device codes now. Sign in by browser or by file.",
    # Why a page's wish was refused, or found nothing.
    "account.gone": "There is no account “{name}”. `brimline accounts` lists them.",
    "account.out": "{name} is out of rotation already. {reason}",
    "account.resetUnknown": "It is not known when this account's allowance resets. Give a time.",
    "account.signIn": "It needs a new sign-in.",
    "key.gone": "There is no API key with this id.",
    "key.same": "Two limits have the same type, window and model. Keep one of them.",
    "key.past": (
        "The end of the key has passed already. Give a time to come, or switch the key off."
    ),
    "session.gone": "There is no open session with this id.",
    "signin.over": "That sign-in is over. Start it again.",
    "signin.noCode": (
        "The sign-in server gave no device code (HTTP {status}). Try again, or sign in by "
        "browser or by file."
    ),
    "signin.unreachable": "The sign-in server could not be reached. Check the network.",
    "signin.unsafe": (
        "The sign-in server could not be reached safely: its certificate was not accepted. "
        "Check the network."
    ),
    "signin.slow": "The sign-in server did not answer in time. Check the network.",
    "signin.cut": "The sign-in server ended the connection early. Check the network.",
    "signin.status": "The sign-in server answered HTTP {status}.",
    "signin.noJson": "The sign-in server sent an answer that is not JSON.",
    "signin.noTokens": "The sign-in server did not give the tokens (HTTP {status}). Sign in again.",
    "usage.unsafe": (
        "The provider could not be reached safely: its certificate was not accepted. Check "
        "the network."
    ),
    "credit.unsaid": "The provider did not say whether the reset was redeemed. Probe it.",
    "door.noPassword": "No password is set.",
    "door.noCodes": "One-time codes are not set up.",
    "door.passwordFirst": "Set a password first; the one-time code is asked after it.",
    "door.codesSet": "One-time codes are already set up. Turn them off first, with a code.",
    "door.passwordSet": "A password is already set. Change it with the present one.",
    "door.passwordBefore": "Sign in with the password first.",
    "door.kept": (
        "Brimline listens on {host}, so it keeps its password. Change it instead, or listen "
        "on 127.0.0.1."
    ),
    "settings.codesFirst": "Set up one-time codes first, then ask for them at sign-in.",
    "settings.keysNeeded": (
        "Brimline listens on {host}: without API keys, anyone on the network could spend your"
        " allowance. Listen on 127.0.0.1 before turning them off."
    ),
    "desktop.noLogin": (
        "This server was started without a desktop, so there is no login to start at."
    ),
    "desktop.failed": "Start at login could not be changed: {why}.",
    "connect.demo": "The demo leaves your own files alone.",
    "connect.changed": "The file changed since you saw the change. Look at it again.",
    "connect.adminToken": (
        "Beyond this computer, telemetry is taken with the admin token alone. Set "
        "BRIMLINE_ADMIN_API_TOKEN, start the server again, then connect."
    ),
    "connect.toml": "This config.toml is not valid TOML ({why}). Mend it, then try again.",
    "connect.noRoom": (
        "This config.toml cannot take these lines (is model_providers written in one line?). "
        "Add them by hand."
    ),
    "connect.occupied": (
        "This config.toml says {field} = {words}, which leads elsewhere. Connect with "
        "“replace” (--replace) to put that line aside; disconnecting brings it back."
    ),
    "connect.providerThere": (
        "This config.toml already has a provider “{name}” of your own. Rename it, or set "
        'model_provider = "{name}" yourself.'
    ),
    "connect.severalLines": (
        "“{field}” is written over several lines there; remove it by hand, then connect again."
    ),
    "connect.noObject": "This file does not hold an object.",
    "connect.hiddenAdd": (
        "{field} in this file hides the provider. Add “brimline” to it, then connect again."
    ),
    "connect.hiddenTake": (
        "{field} in this file hides the provider. Take “brimline” out of it, then connect again."
    ),
    "connect.json": "Line {line} is not valid JSON: {why}. Mend it, then try again.",
    "connect.otelOther": (
        "The [otel] section of this config.toml has its own “{field}”. Connect with “replace” "
        "(--replace) to put it aside; disconnecting brings it back. Brimline can pass what it "
        "receives on to your collector (Settings, Telemetry relay)."
    ),
    "connect.otelJoin": (
        "The [otel] keys of this config.toml are written so that Brimline cannot add to them. "
        "Write them as one [otel] section, each on a line of its own, and connect again."
    ),
    "connect.noFile": "{file} is not an ordinary file. Move it away, then try again.",
    "connect.unreadable": "{file} cannot be read: {why}.",
    "connect.large": "{file} is larger than 1 MB; such a file is not changed.",
    "connect.utf8": "The file is not UTF-8 text. Save it as UTF-8, then try again.",
    "connect.readOnly": (
        "{file} is read-only. Make it writable (chmod u+w), or add the lines by hand."
    ),
    "connect.unwritable": "{file} cannot be written: {why}. Nothing was changed.",
    "connect.unremovable": "{file} cannot be removed: {why}.",
    "connect.noBackup": "The backup cannot be kept in {folder}: {why}. Nothing was changed.",
    "connect.changedNow": "The file changed just now. Look at the change again.",
    "prices.other": "Nothing was changed: {why}.",
    "prices.unknown": (
        "No prices were understood in this text. Give a pricing.json, or the price page as "
        "Markdown ({why})."
    ),
    "evidence.off": "Log lines are switched off here. Turn them on on the call's page.",
    "call.gone": "There is no such call. It may have been read anew; go back to the list.",
    "thread.gone": "There is no such thread, or it has no calls. Go back to the list.",
    # Why something was not done.
    "store.refused": (
        "This could not be stored ({why}). Make sure that the data folder is writable "
        "and has space, then try again."
    ),
    "credit.none": "{name} has no reset credit left.",
    "credit.nothing": (
        "{name} has nothing to reset: its windows are not used. The credit is kept."
    ),
    # Why another account was not.
    "other.tried": "it was tried for this request",
    "other.paused": "it is paused",
    "other.signIn": "it needs a new sign-in",
    "other.blocked": "the provider refuses it until its limit resets",
    "other.unable": "it does not offer this model",
    "other.busy": "it serves as many streams as the settings allow",
    "other.resting": "it rests, because its last requests failed",
    "other.failed": "its last request failed, so others go first",
    "other.alone": "only one account may serve this",
    "other.could": "it could serve too, {room}",
    "other.model": "another has an allowance for this very model",
    "other.priority": "another has a higher priority",
    "other.policy": "its policy lets others go first",
    "other.earlier": "another resets earlier",
    # Notices at the head of every page.
    "notice.disk": (
        "Requests cannot be written to the data folder at the moment (disk full or locked). "
        "The proxy goes on; free some space and the log will catch up."
    ),
    "notice.damaged": (
        "The database is damaged, so nothing can be stored. The proxy goes on. Stop Brimline and "
        "start it again: it keeps the damaged file and makes a new one."
    ),
    "notice.bypass": (
        "Codex on this computer has chatgpt_base_url set to Brimline, so its requests can go past "
        "it, straight to the provider. Remove that line from Codex's config.toml; "
        "`brimline doctor` explains."
    ),
    "notice.demo": "Demo data: everything here is invented, and gone when the demo ends.",
    "notice.noTray": (
        "This desktop shows no tray icons, so Brimline's icon and menu cannot be seen. GNOME: "
        "install the extension “AppIndicator and KStatusNotifierItem Support”; other panels: add "
        "their system tray. “brimline quit” ends Brimline."
    ),
    "notice.restored": (
        "{file} was damaged. It is kept as {aside}, and the backup {copy} took its place."
    ),
    "notice.anewUsage": (
        "usage.db was damaged and is kept as {aside}; a new one was started. Accounts and ledger "
        "come back from the stored sign-ins and the session logs; settings, API keys and the "
        "request log only as far as they could still be read: check them, then delete the kept "
        "file."
    ),
    "notice.anewSecrets": (
        "secrets.db, which holds the sign-ins, was damaged and is kept as {aside}; a new one was "
        "started. Sign in to each account again and set the dashboard's password again if you "
        "had one, then delete the kept file."
    ),
    "notice.noUsage": (
        "usage.db was missing in {folder}; a new one was started. Accounts and ledger come back "
        "from the stored sign-ins and the session logs; settings, API keys and the request log "
        "do not: set up what you need again."
    ),
    "notice.noSecrets": (
        "secrets.db, which holds the sign-ins, was missing in {folder}; a new one was started. "
        "Sign in to each account again and set the dashboard's password again if you had one."
    ),
    # A sign-in under way.
    "signin.otherPort": "Port {taken} is in use, so port {port} waits for the browser.",
    "signin.noPort": (
        "No port is free for the browser to come back to. After signing in, copy the "
        "address of the page that cannot be shown, and paste it here."
    ),
    "signin.portsTaken": "The ports {ports} are in use by other programs.",
    "signin.late": "The sign-in was not finished in time. Start it again.",
    "signin.codeLate": "The device code was not used in time. Start again.",
    "signin.codeRefused": "The provider refused this device code. Start again.",
    "signin.refused": "The provider did not let you sign in. Start again, or use a file.",
    "signin.unread": (
        "The tokens that the provider sent cannot be read or do not say whose they are. Start "
        "the sign-in again, or use a file."
    ),
    "signin.replaced": "Another sign-in took the place of this one.",
    # The page that the browser comes back to.
    "signin.pageDone": "You are signed in. You can close this page and go back to Brimline.",
    "signin.pageOther": "This page belongs to an earlier sign-in. Use the newest sign-in page.",
    "signin.pageGoesOn": "The sign-in goes on in Brimline.",
    "signin.pageNothing": "There is nothing here. Go back to Brimline.",
    "signin.pageNoCode": "The provider sent no code. Start the sign-in again.",
    "signin.notStored": "The sign-in could not be stored; Brimline's log says why.",
    "export.once": (
        "A refresh token works once. Use this file in one program only, and remove the account "
        "here if another program is to use it."
    ),
}
_NUMBERS = ("left", "points", "count", "status", "taken", "port", "seconds", "least", "most")
_REFUSALS = {
    errno.EACCES: "why.permission",
    errno.EPERM: "why.permission",
    errno.ENOSPC: "why.full",
    errno.EDQUOT: "why.full",
    errno.EROFS: "why.readOnly",
    errno.EISDIR: "why.folder",
}
_PLACE = re.compile(r"line (\d+),? column (\d+)")
_NESTED = ("room", "outcome", "reason", "why")


def say(key: str, **values: Any) -> str:
    """The sentence of a key, in English."""
    sentence = SENTENCES[key]
    return sentence.format(**values) if values else sentence


def why(error: Exception) -> str:
    """Why a file does not hold, as a part of a sentence: in words of ours where we have some."""
    if isinstance(error, OSError):
        key = _REFUSALS.get(error.errno or 0)
        return say(key) if key else str(error.strerror or error)
    if isinstance(error, json.JSONDecodeError):
        return say("why.json", line=error.lineno, column=error.colno)
    if isinstance(error, UnicodeDecodeError):
        return say("why.utf8")
    return say("why.nested") if isinstance(error, RecursionError) else str(error)


def misplaced(error: Exception) -> str:
    """Where a text does not parse, from what its parser says of the place."""
    found = _PLACE.search(str(error))
    if found:
        return say("why.place", line=found[1], column=found[2])
    return say("why.nested" if isinstance(error, RecursionError) else "why.cut")


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    for key, pattern in _patterns():
        found = pattern.fullmatch(text)
        if found is not None:
            return key, tuple(found.groupdict().items())
    return None


def told(text: str | None) -> dict[str, Any] | None:
    """The key and the values of a sentence that `say` wrote; None for any other text."""
    found = _read(text) if text and len(text) < 2000 else None
    if found is None:
        return None
    key, values = found
    return {"key": key, "values": {name: _value(name, value) for name, value in values}}


def _value(name: str, value: str) -> Any:
    if name in _NESTED:
        return told(value) or value
    return int(value) if name in _NUMBERS else value


def _pattern(sentence: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", sentence)
    found = re.escape(parts[0])
    for place in range(1, len(parts), 2):
        name, again = parts[place], parts[place] in parts[1:place:2]
        value = "[0-9]{1,15}" if name in _NUMBERS else ".+?"
        found += f"(?P={name})" if again else f"(?P<{name}>{value})"
        found += re.escape(parts[place + 1])
    return re.compile(found, re.DOTALL)


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    # Those with most words of their own first: a value would take in the rest of a longer one.
    wordy = sorted(SENTENCES.items(), key=lambda pair: -len(re.sub(r"\{\w+\}", "", pair[1])))
    return [(key, _pattern(sentence)) for key, sentence in wordy]
