"""What an input file holds: lines, JSONL and CSV, well and badly written."""

import pytest

from lepton_cli.engine.jobs.rows import form_of, read_rows
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


def test_a_line_that_is_not_text_is_a_row_of_its_own():
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


def test_what_a_csv_row_lacks_at_its_end_is_null_and_what_is_too_much_a_row_of_its_own():
    found = columns(b"a,b\n1\n1,2,3\n1,2\n1,2,,\n", "csv")
    assert found[0] == {"a": "1", "b": None}
    assert found[2] == found[3] == {"a": "1", "b": "2"}
    assert found[1] == "the row has 3 fields, and no name for '3': the first line has 2 names"
    assert "1 name" in columns(b"text\nhello, world\n", "csv")[0]


def test_a_csv_row_with_a_field_beyond_pythons_limit_is_read():
    assert columns(b"a\n" + b"x" * 200_000 + b"\n", "csv") == [{"a": "x" * 200_000}]


def test_a_quote_that_never_closes_is_reported():
    found = columns(b'a\n1\n"2\n3\n', "csv")
    assert found[0] == {"a": "1"}
    assert "the row is not CSV" in found[1]


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b",text\n0,hello\n1,who?\n", [{"text": "hello"}, {"text": "who?"}]),  # pandas' index
        (b'"","text"\n"1","a"\n', [{"text": "a"}]),  # R's
        (b",,text\nx,0,a\n", [{"text": "a"}]),
        (b"a,b,,\n1,2,,\n3,4\n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        (b"a, ,b\n1,,2\n", [{"a": "1", "b": "2"}]),
        (b"a,b\n1,2\n,,\n,\n", [{"a": "1", "b": "2"}]),  # below a spreadsheet's table
        (b"sep=;\r\na;b, c\r\n1;2\r\n", [{"a": "1", "b, c": "2"}]),
        (b'\xef\xbb\xbf"SEP=|"\na|b\n1|2,3\n', [{"a": "1", "b": "2,3"}]),
        (b"a;b, c;d\n1;2;3\n", [{"a": "1", "b, c": "2", "d": "3"}]),
        (b'"a, b";c\n1;2\n', [{"a, b": "1", "c": "2"}]),
        (b'a\n""\n', [{"a": ""}]),
        (b"a,b\n", []),
        (b"", []),
    ],
)
def test_a_csv_is_read_as_pandas_and_spreadsheets_write_it(data, rows):
    assert columns(data, "csv") == rows


def test_a_text_in_a_column_without_a_name_is_not_lost():
    assert "no name for 'x'" in columns(b"a,,b\n1,x,2\n", "csv")[0]


def test_a_tsv_may_have_commas_in_its_first_line():
    assert columns(b"a, b\tc\n1\t2\n", "tsv") == [{"a, b": "1", "c": "2"}]
    assert columns(b"a;b;c\n1\n", "tsv") == [{"a;b;c": "1"}]


@pytest.mark.parametrize(
    ("header", "wrong"), [(b"a,b,a", "has the column 'a' twice"), (b" , ", "must name its columns")]
)
def test_the_columns_of_a_csv_have_names_that_differ(header, wrong):
    with pytest.raises(UsageError, match=wrong):
        read_rows(header + b"\n1,2\n", "csv")


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b'[\n{"a": 1},\n"b"\n]\n', [{"a": 1}, {"text": "b"}]),
        (b'{\n"a": 1\n}\n', [{"a": 1}]),
        (b"[]", []),
        (b'[{"a": 1}, 2, [3]]', [{"a": 1}, *["the row is neither a JSON object nor a string"] * 2]),
        (b'["\\ud800", ""]', ["the row has a lone surrogate (half a character)", {"text": ""}]),
    ],
)
def test_an_array_of_json_gives_a_row_an_element(data, rows):
    assert columns(data, "json") == rows


def test_a_number_that_json_lacks_spoils_its_row_alone():
    bad, good = columns(b'[{"a": NaN}, {"a": 1}]', "json")
    assert "not JSON" in bad and good == {"a": 1}


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b'[{"a": 1},\n{"a": ]', "line 2, column 7"),
        (b'[{"a": 1, "a": 2}]', "'a' occurs twice"),
        (b'["\xff"]', "not UTF-8"),
    ],
)
def test_an_array_that_is_damaged_is_refused_with_the_place(data, where):
    with pytest.raises(UsageError, match=where):
        read_rows(data, "json")


def test_a_key_that_occurs_twice_is_reported():
    assert "the key 'a' occurs twice" in columns(b'{"a": 1, "a": 2}', "jsonl")[0]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "日本,語\n\n上,下\n", "a"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16BE", "UTF-32LE", "UTF-32BE"])
def test_utf_16_is_refused_with_its_cure(text, mark, encoding):
    named = encoding[:6] if mark else encoding
    with pytest.raises(UsageError, match=f"my rows.csv is {named}, not") as caught:
        read_rows((mark + text).encode(encoding), "lines", name="my rows.csv")
    convert = f"iconv -f {named} -t UTF-8 'my rows.csv' > 'my rows-utf8.csv'"
    assert convert in str(caught.value.hint)


def test_a_stray_zero_is_not_utf_16():
    assert columns(b"hello\0world\n", "lines") == [{"text": "hello\0world"}]


@pytest.mark.parametrize(
    ("suffix", "data", "form"),
    [
        (".jsonl", b"a", "jsonl"),
        (".NDJSON", b"a", "jsonl"),
        (".csv", b"{}", "csv"),
        (".tsv", b"{}", "tsv"),
        (".json", b"[]", "json"),
        (".JSON", b"hello", "json"),
        (".json", b'{"a": 1}\n{"a": 2}\n', "jsonl"),
        (".json", b'{\n"a": 1}', "json"),
        ("", b'[\n{"a": 1}, {"a": 2}\n]\n', "json"),
        ("", b'[{"a": 1}, {"a"', "json"),
        ("", b'["a", "b"]', "json"),
        ("", b'{\n"a": 1}', "json"),
        (".txt", b"{}", "lines"),
        ("", b'\xef\xbb\xbf\n{"a": 1}\n', "jsonl"),
        ("", b"[1]\n", "lines"),
        ("", b"\xff", "lines"),
        ("", b"", "lines"),
    ],
)
def test_the_form_is_recognised_by_the_suffix_else_by_the_first_line(suffix, data, form):
    assert form_of(suffix, data) == form
