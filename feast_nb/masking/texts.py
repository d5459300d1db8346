"""Secrets in any text: a shell's lines, SQL, an error's message, an address, a connection."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

GONE = "…"

# Words that name a secret, as parts of a name: `db_pass`, `clientSecret`, `X-Api-Key`.
NAMES = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secrets?|tokens?|credentials?|creds?|auth(?:orization)?"
    r"|bearer|(?:api|access|secret|private|account|storage|encryption|signing|shared|ssh|master)"
    r"[_-]?keys?|sas|sig(?:nature)?|conn(?:ection)?[_-]?str(?:ing)?|dsn|cookie)"
)
NAME = re.compile(rf"(?<![a-z])(?:{NAMES})(?![a-z])", re.I)

_QUOTED = r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
_BARE = r"""[^\s,;&|"'()\[\]{}<>]+"""
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # -----BEGIN RSA PRIVATE KEY-----
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)", re.S
        ),
        GONE,
    ),
    # postgresql://user:password@host
    (re.compile(r"(\w://)[^\s/@'\"]*@"), rf"\1{GONE}@"),
    (re.compile(r"(\w://)[^\s/:@'\"]*:[^\s@'\"]+@"), rf"\1{GONE}@"),
    # ?api_key=…&sig=…
    (re.compile(rf"([?&][\w.%-]{{0,60}}?{NAMES}[\w.%-]{{0,60}}=)[^&\s\"'#]+", re.I), rf"\1{GONE}"),
    # Authorization: Bearer …
    (re.compile(r"\b((?:bearer|basic|digest|apikey)\s+)[\w.~+/=:-]{4,}", re.I), rf"\1{GONE}"),
    (re.compile(r"(\bauthorization\b[\"']?\s*[:=]\s*[\"']?)[^\s\"'][^\n\"']*", re.I), rf"\1{GONE}"),
    # IDENTIFIED BY 'x', PASSWORD 'x' of SQL
    (re.compile(r"(\b(?:identified\s+by|password|secret|token|key)\s+)'(?:[^']|'')*'", re.I),
     rf"\1'{GONE}'"),
    # --password x, mysql -px, curl -u user:password
    (
        re.compile(
            rf"((?<![\w-])--?[\w-]{{0,60}}?{NAMES}[\w-]{{0,60}}[= ]\s*)(?:{_QUOTED}|{_BARE})", re.I
        ),
        rf"\1{GONE}",
    ),
    (re.compile(r"(\b(?:mysql\w*|mariadb\w*|sshpass|mongo\w*|redis-cli)\b[^\n]*?\s-(?:p|a)\s?)[^\s-]\S*"),
     rf"\1{GONE}"),
    (re.compile(rf"(\s-u\s+)(?:{_QUOTED}|[^\s:]+:\S+)"), rf"\1{GONE}"),
    # password=x, "secret": "x", export MY_TOKEN=x
    (
        re.compile(
            rf"""((?<![\w.-])[\w.-]{{0,80}}?(?<![a-z]){NAMES}(?![a-z])[\w.-]{{0,80}}["']?\s*(?:=>|[=:])\s*[rbfu]{{0,2}})"""
            rf"(?:{_QUOTED}|{_BARE})",
            re.I,
        ),
        rf"\1{GONE}",
    ),
    # %env MY_TOKEN x
    (re.compile(rf"(^\s*%(?:env|set_env)\s+\w*{NAMES}\w*[= ]\s*)\S+", re.I | re.M), rf"\1{GONE}"),
)  # fmt: skip


@cache
def _shapes() -> re.Pattern[str]:
    """Keys that are known by their look: read once, from the catalogue beside this file."""
    # By its path: `importlib.resources` imports as it goes, and a notice may come from a thread.
    text = Path(__file__).with_name("key_shapes.txt").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return re.compile("|".join(f"(?:{line})" for line in lines))


def masked_text(text: str) -> str:
    """A text without the secrets that are written in it."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return _shapes().sub(GONE, text)


def names_secret(name: str) -> bool:
    """Whether a variable, an argument or a key is named as what nobody writes down.

    By its words: `db_pass` and `clientSecret` are, `tokenizer` and `passenger_count` are not.
    """
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return NAME.search(words) is not None
