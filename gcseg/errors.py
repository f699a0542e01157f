"""What can go wrong, as types: each message gives cause, value and remedy in one line."""

from __future__ import annotations

import signal

from gcseg.system.text import printable

LONGEST_MESSAGE = 2000
"""Characters of a message; what a file says does not decide how long it is."""
LEFT_EARLY = 75
"""Exit status of a training that a signal made save and leave (EX_TEMPFAIL of sysexits.h)."""


class GcsegError(Exception):
    """An error that the user can mend.

    Args:
        cause: What is wrong, with the offending value, file or key in it.
        remedy: What to do about it.
    """

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        """The message on one line of bounded length, in which no name acts on a terminal."""
        cause = self.cause.strip()
        if cause.startswith("Caught ") and "Traceback (most recent call last)" in cause:
            # A DataLoader raises a worker's exception anew with the whole traceback as its text,
            # the last line of which is the message.
            cause = cause.splitlines()[-1]
            cause = cause.removeprefix(f"{type(self).__module__}.{type(self).__name__}: ")
        cause, remedy = (printable(" ".join(part.split())) for part in (cause, self.remedy))
        remedy = _cut(remedy, max(LONGEST_MESSAGE - len(cause), LONGEST_MESSAGE // 2))
        cause = _cut(cause, LONGEST_MESSAGE - len(remedy))
        return f"{cause}: {remedy}".removesuffix(": ")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


class ConfigError(GcsegError):
    """A setting has a wrong name or value."""


class DataError(GcsegError):
    """A dataset, an image or a label is missing, unreadable or inconsistent."""


class WeightsError(GcsegError):
    """A checkpoint is missing, unreadable or does not fit the model."""


class OutputError(GcsegError):
    """A result can't be written."""


class TrainingError(GcsegError):
    """A training can't go on."""


class MemoryLimitError(GcsegError):
    """An image can't be predicted in the memory that there is."""


class DownloadError(GcsegError):
    """A file can't be fetched."""


class StoppedBySignal(BaseException):
    """A signal made a training leave; like `KeyboardInterrupt`, nothing should keep it.

    Args:
        number: The signal.
        step: Optimizer steps that are done and saved; None where no steps were being made.
    """

    def __init__(self, number: signal.Signals, step: int | None = None) -> None:
        super().__init__(number, step)
        self.number = number
        self.step = step

    @property
    def status(self) -> int:
        """The exit status: that of Ctrl-C for Ctrl-C."""
        return 130 if self.number == signal.SIGINT else LEFT_EARLY

    def __str__(self) -> str:
        """The message on one line."""
        after = "" if self.step is None else f" after step {self.step}"
        return f"stopped by {self.number.name}{after}: the same command goes on from there"


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed",
                  "could not create a primitive")  # fmt: skip
"""Of torch's errors where an allocation failed in main memory, on a device, or in its libraries;
the last is all that oneDNN says."""


def reason(error: BaseException) -> str:
    """Why something failed, for a message: of libraries' errors the first line without a stack."""
    if isinstance(error, GcsegError):
        return str(error)
    lines = filter(None, map(str.strip, str(error).splitlines()))
    return _cut(printable(next(lines, type(error).__name__)), LONGEST_MESSAGE // 4)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory could not be allocated, whoever raised it."""
    message = str(error).lower()
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's
    told = any(text in message for text in _OUT_OF_MEMORY)
    return named or (isinstance(error, RuntimeError) and told)


def behind(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The exception of a kind that an error came of, or was raised in the handling of, if any."""
    seen: list[BaseException] = []
    while error not in seen:
        if isinstance(error, kind):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__ or error
    return None
