"""Commands that take arguments and no settings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from gcseg.errors import GcsegError
from gcseg.system.text import printable, say


class ArgumentParser(argparse.ArgumentParser):
    """Reads a command line; what it says against it does nothing to a terminal."""

    def error(self, message: str) -> NoReturn:
        """End the process with usage and message."""
        super().error(printable(message))


def run_chosen(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> None:
    """Run what the arguments choose; end the process with one line on what the user can mend.

    Args:
        parser: Sets `run`, which takes what is parsed.
        arguments: Those of the process if None.
    """
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except GcsegError as error:
        say(f"error: {error}", error=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
