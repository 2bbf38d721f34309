"""The rules that send a row to quarantine, and the notes about values that were normalised on the way in.

The words are an interface: they stand in `ops.quarantine.rule` and never change their meaning.
"""

from __future__ import annotations

from collections.abc import Mapping

# Rules about the row as a whole are tested before any column; the first failing one is `rule`.
ROW_RULES: Mapping[str, str] = {
    "nul_byte": "the row contains a NUL byte",
    "malformed_row": "the row cannot be taken apart into columns",
    "short_row": "the row has fewer cells than the header",
    "long_row": "the row has more cells than the header",
}

COLUMN_RULES: Mapping[str, str] = {
    "missing_value": "a required value is empty, or a key says NULL, N/A or the like",
    "field_too_large": "the text is longer than 65,535 bytes, more than a warehouse column holds",
    "not_a_number": "the text is no plain decimal number in the feed's notation (no exponents, no symbols)",
    "not_finite": "the number is NaN, infinite, or has an exponent of three digits or more",
    "too_many_decimals": "the number has more than four decimals that are not zero",
    "not_an_integer": "the text is no whole number",
    "out_of_range": "the number is outside the bounds of the contract",
    "not_a_boolean": "the text is none of true/false, t/f, yes/no, y/n, 1/0",
    "not_a_timestamp": "the text is no point in time in the feed's format, or no such time exists",
    "not_a_date": "the text is no date in the feed's format, or no such day exists",
    "sentinel_date": "a required date is a placeholder (0001-01-01, 1970-01-01, 9999-12-31)",
    "nonexistent_local_time": "the local time was skipped when the clocks went forward",
    "future_date": "the date is more than 24 hours after the file arrived",
    "unknown_currency": "the word is no ISO 4217 currency code",
    "discount_exceeds_amount": "the discount is larger than quantity times price",
}

RULES: Mapping[str, str] = {**ROW_RULES, **COLUMN_RULES}

NOTES: Mapping[str, str] = {
    "sentinel_date": "a placeholder date became no value",
    "rounded": "a number had more than four decimals and was rounded, as the feed says",
    "blank_word": "a reference that says NULL, N/A or the like became no value",
    "ambiguous_local_time": "the local time happened twice; the earlier one was taken",
    "unmapped_word": "the feed maps this word to none of the contract's; it loads as `unmapped`",
    "card_number_masked": "a card number in a text was cut to its last four digits, in an id replaced by a token",
    "email_masked": "an e-mail address in a text was taken out, in an id replaced by a token",
    "double_encoded": "a text reads as if its UTF-8 had been encoded twice; it was kept as it came",
    "repeated_header": "the header line stood again between the rows and was left out",
}
