"""Long texts that stand as one character in the input line."""

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.layout.controls import BufferControl
from prompt_toolkit.layout.processors import Transformation, TransformationInput

from lepton_cli.ui.repl.folding import MAX_ROWS, Folds

LONG = "\n".join(f"line {number}" for number in range(300))


def shown(folds: Folds, line: str) -> Transformation:
    control, document = BufferControl(), Document(line)
    fragments = [("", line)]
    given = TransformationInput(control, document, 0, lambda i: i, fragments, 80, 24)  # type: ignore[list-item, arg-type]
    return folds.apply_transformation(given)


def test_a_folded_text_is_shown_by_its_lines_and_sent_whole() -> None:
    folds = Folds()
    line = "see: " + folds.fold(LONG, 80) + " why?"
    assert "".join(text for _, text, *_ in shown(folds, line).fragments) == "see: [300 lines] why?"
    assert folds.expand(line) == f"see: {LONG} why?"


def test_a_single_long_line_is_counted_in_characters() -> None:
    folds = Folds()
    line = folds.fold("x" * 5000, 80)
    assert "".join(text for _, text, *_ in shown(folds, line).fragments) == "[5000 characters]"


def test_a_text_of_few_rows_stays_as_it_is() -> None:
    folds = Folds()
    short = "\n".join("x" * 79 for _ in range(MAX_ROWS))
    assert folds.fold(short, 80) == short
    assert folds.fold(short, 40) != short
    assert not folds.has_any(short)


def test_the_cursor_passes_a_folded_text_in_one_step() -> None:
    folds = Folds()
    place = shown(folds, "ab" + folds.fold(LONG, 80) + "c")
    assert [place.source_to_display(at) for at in range(6)] == [0, 1, 2, 13, 14, 15]
    assert [place.display_to_source(at) for at in (0, 2, 7, 12, 13)] == [0, 2, 2, 2, 3]


def test_one_key_deletes_a_folded_text_and_undo_brings_it_back() -> None:
    folds = Folds()
    buffer = Buffer(document=Document("ab" + folds.fold(LONG, 80)))
    buffer.save_to_undo_stack()
    buffer.delete_before_cursor()
    assert folds.expand(buffer.text) == "ab"
    buffer.undo()
    assert folds.expand(buffer.text) == "ab" + LONG


def test_several_folded_texts_are_distinguished() -> None:
    folds = Folds()
    assert folds.expand(folds.fold(LONG, 80) + folds.fold(LONG * 2, 80)) == LONG * 3
