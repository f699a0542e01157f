"""Download a file: resumed after an interruption, checked, and stored whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError

from gcseg import __version__
from gcseg.errors import DownloadError, OutputError
from gcseg.system.records import RecordError, read_json
from gcseg.system.text import say

BLOCK = 1 << 20  # bytes read at once

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP status codes after which the same request may succeed."""

HOPELESS = (
    socket.gaierror,  # no such host, or no network
    ConnectionRefusedError,
    ssl.SSLCertVerificationError,
    http.client.InvalidURL,
    ValueError,  # an invalid URL
    str,  # urllib's own refusals, such as a redirection to another protocol
)
"""Reasons for which a second attempt would fail too."""

UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}

Report = Callable[[int, "int | None"], None]
"""Callback that gets the bytes present and the size of the whole file, if known."""


def download(
    url: str,
    path: Path,
    *,
    sha256: str | None = None,
    checksum: str | None = None,
    timeout: float = 60.0,
    tries: int = 5,
    wait: float = 1.0,
) -> None:
    """Download a file, unless it exists.

    Received bytes are kept next to the target in `<name>.partial` and continued by the next
    attempt, of this call or a later one, if the server says that its file is still the same. Of
    several processes that want the same file one downloads it and the others wait. Progress goes
    to stderr.

    Args:
        url: Address, http or https.
        path: Path of the file; its folder is made.
        sha256: Hexadecimal digest of the file or the beginning of it; None if unknown.
        checksum: A digest of another algorithm of hashlib, such as `md5:<hexadecimal>`, if only
            that is published.
        timeout: Seconds without a byte after which a connection counts as cut.
        tries: Number of attempts in all, if a connection is cut or the server is overloaded.
        wait: Seconds before the second attempt; twice as long before each further one.

    Raises:
        DownloadError: It can't be downloaded, or the result is not the expected file; the message
            gives source and target, for a download by other means.
        OutputError: It can't be written, or the disk is too small.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise DownloadError(f"{url} is not on the web", "give an address with http:// or https://")
    expected = checksum or (sha256 and f"sha256:{sha256}")
    with _disk(url, path):
        if path.is_dir():
            raise OutputError(f"{path} is a folder", f"remove it: {url} is downloaded to that path")
        if path.exists():
            if difference := _difference(path, expected):
                raise DownloadError(
                    f"{path} has {difference}",
                    f"remove it to download {url} again",
                )
            return
    with _partial_file(url, path) as file:
        if path.exists():  # another process has downloaded it meanwhile
            return
        _complete(url, path, file, timeout, tries, wait)
        with _disk(url, path):
            if difference := _difference(_partial(path), expected):
                file.truncate(0)
                raise DownloadError(
                    f"{url} has {difference}",
                    f"try again, or put the right file at {path}",
                )
            os.fsync(file.fileno())
            _partial(path).replace(path)


def _difference(path: Path, expected: str | None) -> str:
    """Describe a digest's difference from `<algorithm>:<beginning>`; empty if there is none."""
    if not expected:
        return ""
    algorithm, _, beginning = expected.partition(":")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    block = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(block[:count])
    found = digest.hexdigest()
    if found.startswith(beginning.lower()):
        return ""
    return f"the {algorithm} {found}, not {beginning}"


def _partial(path: Path) -> Path:
    """Path of the unfinished file."""
    return path.with_name(f"{path.name}.partial")


def _notes(path: Path) -> Path:
    """Path of the notes on the server's version of the unfinished file."""
    return path.with_name(f"{path.name}.partial.json")


@contextmanager
def _partial_file(url: str, path: Path) -> Iterator[IO[bytes]]:
    """Open the unfinished file to append, for this process alone; others wait here.

    The lock is on the unfinished file itself, so that no lock file stays. The process that gets it
    checks if the file still has its name, or was finished and renamed meanwhile.
    """
    partial = _partial(path)
    while True:
        with _disk(url, path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = partial.open("ab", buffering=0)
            _lock(file, path)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), partial.stat()):
                    break
            file.close()
    with file:
        try:
            yield file
        finally:
            with suppress(OSError):  # after success there is no such file
                if partial.stat().st_size == 0:
                    partial.unlink()
            if not partial.exists():
                _notes(path).unlink(missing_ok=True)


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another process that fetches {path}", error=True)
        fcntl.flock(file, fcntl.LOCK_EX)


def _complete(
    url: str, path: Path, file: IO[bytes], timeout: float, tries: int, wait: float
) -> None:
    """Complete the unfinished file, in several attempts if necessary."""
    with _progress(url, path) as (report, say):
        for attempt in range(1, tries + 1):
            try:
                _fetch(url, path, file, timeout, report)
                return
            except HTTPError as error:
                error.close()
                problem = f"{error.code} {error.reason}"
                final = error.code not in PASSING
                if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                    file.truncate(0)
                    final = False
            except (OSError, HTTPException, ValueError) as error:
                reason = error.reason if isinstance(error, URLError) else error
                problem = _in_words(reason, timeout)
                final = isinstance(reason, HOPELESS) or (
                    isinstance(reason, OSError) and reason.errno in UNREACHABLE
                )
            if final or attempt == tries:
                break
            seconds = wait * 2 ** (attempt - 1)
            say(f"{problem}, attempt {attempt + 1} of {tries} in {seconds:g} s")
            time.sleep(seconds)
    kept = os.fstat(file.fileno()).st_size if _remembered(url, path)[0] else 0
    again = f"try again to continue after {readable_size(kept)}, or " if kept else ""
    raise DownloadError(
        f"{url} can't be fetched ({problem})",
        f"{again}fetch it by other means and put it at {path}",
    )


