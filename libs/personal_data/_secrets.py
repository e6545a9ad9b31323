"""Keys, tokens and passwords: vendors' formats, JSON Web Tokens, PEM private keys, and assignments to telling names.

Each pattern starts where a token starts (a look-behind over its own alphabet), so that the cost stays linear.
"""

import re
from collections.abc import Iterator

from libs.personal_data._findings import Finding

_VENDOR = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_-]{20,64}"
    r"|sk-(?=[A-Za-z_-]{0,64}[0-9])[A-Za-z0-9_-]{20,255}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,255}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,255}|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,1024}"
    r"|hf_[A-Za-z0-9]{30,64}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,255}|SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,64})"
    r"(?![A-Za-z0-9])"
)
_VENDOR_HINTS = (
    "AKIA",
    "ASIA",
    "ABIA",
    "ACCA",
    "gh",
    "glpat-",
    "sk-",
    "k_",
    "xox",
    "AIza",
    "ya29.",
    "hf_",
    "npm_",
    "pypi-",
    "SG.",
)
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BODY = re.compile(r"[A-Za-z0-9+/=\s\\:,-]*")
_FOR_PEOPLE = (
    "password|passwd|passphrase|passcode|pwd|passwort|kennwort|mot de passe|contraseña|wachtwoord|senha|hasło"
    "|пароль|密码|パスワード"
)
_FOR_MACHINES = (
    "secret|token|api[_ -]?key|access[_ -]?key(?:[_ -]?id)?|private[_ -]?key|client[_ -]?secret|credential|bearer"
    "|auth[_ -]?key"
)
_ASSIGNMENT = re.compile(
    rf"(?:(?P<password>{_FOR_PEOPLE})|(?P<token>{_FOR_MACHINES}))[\"'`*]{{0,3}}"
    r"(?P<sign>\s{0,3}(?::=|=>|=|:)\s{0,3}|\s{1,3}(?:is|ist|lautet|est|es|è|was)\s{1,3}|\s{1,3})[\"'`*]{0,3}"
    r"(?P<value>[^\s\"'`,;<>\x00]{6,512})",
    re.IGNORECASE,
)
_NAME_HINTS = (
    *("pass", "pwd", "wort", "woord", "senha", "contra", "hasło", "пароль", "密码", "パスワード", "mot de"),
    *("secret", "token", "key", "credential", "bearer"),
)
_REFERENCE = re.compile(
    r"\$|\{|%|os\.|env|process\.|getenv|config|settings|self\.|https?:|\*{3}|x{4}|\.{3}", re.IGNORECASE
)
"""What stands where a program reads its secret from elsewhere, or hides it."""


def find_secrets(text: str) -> Iterator[Finding]:
    """Keys, tokens, private keys and assigned passwords."""
    if any(hint in text for hint in _VENDOR_HINTS):
        yield from (Finding(*match.span(), "API_KEY") for match in _VENDOR.finditer(text))
    if "eyJ" in text:
        yield from (Finding(*match.span(), "JWT") for match in _JWT.finditer(text))
    if "-----BEGIN" in text:
        yield from _private_keys(text)
    lowered = text.lower()
    if any(hint in lowered for hint in _NAME_HINTS):
        yield from _assignments(text)


def _private_keys(text: str) -> Iterator[Finding]:
    past, more_ends = 0, True
    for begin in _PEM.finditer(text):
        if begin.start() < past:
            continue
        end = _PEM_END.search(text, begin.end()) if more_ends else None
        more_ends = end is not None
        past = end.end() if end else _end_of_body(text, begin.end())
        yield Finding(begin.start(), past, "PRIVATE_KEY")


def _end_of_body(text: str, start: int) -> int:
    """A key that was cut off ends where its base64 does."""
    body = _PEM_BODY.match(text, start)
    return start + len(body.group().rstrip()) if body else start


def _assignments(text: str) -> Iterator[Finding]:
    for match in _ASSIGNMENT.finditer(text):
        value = match["value"].rstrip(".:?)]}")
        loose = not match["sign"].strip(" ") or match["sign"].strip()[0].isalpha()
        if not _REFERENCE.match(value) and _is_secret(value, password=bool(match["password"]), loose=loose):
            yield Finding(match.start("value"), match.start("value") + len(value), "PASSWORD")


def _is_secret(value: str, *, password: bool, loose: bool) -> bool:
    """Passwords may be short and odd; other secrets are long and mixed. A sentence ("is required") is neither."""
    kinds = sum(any(map(test, value)) for test in (str.islower, str.isupper, str.isdigit, _is_symbol))
    if password:
        return len(value) >= 6 and kinds >= (3 if loose else 2)
    return len(value) >= (20 if loose else 12) and kinds >= 2 and any(map(str.isdigit, value))


def _is_symbol(character: str) -> bool:
    return not character.isalnum() and character not in "-_.()[]"
