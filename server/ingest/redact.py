"""Take secrets out of text before anyone sees it: by their shape, kind by kind. Pure.

A kind that costs little to look for is looked for only where its mark (a fixed part) occurs, so
that text without secrets is read once. What is unsure is taken out: a word too few can be
looked up in the log itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from server.usage.privacy import short

_B = r"(?<![A-Za-z0-9_])"  # a secret does not begin within a word
_E = r"(?![A-Za-z0-9_])"
# A quote, also inside a JSON string inside a JSON string, and as HTML writes it.
_Q = r"(?:\\{0,3}[\"']|&(?:quot|apos|#3[49]|#x2[27]);)"

# What stands where a secret would, and is none: a reference, a type, a placeholder, a call.
_REFERENCE = re.compile(
    r"(?:\$|<|\{|%|\*|\[|\.\.\.|…|(?:os|process|env|self|this|config|settings|secrets|import|"
    r"request|args|options)\.|[A-Za-z_]\w*(?:\.\w+)*\(|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$|"
    r"(?:none|null|nil|undefined|true|false|str|string|bytes|int|integer|number|bool|boolean|any|"
    r"object|optional|union|list|dict|required|secretstr|type|empty|missing|invalid|expired|"
    r"redacted|hidden|unset|x{3,})\b)",
    re.IGNORECASE,
).match
# What a comparison in code ends with: a name, not a secret.
_NAMED = re.compile(r"[A-Za-z_][\w.]*:?$").match
_COUNT = re.compile(r"[\d.,_]{1,12}[kKmM]?\b").match

# Only the end of a name is looked for: what stands before it stays anyway.
_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|pwd(?![\"']{0,2}\s{0,4}[:=]\s{0,4}[\"']?(?:/|~|[A-Z]:))"
    r"|secret(?:[_-]?key(?:[_-]?base)?)?|credentials?|api[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key"
    r"|encryption[_-]?key|master[_-]?key|token)(?:_value|_base64|_b64)?"
)
_VALUE = r"(?P<value>[^\s\"'\\,;&|)}\]<>]{4,400})"
_QUOTED = rf"(?P<quote>{_Q})(?P<text>(?:(?!(?P=quote))[^\n]){{3,2000}}?)(?P=quote)"
_BREAK = r"(?:\r?\n|(?:\\{1,3}r)?\\{1,3}n)"  # also inside a JSON string
_GAP = rf"(?:[ \t]|{_BREAK}){{1,40}}"
# How languages other than English call a password.
_WORDS = (
    "passwort,kennwort,mot de passe,contraseña,contrasena,contrasenya,senha,palavra-passe,"
    "wachtwoord,hasło,heslo,lösenord,adgangskode,passord,salasana,jelszó,parolă,parola,şifre,"
    "пароль,κωδικός,mật khẩu,kata sandi,كلمة المرور,كلمة السر,סיסמה,"
    "密码,密碼,口令,パスワード,비밀번호,암호"
)
_SPACE = "[ \t\u00a0\u202f]{0,8}"
# In a sentence a password is a thing; as a file's own line, with a digit in it, it is one.
_BARE = r"(?P<value>(?=[^\s\"'\\]{0,100}\d)[^\s\"'\\,;]{6,400})(?=[ \t]*(?:[\n\r\"'\\]|\Z))"

# On the line after its name a value stands alone, or is no word; and no other name does.
_ALONE = (
    rf"{_BREAK}[ \t]{{0,40}}(?![\w.-]{{1,60}}[=:]|[/~-])(?=[^\s\"'\\]{{0,100}}\d)"
    r"(?=[^\s\"'\\,;]{6,400}[ \t]*(?:[\n\r\"'\\]|\Z)"
    r"|(?-i:(?=[a-z\d]{0,40}[A-Z])(?=[A-Z\d]{0,40}[a-z]))[A-Za-z\d]{10,400}\s)"
)


@dataclass(frozen=True)
class Kind:
    """One kind of secret: its name, the marks of which one must occur, and its pattern."""

    name: str
    marks: tuple[str, ...]
    pattern: str
    replace: Callable[[re.Match[str], str], str | None] | None = None
    folded: bool = False  # its marks are in lower case, whatever the text is in
    anchored: bool = False  # it begins with one of its marks, so nothing else is looked at
    word: bool = False  # it has no blank and at least `_LONG` characters
    hint: str = ""  # a pattern, quick to look for, and part of every such secret
    beside: tuple[str, ...] = ()  # it is one only where one of these occurs, too
    any_case: bool = False

    @cached_property
    def shape(self) -> re.Pattern[str]:
        """What it looks like; made when a text may hold it, as most do not."""
        return re.compile(self.pattern, re.IGNORECASE if self.any_case else 0)

    @cached_property
    def hints(self) -> tuple[str, ...]:
        """What must be within one of the text's words: of a mark with a blank its longest part."""
        return tuple(dict.fromkeys(max(mark.split(), key=len) for mark in self.marks))


