"""Exception types, whose messages give cause, value and remedy in one line."""

from __future__ import annotations

import signal

from gcseg.system.text import printable

LONGEST_MESSAGE = 2000
"""Most characters of a message, however long the texts from files in it are."""
LEFT_EARLY = 75
"""Exit status of a training that saved and exited on a signal (EX_TEMPFAIL of sysexits.h)."""


class GcsegError(Exception):
    """An error that the user can fix.

    Args:
        cause: Description of the problem that names the offending value, file or key.
        remedy: Advice on fixing it.
    """

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        """Return the message on one line of bounded length, without terminal control codes."""
        cause = self.cause.strip()
        if cause.startswith("Caught ") and "Traceback (most recent call last)" in cause:
            # A DataLoader raises a worker's exception again with the whole traceback as its text,
            # whose last line is the message.
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


class MismatchError(WeightsError):
    """A checkpoint fits the network in some parameters and not in others."""


class OutputError(GcsegError):
    """A result can't be written."""


class TrainingError(GcsegError):
    """A training can't continue; all of its processes raise it together."""


class MemoryLimitError(GcsegError):
    """An image can't be predicted in the available memory."""


class VerificationError(GcsegError):
    """A published network does not give here what was published."""


class DownloadError(GcsegError):
    """A file can't be fetched."""


class StoppedBySignal(BaseException):
    """A signal stopped a training; like `KeyboardInterrupt`, it should not be caught in general.

    Args:
        number: Signal that was received.
        step: Number of optimizer steps that are done and saved; None if no steps were being made.
    """

    def __init__(self, number: signal.Signals, step: int | None = None) -> None:
        super().__init__(number, step)
        self.number = number
        self.step = step

    @property
    def status(self) -> int:
        """The exit status: 130 for Ctrl-C, `LEFT_EARLY` for other signals."""
        return 130 if self.number == signal.SIGINT else LEFT_EARLY

    def __str__(self) -> str:
        """Return the message on one line."""
        after = "" if self.step is None else f" after step {self.step}"
        return f"stopped by {self.number.name}{after}: the same command resumes from there"


_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed",
                  "could not create a primitive")  # fmt: skip
"""Texts of torch's errors if an allocation failed in main memory, on a device, or in its libraries;
the last is oneDNN's whole message."""


def reason(error: BaseException) -> str:
    """Return the reason of an error, for a message: of libraries' errors only the first line."""
    if isinstance(error, GcsegError):
        return str(error)
    lines = filter(None, map(str.strip, str(error).splitlines()))
    return _cut(printable(next(lines, type(error).__name__)), LONGEST_MESSAGE // 4)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of any library says that memory could not be allocated."""
    message = str(error).lower()
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's
    told = any(text in message for text in _OUT_OF_MEMORY)
    return named or (isinstance(error, RuntimeError) and told)


def behind(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """Return the first exception of a kind among an error, its causes and contexts, if any."""
    seen: list[BaseException] = []
    while error not in seen:
        if isinstance(error, kind):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__ or error
    return None
