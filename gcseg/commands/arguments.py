"""Command lines with arguments instead of settings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from gcseg.errors import GcsegError
from gcseg.system.text import printable, say


class ArgumentParser(argparse.ArgumentParser):
    """Parser whose error messages can't control a terminal."""

    def error(self, message: str) -> NoReturn:
        """Print usage and message, and exit."""
        super().error(printable(message))


def run_chosen(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> None:
    """Run the function that the arguments choose; exit with one line on a user's error.

    Args:
        parser: Parser that sets `run`, a function of the parsed arguments.
        arguments: The arguments; the process's own if None.
    """
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except GcsegError as error:
        say(f"error: {error}", error=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