_LONG = 15


def _kind(name: str, marks: str, shape: str, hint: str = "") -> Kind:
    """A kind without blanks in it, whose marks stand anywhere in it."""
    return Kind(name, tuple(marks.split()), shape, word=True, hint=hint)


def _prefixed(name: str, marks: str, shape: str) -> Kind:
    """A kind without blanks in it that begins with one of its marks."""
    return Kind(name, tuple(marks.split()), _B + shape, anchored=True, word=True)


def _keeping_the_name(match: re.Match[str], said: str) -> str | None:
    """Only the value goes; None leaves everything, because the value is no secret."""
    found = match.groupdict()
    part = "text" if found.get("text") is not None else "value"
    value = found[part]
    if part == "value" and (found.get("sign") or "").startswith("==") and _NAMED(value):
        return None
    if _REFERENCE(value) and not (part == "text" and " " in value.strip()):
        return None
    if (found.get("name") or "").lower().endswith("token") and _fits_a_count(value):
        return None
    begin, end = match.start(part) - match.start(), match.end(part) - match.start()
    whole = match[0]
    return f"{whole[:begin]}{said}{whole[end:]}"


def _whole_text(match: re.Match[str], said: str) -> str | None:
    """What stands in quotes, whatever it begins with."""
    begin, end = match.start("text") - match.start(), match.end("text") - match.start()
    return f"{match[0][:begin]}{said}{match[0][end:]}"


def _fits_a_count(value: str) -> bool:
    found = _COUNT(value)
    return found is not None and found.end() == len(value)


def _assigned(name: str, marks: str, names: str) -> Kind:
    shape = (
        rf"(?P<name>{names})(?:{_Q})?[ \t]{{0,8}}(?P<sign>:=|=>|={{1,3}}|:)[ \t]{{0,8}}"
        rf"(?:(?:{_BREAK}[ \t]{{0,40}})?{_QUOTED}|(?:{_ALONE})?{_VALUE})"
    )
    found = tuple(marks.split())
    return Kind(name, found, shape, _keeping_the_name, folded=True, anchored=True, any_case=True)


# Words that also mean something else: only what their value looks like tells.
_WEAK = ("pass", "pw", "key", "auth")
_DIGIT = re.compile(r"\d").search
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+").split
_PLAIN = re.compile(r"(?:[a-z]+|[A-Z]+)(?:[-_ .](?:[a-z]+|[A-Z]+))*$").match
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE).match
# Keys that find something instead of opening it.
_OPEN_KEYS = (
    "cache", "public", "primary", "foreign", "sort", "partition", "hash", "group", "unique",
    "index", "row", "object", "idempotency", "lookup", "range", "routing", "sharding", "dedupe",
)  # fmt: skip


def _mixed(value: str, least: int) -> bool:
    """Whether a part of it has letters as well as digits, as words and numbers do not."""
    return _DIGIT(value) is not None and any(
        len(part) >= least and not part.isalpha() and not part.isdigit()
        for part in _SEPARATORS(value)
    )


def _opens(before: str, name: str, value: str, quoted: bool) -> bool:
    """Whether the value of a word of `_WEAK` is a secret; `before` stands before the word."""
    if "://" in value:
        return False
    ending = before.endswith("_")
    if name.lower() == "key":
        known = before.rstrip("_-").lower().endswith(_OPEN_KEYS)
        return not known and len(value) >= 16 and _mixed(value, 12) and not _UUID(value)
    if name.lower() == "auth":
        if ending and len(value) >= 6 and not _PLAIN(value):
            return True
        return _mixed(value, 8) or (len(value) >= 12 and value.endswith("="))
    if ending and name.isupper():
        return not _fits_a_count(value)
    return _mixed(value, 7) or (quoted and len(value) >= 8 and " " not in value)


