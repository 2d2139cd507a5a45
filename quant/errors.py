"""What a user can cause: errors that say what is wrong, how to cure it, and of which kind it is."""


class LeptonError(Exception):
    """A failure that the user can act on: a line with the values, and a hint with the cure."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(LeptonError):
    """A wrong argument, a file that is not there or may not be read, a prompt that is no text."""

    exit_code = 2


class ModelFileError(LeptonError):
    """A model file that is damaged, or holds something that Lepton does not support."""

    exit_code = 3


class ContextOverflowError(LeptonError):
    """More tokens than the context holds; the message names both numbers."""

    exit_code = 4


class OutOfMemoryError(LeptonError):
    """The model or its cache does not fit into memory."""

    exit_code = 5


class ConstraintError(LeptonError):
    """An answer that is not what was asked for: cut short, or at odds with its form."""

    exit_code = 6
