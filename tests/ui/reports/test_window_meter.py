"""The progress of a measurement: the time that is left, and notes where there is no terminal."""

import pytest

from lepton_cli.ui.reports.measuring.window_meter import WindowMeter
from lepton_cli.ui.terminal.status_line import ERASE_LINE


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr("lepton_cli.ui.terminal.status_line.redraws", lambda stream: True)


def test_the_time_left_is_that_of_the_windows_read_since_the_first(terminal, capsys):
    """Also where earlier windows were read by another run."""
    times = iter([0.0, 30.0, 32.0, 36.0])
    with WindowMeter(clock=lambda: next(times)) as meter:
        for done in (11, 12, 14):
            meter.show(done, 20, 256.0, "PPL = 5")
    assert capsys.readouterr().err.split(ERASE_LINE) == [
        "",
        "window 11 of 20: PPL = 5, 256 t/s",
        "window 12 of 20: PPL = 5, 256 t/s, 0:16 left",
        "window 14 of 20: PPL = 5, 256 t/s, 0:12 left",
        "",
    ]


def test_elsewhere_a_note_comes_every_ten_seconds(capsys):
    now = [0.0]
    with WindowMeter("question", clock=lambda: now[0]) as meter:
        for second in range(1, 25):
            now[0] = float(second)
            meter.show(second, 24, 100.0, "accuracy 50 %")
    assert capsys.readouterr().err.splitlines() == [
        "lepton: note: question 10 of 24: accuracy 50 %, 100 t/s, 0:14 left",
        "lepton: note: question 20 of 24: accuracy 50 %, 100 t/s, 0:04 left",
    ]