def _if_it_opens(match: re.Match[str], said: str) -> str | None:
    quoted = match["text"] is not None
    value = match["text"] if quoted else match["value"]
    before = match.string[max(0, match.start() - 40) : match.start()]
    if not _opens(before, match["name"], value, quoted):
        return None
    return _keeping_the_name(match, said)


def _weak() -> Kind:
    known = "|".join(f"(?<={word})" for word in ("db", "user", "root", "admin", "smtp", "ftp"))
    names = rf"(?:{known})pass|" + "|".join(
        rf"(?<![A-Za-z0-9]){word}|(?-i:(?<=[a-z]){word.capitalize()})" for word in _WEAK
    )
    shape = (
        rf"(?P<name>{names})(?:{_Q})?[ \t]{{0,8}}(?P<sign>:=|=>|={{1,3}}|:)[ \t]{{0,8}}"
        rf"(?:{_QUOTED}|{_VALUE})"
    )
    return Kind(
        "assignment",
        _WEAK,
        shape,
        _if_it_opens,
        folded=True,
        anchored=True,
        any_case=True,
    )


def _said(name: str, marks: str, shape: str) -> Kind:
    """A kind that begins with one of its marks (they part at commas) and keeps all but the value.

    Such a word is written in any case, and marks are compared in lower case.
    """
    found = tuple(marks.split(","))
    return Kind(name, found, shape, _keeping_the_name, folded=True, anchored=True, any_case=True)


def _header(marks: str, names: str) -> Kind:
    """A header that signs a request in."""
    return _said(
        "authorization",
        marks,
        rf"(?P<name>{names})(?:{_Q})?"
        rf"[ \t]*[:=][ \t]*(?:{_Q})?(?:(?:bearer|basic|token|digest|negotiate)[ \t]+)?"
        r"(?P<value>[^\s\"'\\,;)}\]]{4,4000})",
    )


