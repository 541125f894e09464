"""What goes wrong, in one line, with the way out; and the exit codes."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes. Documented in `sixfold --help`; scripts branch on them."""

    OK = 0
    FAILED = 1
    """What was asked for could not be done."""
    USAGE = 2
    """The command line is not understood."""
    NOT_RUNNING = 3
    """Nothing runs here, or nothing answers at the address."""
    REFUSED = 4
    """The token or key is missing, wrong, expired, or may not do this."""
    LIMITED = 5
    """A limit or a full queue: the same command may succeed later."""
    INTERRUPTED = 130


class CliError(Exception):
    """One sentence of what is wrong, one of how to get out of it, a word for programs, an exit code."""

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        reason: str = "FAILED",
        code: Exit = Exit.FAILED,
        details: str = "",
        wait: float = 0.0,
        status: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reason = reason
        self.code = code
        self.details = details
        """Lines shown under the message to people, such as the end of a log."""
        self.wait = wait
        """Seconds after which the same may succeed, where the server says so."""
        self.status = status
        """HTTP status of the answer that said so; 0 for none."""

    def as_json(self) -> dict[str, object]:
        error: dict[str, object] = {"reason": self.reason, "message": self.message}
        if self.hint:
            error["hint"] = self.hint
        return {"error": error}
