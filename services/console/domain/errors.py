"""The one error a command may end with: a line for the operator, never a traceback."""


class ConsoleError(Exception):
    """Says what was wrong, where, and what to do. `exit_code` 1: it did not work; 2: it was asked wrongly."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
