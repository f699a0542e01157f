"""Write a folder whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gcseg.errors import ConfigError
from gcseg.system.files import output_error

RECORD = "convert.json"
"""File in the folder of a conversion: what was made, and the mark that it may be replaced."""

_PROCESS = re.compile(r"\.(\d+)\.(new|old)$")


@contextmanager
def new_folder(output: Path, *, overwrite: bool, sources: tuple[Path, ...]) -> Iterator[Path]:
    """Make a folder under a temporary name next to its place, and rename it in the end.

    An error or a kill leaves nothing in its place. The next conversion to it removes what a killed
    one has left under the temporary name.

    Args:
        output: Place of the folder.
        overwrite: Whether a folder of an earlier conversion is replaced.
        sources: Folders that are read, which must not be replaced.

    Yields:
        The folder to write to.

    Raises:
        ConfigError: There is a folder already, or it is one of the sources.
        OutputError: It can't be written.
    """
    output = Path(os.path.realpath(output))
    for source in sources:
        if Path(os.path.realpath(source)).is_relative_to(output):
            raise ConfigError(
                f"output={output} holds what is read, {source}", "give output= another folder"
            )
    _check_free(output, overwrite=overwrite)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(output)
        new, old = (output.with_name(f"{_start(output)}.{os.getpid()}.{end}")
                    for end in ("new", "old"))  # fmt: skip
        new.mkdir()
    except OSError as error:
        raise output_error(output, error) from error
    try:
        yield new
        os.sync()
        if output.exists():
            output.replace(old)
        new.replace(output)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise output_error(Path(error.filename or output), error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if not output.exists():  # it was about to be replaced
            with suppress(OSError):
                old.replace(output)


def _check_free(output: Path, *, overwrite: bool) -> None:
    """Check that nothing is lost if the folder is written.

    Raises:
        ConfigError: Something is there.
    """
    if not output.exists():
        return
    if not output.is_dir():
        raise ConfigError(f"output={output} is a file", "give output= a folder")
    if not any(output.iterdir()):
        return
    if not (output / RECORD).is_file():
        raise ConfigError(
            f"output={output} holds other files", "give output= a folder that is not there yet"
        )
    if not overwrite:
        raise ConfigError(
            f"output={output} holds an earlier conversion", "add overwrite=true to replace it"
        )


def _remove_left(output: Path) -> None:
    """Remove what killed conversions have left; bring back a folder that one was replacing."""
    for path in sorted(output.parent.iterdir()):
        found = _PROCESS.search(path.name)
        if not path.name.startswith(f"{_start(output)}.") or found is None:
            continue
        if path.is_symlink() or Path(f"/proc/{found[1]}").exists():
            continue
        if found[2] == "old" and not output.exists():
            path.replace(output)
        else:
            shutil.rmtree(path)


def _start(output: Path) -> str:
    return os.fsdecode(os.fsencode(f".{output.name}")[:200])