_ARMOUR = r"(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?"
KINDS: tuple[Kind, ...] = (
    # A key whose end was cut off, or whose beginning was, is a key all the same.
    Kind(
        "private_key",
        ("PRIVATE", "AGE-SECRET-KEY-1", "PuTTY-User-Key-File"),
        (
            rf"-----BEGIN {_ARMOUR}-----(?:(?!-----END)[\s\S])*(?:-----END {_ARMOUR}-----)?"
            r"|(?:(?<=\\n)|(?<![A-Za-z0-9+/=]))(?:[A-Za-z0-9+/=]{40,90}(?:\\n|\\r|\s){1,4}){1,90}"
            rf"[A-Za-z0-9+/=]{{0,90}}(?:\\n|\\r|\s){{0,4}}-----END {_ARMOUR}-----"
            r"|AGE-SECRET-KEY-1[A-Z0-9]{20,}"
            r"|PuTTY-User-Key-File-\d:[\s\S]*?(?:Private-MAC:[^\n]*|$)"
        ),
    ),
    _prefixed("anthropic_key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{16,}"),
    _prefixed(
        "openai_key",
        "sk-",
        r"sk-(?:(?:proj|svcacct|admin|clb|None)-[A-Za-z0-9_-]{12,}"
        r"|(?:[a-z0-9]{1,8}-){0,3}(?=[A-Za-z-]{0,200}\d)[A-Za-z0-9]{20,}[A-Za-z0-9_-]*)",
    ),
    _prefixed("github_pat", "github_pat_", r"github_pat_[A-Za-z0-9_]{20,}"),
    _prefixed("github_token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{20,}"),
    _prefixed(
        "gitlab_token",
        "glpat- glptt- gldt- glrt- glcbt- glsoat- glft-",
        r"gl(?:pat|ptt|dt|rt|cbt|soat|ft)-[A-Za-z0-9_.-]{16,}",
    ),
    _prefixed("aws_access_key", "AKIA ASIA ABIA ACCA", rf"A(?:KI|SI|BI|CC)A[A-Z2-7]{{16}}{_E}"),
    _prefixed("google_api_key", "AIza", r"AIza[0-9A-Za-z_-]{35}"),
    _prefixed(
        "google_oauth",
        "ya29. GOCSPX- 1//0",
        r"(?:ya29\.[0-9A-Za-z_-]{20,}|GOCSPX-[0-9A-Za-z_-]{20,}|1//0[0-9A-Za-z_-]{30,})",
    ),
    _prefixed(
        "slack_token",
        "xox xapp-",
        r"(?:xox[abceoprs](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,})",
    ),
    _kind(
        "webhook",
        "hooks.slack.com /api/webhooks/ webhook.office.com",
        r"https://(?:hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{10,}"
        r"|(?:\w+\.)?discord(?:app)?\.com/api/webhooks/\d+/[\w-]{10,}"
        r"|[\w.-]+\.webhook\.office\.com/webhookb2/[\w@/-]{10,})",
    ),
    _kind(
        "stripe_key",
        "k_live_ k_test_ whsec_",
        rf"{_B}(?:[srp]k_(?:live|test)_[A-Za-z0-9]{{16,}}|whsec_[A-Za-z0-9+/=]{{20,}})",
    ),
    _prefixed("huggingface_token", "hf_", rf"hf_[A-Za-z0-9]{{30,}}{_E}"),
    _prefixed("registry_token", "npm_ pypi-AgE", r"(?:npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,})"),
    _prefixed("sendgrid_key", "SG.", r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    _kind("bot_token", ":AA", rf"{_B}\d{{8,10}}:AA[\w-]{{33}}{_E}"),
    _kind(
        "bot_token",
        ".",
        rf"{_B}[MNO][\w-]{{22,30}}\.[\w-]{{5,8}}\.[\w-]{{25,80}}{_E}",
        hint=r"\.[\w-]{5,8}\.[\w-]{25}",
    ),
    _prefixed(
        "service_token",
        "dckr_pat_ dckr_oat_ doo_v1_ dop_v1_ dor_v1_ dp.pt. shpat_ shpca_ shppa_ shpss_ dapi "
        "lin_api_ glsa_ hvs. sq0atp- sq0csp- ntn_ secret_ figd_ vercel_ fo1_ fm1 fm2_ gsk_ xai- "
        "r8_ ATATT3x NRAK- key- SK pul- HRKU- sntrys_ sntryu_ pplx-",
        r"(?:dckr_(?:pat|oat)_[\w-]{20,}|do[opr]_v1_[a-f0-9]{64}|dp\.pt\.[A-Za-z0-9]{40,}"
        r"|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|dapi[a-f0-9]{32}|lin_api_[A-Za-z0-9]{32,}"
        r"|glsa_[A-Za-z0-9]{32}_[a-f0-9]{8}|hvs\.[\w-]{24,}|sq0(?:atp|csp)-[\w-]{22,}"
        r"|ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43}|figd_[\w-]{30,}|vercel_[A-Za-z0-9]{24}"
        r"|fo1_[\w-]{20,}|fm(?:1[ar]|2)_[A-Za-z0-9+/=]{20,}|gsk_[A-Za-z0-9]{20,}"
        r"|xai-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}|ATATT3x[\w=-]{20,}|NRAK-[A-Z0-9]{20,}"
        r"|key-[0-9a-f]{32}(?![A-Za-z0-9_])|SK[0-9a-f]{32}(?![A-Za-z0-9_])"
        r"|pul-[0-9a-f]{40}(?![A-Za-z0-9_])|HRKU-[A-Za-z0-9_-]{20,}"
        r"|sntry[su]_[A-Za-z0-9_=+/-]{30,}|pplx-[A-Za-z0-9]{32,})",
    ),
    # A Sentry DSN: the key stands where an address has its user.
    Kind(
        "service_token",
        ("://",),
        r"https?://(?P<value>[0-9a-f]{16,64}(?::[0-9a-f]{16,64})?)@(?=[\w\[])",
        _keeping_the_name,
        word=True,
        any_case=True,
    ),
    _kind(
        "azure_key",
        "AccountKey= SharedAccessKey= SharedAccessSignature sig= DefaultEndpointsProtocol",
        r"(?<=AccountKey=)[A-Za-z0-9+/=%]{20,}|(?<=SharedAccessKey=)[A-Za-z0-9+/=%]{20,}"
        r"|(?<=[?&]sig=)[A-Za-z0-9%+/=_-]{20,}",
    ),
    # As `crypt` writes it: of which kind, with what salt, and the hash.
    Kind(
        "password",
        ("$1$", "$2a$", "$2b$", "$2x$", "$2y$", "$5$", "$6$", "$7$", "$y$", "$gy$", "$argon2"),
        r"\$(?:1|2[abxy]|5|6|7|y|gy|argon2(?:id?|d))\$[A-Za-z0-9./$,=+-]{20,400}",
        anchored=True,
        word=True,
    ),
    _said(
        "authorization",
        "signature=",
        r"signature=(?P<value>(?=[A-Za-z%+/=_~-]{0,60}\d)[A-Za-z0-9%+/=_~-]{24,2000})",
    ),
    _prefixed("jwt", "eyJ", r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}(?:\.[\w-]*)?(?:\.[\w-]+){0,2}"),
    Kind(
        "cookie",
        ("cookie",),
        (
            rf"(?<![A-Za-z])(?P<name>(?:set-)?cookie)(?:{_Q})?[ \t]*:[ \t]*(?:{_Q})?"
            r"(?P<value>[^\s=;\"'\\]{1,200}=[^\n\"']{4,4000})"
        ),
        _keeping_the_name,
        folded=True,
        any_case=True,
    ),
    _header("proxy-authorization,authorization", "(?:proxy-)?authorization"),
    _header("x-", "x-[a-z-]{0,30}(?:api-key|auth-token)"),
    _said(
        "authorization",
        "bearer,basic",
        r"(?<![A-Za-z])(?:bearer|basic)[ \t]+(?P<value>(?=[\w.~+/-]*[\d_.+/=])[\w.~+/-]{12,}=*)",
    ),
    # What `docker run -u` and others take is a name or a number.
    Kind(
        "authorization",
        ("-u", "--user", "--proxy-user"),
        (
            r"(?<=\s)(?:-u|--user|--proxy-user)[ =][\"']?[^\s:\"']{1,80}:"
            r"(?P<value>[^\s\"'@]{3,200})"
        ),
        _keeping_the_name,
        folded=True,
        anchored=True,
        beside=("authorization", "bearer", "api-key", "auth-token", "curl", "basic"),
        any_case=True,
    ),
    Kind(
        "url_password",
        ("://",),
        (
            r"(?P<name>[a-z][a-z0-9+.-]{1,30}://)(?P<user>[^\s/:@\"'<>]{0,100}):"
            r"(?P<value>[^\s/@\"'<>]{1,300})@(?=[\w\[])"
        ),
        _keeping_the_name,
        any_case=True,
    ),
    _said(
        "password",
        "machine,default",
        rf"{_B}(?:machine{_GAP}[^\s\\]{{1,200}}|default){_GAP}login{_GAP}[^\s\\]{{1,100}}{_GAP}(?:account{_GAP}[^\s\\]{{1,100}}{_GAP})?password{_GAP}"
        r"(?P<value>[^\s\"'\\]{3,400})",
    ),
    _said("password", "password", rf"(?:(?<=\n)|(?<![^ \t]))(?<!\w )password[ \t]{{1,8}}{_BARE}"),
    _said(
        "password",
        "create user,create role,alter user,alter role,create login,alter login,with password,"
        "encrypted password,identified ",
        rf"(?:(?:create|alter)[ ](?:user|role|login)\b[^;\n]{{0,200}}?password[ \t]{{0,4}}=?"
        r"|(?:with|encrypted)[ ]password|identified[ ](?:with[ ]\S{1,60}[ ])?by(?:[ ]password)?)"
        rf"[ \t]{{0,8}}{_QUOTED}",
    ),
    _said(
        "password",
        "sshpass",
        rf"{_B}sshpass[ \t]{{1,8}}-p[ \t]{{0,8}}(?:{_QUOTED}|{_VALUE})",
    ),
    # An upper-case `-P` is a port.
    _said(
        "password",
        "mysql,mariadb",
        rf"(?:mysql|mariadb)[a-z_-]{{0,20}}(?:\.exe)?[ \t](?:[^\n;|&]{{0,200}}?[ \t])?"
        rf"(?-i:-p)(?!(?:ort|rotocol|assword)\b)"
        rf"(?:{_QUOTED}|(?P<value>[^\s\"'\\,;&|)}}\]<>]{{2,400}}))",
    ),
    _said(
        "password",
        _WORDS,
        rf"(?:{_WORDS.replace(',', '|')})(?:{_Q})?{_SPACE}"
        rf"(?::=|=>|==?|:|：){_SPACE}(?:{_QUOTED}|{_VALUE})",
    ),
    _said(
        "registry_token",
        '"auth',
        rf"\"auth{_Q}[ \t]{{0,8}}:[ \t]{{0,8}}{_Q}"
        rf"(?=(?-i:[a-z]{{0,2000}}[A-Z0-9+/=]))(?P<value>[A-Za-z0-9+/]{{12,2000}}=*)(?={_Q})",
    ),
    _assigned("aws_secret_key", "aws secret", r"(?:aws_?)?secret_?access_?key"),
    # Django draws such keys from signs that elsewhere begin a reference.
    Kind(
        "assignment",
        ("secret_key", "secret-key", "secretkey"),
        (
            rf"secret[_-]?key(?:{_Q})?[ \t]{{0,8}}(?::=|=>|==?|:)[ \t]{{0,8}}"
            rf"(?P<quote>{_Q})(?P<text>(?:(?!(?P=quote))\S){{32,200}})(?P=quote)"
        ),
        _whole_text,
        folded=True,
        anchored=True,
        any_case=True,
    ),
    _assigned(
        "assignment",
        "password passwd passphrase passcode pwd secret credential apikey api_key api-key "
        "accesskey access_key access-key privatekey private_key private-key signingkey "
        "signing_key signing-key encryptionkey encryption_key encryption-key masterkey "
        "master_key master-key token",
        _NAMES,
    ),
    _weak(),
    Kind(
        "option",
        ("--",),
        (
            r"(?P<name>--[a-z-]{0,30}(?:password|passwd|passphrase|secret|token|api-key|"
            r"access-key|private-key))[ \t]+[\"']?"
            r"(?P<value>(?!-)[^\s\"'\\,;&|)}\]]{4,400})"
        ),
        _keeping_the_name,
        folded=True,
        any_case=True,
    ),
)


def redact(text: str, found: Counter[str] | None = None) -> str:
    """The text with every secret replaced by `[redacted KIND]`; `found` counts them by kind."""
    folded: str | None = None
    hints = _Hints(text)
    for kind in KINDS:
        if not hints.of(kind):
            continue
        if folded is None:
            folded = _folded(text)
        new = _without(kind, text, folded if kind.folded else text, found)
        if new is not text:
            text, folded = new, _folded(new)
    return text


class _Hints:
    """Which kinds a text may have: looked for in its different words, which are fewer."""

    def __init__(self, text: str) -> None:
        words = set(text.split())
        self._plain = "\n".join(words)
        self._folded = _folded(self._plain)
        self._long = "\n".join([word for word in words if len(word) >= _LONG])

    def of(self, kind: Kind) -> bool:
        """Whether a look is worth its time."""
        where = self._long if kind.word else self._folded if kind.folded else self._plain
        if not any(map(where.__contains__, kind.hints)):
            return False
        if kind.beside and not any(map(where.__contains__, kind.beside)):
            return False
        return not kind.hint or re.search(kind.hint, where) is not None


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _folded(text: str) -> str:
    """The text in lower case, letter for letter: some letters would become two."""
    lower = text.lower()
    return lower if len(lower) == len(text) else text.translate(_LOWER)


def _without(kind: Kind, text: str, folded: str, found: Counter[str] | None) -> str:
    said = f"[redacted {kind.name}]"

    def one(match: re.Match[str]) -> str:
        new = said if kind.replace is None else kind.replace(match, said)
        if new is None or new == match[0]:
            return match[0]
        if found is not None:
            found[kind.name] += 1
        return new

    if not kind.anchored:
        return kind.shape.sub(one, text)
    parts: list[str] = []
    last = 0
    for place in _places_of(kind.marks, folded):
        match = kind.shape.match(text, place) if place >= last else None
        new = one(match) if match else None
        # In what is no secret, one may begin: `url = "https://host/?key=…"`.
        if match and new != match[0]:
            parts += (text[last:place], new or "")
            last = match.end()
    return "".join((*parts, text[last:])) if parts else text


def _places_of(marks: tuple[str, ...], text: str) -> list[int]:
    found: set[int] = set()
    for mark in marks:
        if mark in text:
            found.update(match.start() for match in re.finditer(re.escape(mark), text))
    return sorted(found)


_PATH = re.compile(
    r"(?<![\w/.:~-])(?:file://)?(?:~|/(?!/)|[A-Za-z]:[\\/])(?:[\w.@+~ -]*[\w.@+~-])?"
    r"(?:[\\/]+[\w.@+~-]+)+[\\/]?"
)
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_HARMLESS = ("/bin/", "/usr/bin/", "/dev/", "/proc/", "/etc/")


def places(text: str) -> str:
    """The text without what tells who works where: absolute paths and e-mail addresses."""

    def path(match: re.Match[str]) -> str:
        whole = match[0]
        return whole if whole.startswith(_HARMLESS) else f"[redacted path:{short(whole)}]"

    return _PATH.sub(path, _MAIL.sub(lambda m: f"[redacted e-mail:{short(m[0])}]", text))
