"""Commands that take arguments and no settings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gcseg.errors import GcsegError


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
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
