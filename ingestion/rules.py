"""The rules that send a row to quarantine or refuse a file, and the notes about values that were normalised.

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

# Rules about a file as a whole: nothing of it is loaded.
FILE_RULES: Mapping[str, str] = {
    "empty": "the file has no bytes, or blank lines only",
    "encoding": "the bytes are not text in the feed's encoding",
    "format": "the content is not of the feed's format",
    "encrypted": "the file is encrypted",
    "archive": "the file is an archive, or compressed in a way that is not read here",
    "not_delimited": "the file is no delimited text, or has another delimiter",
    "corrupt_gzip": "the gzip content is damaged",
    "truncated_gzip": "the gzip content ends before its checksum",
    "compression_ratio": "the file grows too much when it is decompressed",
    "file_too_large": "the decompressed file is larger than the limit",
    "line_too_large": "a line is longer than the limit",
    "corrupt_parquet": "the parquet footer cannot be read",
    "missing_header": "the file has no header line",
    "nul_in_header": "the name of a column holds a NUL byte",
    "duplicate_header": "two columns have the same name",
    "missing_column": "a column that the contract needs is not there",
    "unclosed_quote": "the quotes do not pair up, so the rows cannot be told apart",
    "blanks_before_quote": "several blanks before an opening quote, which readers tell apart differently",
    "text_after_quote": "text stands between a closing quote and the next delimiter",
    "row_count_mismatch": "the engine has not read as many rows as there are lines",
    "not_json_lines": "no line is a JSON object",
    "unreadable_file": "the engine cannot read the file as what the feed says it is",
    "manifest_mismatch": "trailer or manifest state something else than what is there",
    "delivery_time": "the file's name has no delivery time",
    "quarantine_threshold": "more rows are bad than the feed's threshold allows",
    "frozen_columns": "the columns of a frozen feed have changed",
}

# About the file as a whole; each counts all of its rows.
FILE_NOTES: Mapping[str, str] = {
    "misnamed": "the name says gzip and the content does not, or the other way round; the content was believed",
    "byte_order_mark": "a byte order mark was taken off",
    "transcoded": "the text was in another encoding and became UTF-8",
    "line_ends": "lines ended with a carriage return alone",
}

NOTES: Mapping[str, str] = {
    **FILE_NOTES,
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
