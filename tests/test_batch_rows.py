"""What an input file holds: lines, JSONL and CSV, well and badly written."""

import pytest

from lepton_cli.engine.batch.rows import form_of, read_rows
from quant.errors import UsageError


def columns(data: bytes, form: str, delimiter: str | None = None) -> list[object]:
    """Each row's columns, or what is wrong with it."""
    rows = read_rows(data, form, delimiter)
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    return [row.error.message if row.error else row.columns for row in rows]


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b"", []),
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\n\r\n b \r\n", ["a", " b "]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        ("a\u2028b\u0085c\x0bd\n".encode(), ["a\u2028b\u0085c\x0bd"]),
        (b"\n \n\t\n", []),
    ],
)
def test_a_line_is_a_text(data, texts):
    assert columns(data, "lines") == [{"text": text} for text in texts]


def test_a_line_that_is_no_text_is_a_row_of_its_own():
    found = columns(b"a\nb\xff\nc\n", "lines")
    assert found == [{"text": "a"}, "the row is not UTF-8: byte 0xff at 1", {"text": "c"}]


def test_an_object_gives_its_fields_and_a_string_a_text():
    data = b'{"a": 1, "b": {"c": [true, null]}}\n\n"hi"\n'
    assert columns(data, "jsonl") == [{"a": 1, "b": {"c": [True, None]}}, {"text": "hi"}]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b'{"a": 1', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1e999}', "not JSON"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\xff"}', "byte 0xff at 7"),
        (b"[1]", "neither"),
        (b"17", "neither"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_line_of_bad_json_is_a_row_of_its_own(line, wrong):
    first, bad, last = columns(b'{"a": 0}\n' + line + b'\n{"a": 2}\n', "jsonl")
    assert (first, last) == ({"a": 0}, {"a": 2})
    assert wrong in bad


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_is_read_as_spreadsheets_write_it(mark, end, delimiter):
    lines = ["name|note", 'Ann|"a ""b"", c|d"', '"two\nlines"|', "", "Bob| x "]
    data = end.join(line.replace("|", delimiter).encode() for line in lines)
    rows = columns(mark + data, "csv")
    note = 'a "b", c' + delimiter + "d"
    assert rows[0] == {"name": "Ann", "note": note}
    assert rows[1:] == [{"name": "two\nlines", "note": ""}, {"name": "Bob", "note": " x "}]


def test_a_delimiter_that_is_given_is_the_one():
    assert columns(b"a,b|c\n1|2\n", "csv", "|") == [{"a,b": "1", "c": "2"}]


def test_a_csv_row_of_another_width_is_a_row_of_its_own():
    found = columns(b"a,b\n1\n1,2,3\n1,2\n", "csv")
    assert found[2] == {"a": "1", "b": "2"}
    assert found[:2] == [f"the row has {n} fields, the first line 2" for n in (1, 3)]


def test_a_csv_row_with_a_field_beyond_pythons_limit_is_read():
    assert columns(b"a\n" + b"x" * 200_000 + b"\n", "csv") == [{"a": "x" * 200_000}]


def test_a_quote_that_never_closes_is_told():
    found = columns(b'a\n1\n"2\n3\n', "csv")
    assert found[0] == {"a": "1"}
    assert "the row is not CSV" in found[1]


@pytest.mark.parametrize("header", [b"a,a", b"a,", b"a, ,b"])
def test_the_columns_of_a_csv_have_names_that_differ(header):
    with pytest.raises(UsageError, match="must name its columns"):
        read_rows(header + b"\n1,2\n", "csv")


def test_utf_16_is_refused_with_its_cure():
    with pytest.raises(UsageError, match="UTF-16"):
        read_rows("a\n".encode("utf-16"), "lines")


@pytest.mark.parametrize(
    ("suffix", "data", "form"),
    [
        (".jsonl", b"a", "jsonl"),
        (".NDJSON", b"a", "jsonl"),
        (".csv", b"{}", "csv"),
        (".tsv", b"{}", "csv"),
        (".txt", b"{}", "lines"),
        ("", b'\xef\xbb\xbf\n{"a": 1}\n', "jsonl"),
        ("", b"[1]\n", "lines"),
        ("", b"\xff", "lines"),
        ("", b"", "lines"),
    ],
)
def test_the_form_is_told_by_the_suffix_else_by_the_first_line(suffix, data, form):
    assert form_of(suffix, data) == form
