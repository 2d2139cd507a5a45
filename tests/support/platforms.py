"""Markers for tests that need a certain operating system."""

import sys

import pytest

posix = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither POSIX's file modes nor its pipes"
)