def _fetch(url: str, path: Path, file: IO[bytes], timeout: float, report: Report) -> None:
    """Complete the unfinished file in one attempt.

    Raises:
        OSError: The request failed or the connection was cut; also as HTTPException.
        OutputError: The file can't be written.
    """
    size = os.fstat(file.fileno()).st_size
    validator, total = _remembered(url, path)
    if size and size == total:  # the process was killed between the last byte and the end
        return
    headers = {"User-Agent": f"gcseg/{__version__}", "Accept-Encoding": "identity"}
    if size and validator:
        headers |= {"Range": f"bytes={size}-", "If-Range": validator}
    request = urllib.request.Request(url, headers=headers)
    with _opener().open(request, timeout=timeout) as response:
        if response.status == http.client.PARTIAL_CONTENT:
            first, total = _content_range(response)
            if first != size:
                file.truncate(0)
                raise HTTPException("the server sent a different part than requested")
        else:  # the whole file: nothing was received, or the server's file has changed
            size, total = 0, response.length
            _start_over(url, path, file, response)
        report(size, total)
        _check_space(url, path, size, total)
        while block := response.read1(BLOCK):
            with _disk(url, path, missing=total and total - size):
                _write(file, block)
            size += len(block)
            report(size, total)
    if total is not None and size != total:
        raise ConnectionError(f"cut after {readable_size(size)} of {readable_size(total)}")


def _opener() -> urllib.request.OpenerDirector:
    """Opener with the usual handlers, without other protocols that a server could redirect to."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _content_range(response: HTTPResponse) -> tuple[int | None, int | None]:
    """First byte of a part and size of the whole file, if the server gives them."""
    text = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", text)
    if match is None:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _start_over(url: str, path: Path, file: IO[bytes], response: HTTPResponse) -> None:
    """Empty the unfinished file and note the server's version of it."""
    tag = response.headers.get("ETag", "")
    # A weak tag promises the same meaning, not the same bytes.
    validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")
    notes = {"url": url, "validator": validator, "size": response.length}
    with _disk(url, path):
        file.truncate(0)
        _notes(path).write_text(json.dumps(notes))


def _remembered(url: str, path: Path) -> tuple[str | None, int | None]:
    """Validator of the unfinished file for the server, and the size of the whole."""
    try:
        notes = read_json(_notes(path))
        return (notes["validator"], notes["size"]) if notes["url"] == url else (None, None)
    except (OSError, RecordError, KeyError, TypeError):
        return None, None


def _write(file: IO[bytes], block: bytes) -> None:
    """Write a whole block; an unbuffered file may take less at once."""
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]


def _check_space(url: str, path: Path, there: int, total: int | None) -> None:
    with _disk(url, path):
        free = shutil.disk_usage(path.parent).free
    if total is not None and total - there > free:
        raise OutputError(
            f"{url} needs {readable_size(total - there)} in {path.parent}, where "
            f"{readable_size(free)} are free",
            "free space there or choose another folder",
        )


@contextmanager
def _disk(url: str, path: Path, missing: int | None = None) -> Iterator[None]:
    """Convert errors of the file system to `OutputError`.

    Args:
        url: Source of the file.
        path: Target of the file.
        missing: Number of bytes still to be written, if known.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if missing and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            reason += f", {readable_size(missing)} more are needed"
        raise OutputError(
            f"{path} can't be read or written ({reason})",
            f"free space there or choose another folder for {url}",
        ) from error


def _in_words(reason: object, timeout: float) -> str:
    if isinstance(reason, TimeoutError):
        return f"no answer for {timeout:g} s"
    if isinstance(reason, socket.gaierror):
        return f"no network or no such host: {reason.strerror}"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__


def readable_size(count: int) -> str:
    """Format a number of bytes for people, in decimal units."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {unit}"
    return f"{count} bytes"


@contextmanager
def _progress(url: str, path: Path) -> Iterator[tuple[Report, Callable[[str], None]]]:
    """Show a line and, on a terminal, a bar; on stderr.

    Yields:
        Callbacks that report progress and print a line in between.
    """
    from rich import progress

    from gcseg.system.terminal import TextConsole

    console = TextConsole(stderr=True)
    bar = progress.Progress(
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task: progress.TaskID | None = None

    def report(there: int, total: int | None) -> None:
        nonlocal task
        if task is None:
            size = "" if total is None else f" ({readable_size(total)})"
            console.print(f"fetching {url}{size} to {path}")
            task = bar.add_task("", completed=there, total=total)
        bar.update(task, completed=there, total=total)

    with bar:
        yield report, console.print
