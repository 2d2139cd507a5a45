"""Exceptions for failures that a user can cause, with a message, a hint and an exit code."""


class LeptonError(Exception):
    """A failure that the user can act on: `message` names the values, `hint` says how to fix it."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LeptonError):
    """A wrong argument, a missing or unreadable file, a prompt that is not text."""

    exit_code = 2


class ModelFileError(LeptonError):
    """A model file that is damaged or uses something that Lepton does not support."""

    exit_code = 3


class ContextOverflowError(LeptonError):
    """More tokens than fit into the context; the message names both numbers."""

    exit_code = 4


class OutOfMemoryError(LeptonError):
    """The model or its cache does not fit into memory."""

    exit_code = 5


class ConstraintError(LeptonError):
    """An answer that is not as asked: cut short, or not of the required form."""

    exit_code = 6
