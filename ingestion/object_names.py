"""Names of delivered files as they are kept and shown: a person's address or card number in one is hidden.

What is hidden is replaced by a mask, and a keyed hash of the whole name is put behind it, so that the same name
is known again (a changed file of the same name, a second name of one content) and two names stay two.
"""

from __future__ import annotations

import re

from ingestion.tokens import TokenKey, warn_about_development_key

# The end of a data file's name is no top-level domain: "sales@berlin.csv" is no address.
SUFFIX = re.compile(r"(\.(csv|tsv|txt|dat|json|jsonl|ndjson|parquet|gz|zip))+\Z", re.IGNORECASE)
# The domain ends before an underscore: what stands behind it is mostly a date.
ADDRESS = re.compile(r"[^\s@/,;<>()\"]+(?:@|%40)(?:[^\W_][^\s@/_,;<>()\"]*)?\.[^\W\d_]{2,}", re.IGNORECASE)
DIGIT_RUN = re.compile(r"[0-9](?:[ ._-]?[0-9]){12,}")
# First digits and lengths of the card schemes in use. Dates and times that are written together have as many
# digits, and one of ten passes the Luhn test, so a number in a name must look like a scheme's.
CARD_SCHEME = re.compile(
    r"4[0-9]{12}|4[0-9]{15}|4[0-9]{18}|5[1-5][0-9]{14}|2[2-7][0-9]{14}|3[47][0-9]{13}|3[068][0-9]{12}"
    r"|35[0-9]{14}|6[0-9]{15,18}|5[06-9][0-9]{10,17}"
)
CARD_LENGTHS = range(13, 20)
HASH_DIGITS = 10


def safe_name(name: str) -> str:
    """The name itself, or what is kept and shown in its place when it holds an address or a card number.

    The hash is HMAC-SHA256 with the key of the tokens: with another key the same name is another one.
    """
    masked = DIGIT_RUN.sub(_without_card, name)
    suffix = SUFFIX.search(masked)
    end = suffix.start() if suffix else len(masked)
    masked = ADDRESS.sub("[e-mail]", masked[:end]) + masked[end:]
    if masked == name:
        return name
    warn_about_development_key()
    return f"{masked}#{TokenKey.from_environment().token(name)[:HASH_DIGITS]}"


def _without_card(found: re.Match[str]) -> str:
    digits = re.sub("[^0-9]", "", found.group())
    parts = (digits[start : start + size] for start in range(len(digits)) for size in CARD_LENGTHS)
    if any(CARD_SCHEME.fullmatch(part) and _passes_luhn(part) for part in parts):
        return f"****{digits[-4:]}"
    return found.group()


def _passes_luhn(digits: str) -> bool:
    doubled = "0246813579"
    numbers = (
        int(doubled[int(digit)] if place % 2 else digit) for place, digit in enumerate(reversed(digits))
    )
    return sum(numbers) % 10 == 0
