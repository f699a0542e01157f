"""Files of the Hugging Face Hub, in the hub's own cache, which other libraries share."""

from __future__ import annotations

import functools
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from gcseg.errors import ConfigError, DownloadError
from gcseg.system.text import say

HUB = "https://huggingface.co/"
PREFIX = "hf://"
"""Beginning of the names of networks on the hub."""
SECONDS_TO_CONNECT = 5.0
"""Most seconds to wait for a connection to the hub's server."""

_FORM = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w.-]+(?:/[\w.-]+)*))?/?", re.ASCII)


def from_hub(name: str, url: str, by_hand: Path) -> Path:
    """Fetch a file whose address is known.

    Args:
        name: Name of the checkpoint, for messages.
        url: Address of the file, `HUB`, then the repository, /resolve/main/ and the file.
        by_hand: Path at which a file that the user has fetched is found.

    Raises:
        DownloadError: If it can't be fetched.
    """
    otherwise = f"fetch {url} and put it at {by_hand}"
    hub = _package(name, otherwise)
    repository, file = url.removeprefix(HUB).split("/resolve/main/")
    try:
        with suppress(hub.errors.LocalEntryNotFoundError):
            return Path(hub.hf_hub_download(repository, file, local_files_only=True))
        if not hub.constants.HF_HUB_OFFLINE:
            _check_reachable(hub.constants.ENDPOINT)
        return Path(hub.hf_hub_download(repository, file))
    except Exception as error:  # of many types: the hub's, its web client's, the file system's
        raise DownloadError(f"{url} can't be fetched ({_reason(error)})", otherwise) from error


def is_on_hub(name: object) -> bool:
    """Return whether a name is meant as one of the hub, hf://owner/name."""
    return str(name).startswith(PREFIX)


@functools.cache  # so that a command uses one revision
def published(name: str, file: str) -> Path:
    """Fetch a file of a repository of the hub, and say the revision.

    Where the hub is out of reach, the file of the hub's cache is used.

    Args:
        name: Name as `hf://owner/name` or `hf://owner/name@revision`; the revision is a branch, a
            tag or a commit.
        file: Name of the file.

    Returns:
        The folder of that revision in the hub's cache, whose name is the commit.

    Raises:
        ConfigError: The name has another form.
        DownloadError: The package is missing, or the file can't be fetched.
    """
    found = _FORM.fullmatch(name)
    if found is None or any(part in (".", "..") for part in re.split("[/@]", name)):
        raise ConfigError(f"{name} is no name on the hub", "give hf://owner/name[@revision]")
    hub = _package(name, "download the repository and give its folder")
    out_of_reach = _out_of_reach(hub)
    folder = _fetched(hub, name, found[1], found[2], file, out_of_reach)
    cached = f", from the cache ({out_of_reach})" if out_of_reach else ""
    say(f"{name}: revision {folder.name}{cached}")
    return folder


def fetch_others(name: str, folder: Path, files: Iterable[str]) -> None:
    """Fetch more files of a revision into the hub's cache.

    Args:
        name: Name as for `published`.
        folder: Folder that `published` returned.
        files: Names of the files.

    Raises:
        DownloadError: A file can't be fetched.
    """
    found = _FORM.fullmatch(name)
    assert found is not None
    hub = _package(name, "download the repository and give its folder")
    out_of_reach = _out_of_reach(hub)
    for file in files:
        _fetched(hub, name, found[1], folder.name, file, out_of_reach)


def _fetched(
    hub: Any, name: str, repository: str, revision: str | None, file: str, out_of_reach: str
) -> Path:
    try:
        path = hub.hf_hub_download(
            repository, file, revision=revision, local_files_only=bool(out_of_reach)
        )
    except Exception as error:  # of many types: the hub's, its web client's, the file system's
        raise _not_fetched(hub, error, name, file, out_of_reach) from error
    return Path(path).parents[file.count("/")]


def _not_fetched(hub: Any, error: Exception, name: str, file: str, why: str) -> DownloadError:
    errors = hub.errors
    if isinstance(error, errors.GatedRepoError):
        return DownloadError(f"{name} is gated", "ask for access on its page, then hf auth login")
    if isinstance(error, errors.RevisionNotFoundError):
        return DownloadError(f"{name} has no such revision", "give a branch, a tag or a commit")
    if isinstance(error, errors.LocalEntryNotFoundError):
        return DownloadError(
            f"{name} is not in the cache, and the hub is out of reach ({why or _reason(error)})",
            "connect to the hub, or download the repository elsewhere and give its folder",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return DownloadError(
            f"{name} has no {file}", "give a repository that holds a folder of gcseg.publish"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return DownloadError(
            f"{name} does not exist on the hub, or is private",
            "check the name; for a private repository, hf auth login",
        )
    return DownloadError(
        f"{name} can't be fetched ({_reason(error)})",
        "try again, or download the repository elsewhere and give its folder",
    )


def _package(name: str, otherwise: str) -> Any:
    """Import the hub's package.

    Raises:
        DownloadError: It is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError:
        raise DownloadError(
            f"{name} needs the package huggingface_hub",
            f"pip install 'gcseg[hub]', or {otherwise}",
        ) from None
    return huggingface_hub


def _out_of_reach(hub: Any) -> str:
    """Return the reason why the hub can't be asked; empty if it can."""
    if hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        _check_reachable(hub.constants.ENDPOINT)
    except OSError as error:
        return _reason(error)
    return ""


def _check_reachable(address: str) -> None:
    """Fail at once if there is no network: the hub's package would try for half a minute.

    Raises:
        OSError: If the server can't be reached.
    """
    server = urlsplit(address)
    host = server.hostname or ""
    if getproxies().keys() & {"http", "https", "all"} and not proxy_bypass(host):
        return  # a proxy may reach it even if this machine can't
    port = server.port or (80 if server.scheme == "http" else 443)
    socket.create_connection((host, port), timeout=SECONDS_TO_CONNECT).close()


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
