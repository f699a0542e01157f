"""The HTTP server of the page: routes, headers and refusals."""

from __future__ import annotations

import errno
import ipaddress
import json
import re
import socket
import socketserver
import traceback
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from gcseg.demo_page.page import Page
from gcseg.demo_page.uploads import LARGEST_PICTURE, LARGEST_VIDEO, is_video, plain_name
from gcseg.errors import ConfigError, GcsegError, is_out_of_memory, reason
from gcseg.system.text import say
from gcseg.visualization.html_style import STYLE

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy: the browser loads nothing from elsewhere, and runs no other script."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TO_SAVE = {"Content-Disposition": "attachment"}
"""Header of files that are saved and not shown; the page's links name them."""
_PORTS_TO_TRY = 20
_SECONDS_OF_SILENCE = 60
"""Time after which a connection is closed on which nothing comes."""
_CHUNK = 1 << 20


class Answer(NamedTuple):
    """Answer to a request.

    Args:
        content: The body, or the file that holds it.
        kind: Its media type.
        headers: More headers.
    """

    content: bytes | Path
    kind: str
    headers: dict[str, str]


def _json(content: object) -> Answer:
    return Answer(json.dumps(content).encode(), "application/json", {})


def _file(name: str, kind: str) -> Answer:
    content = (resources.files("gcseg.demo_page") / "files" / name).read_bytes()
    if name == "page.css":
        content = STYLE.encode() + content
    return Answer(content, f"{kind}; charset=utf-8", {})


def _array(content: bytes, **headers: str) -> Answer:
    compressed = {"Content-Encoding": "gzip", **headers}
    return Answer(content, "application/octet-stream", compressed)


def _attention(page: Page, key: str, number: str) -> Answer:
    content, end = page.attention(key, int(number))
    return _array(content, **{"X-Scale-End": f"{end:.4g}"})


def _table(page: Page, key: str, number: str) -> Answer:
    return Answer(page.video_file(key, int(number), "table"), "text/csv; charset=utf-8", _TO_SAVE)


def _mask(page: Page, key: str, mode: str, number: str) -> Answer:
    return Answer(page.mask_file(key, mode, int(number)), "image/png", _TO_SAVE)


def _again(page: Page, key: str, mode: str) -> Answer:
    page.again(key, mode)
    return _json({})


def _stop(page: Page, key: str) -> Answer:
    page.job(key).stop()
    return _json({})


_KEY, _MODE, _NUMBER = r"([\w-]{1,40})", r"([\w.-]{1,100})", r"([0-9]{1,3})"

_ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("GET", "/", lambda page: _file("page.html", "text/html")),
    ("GET", "/page.css", lambda page: _file("page.css", "text/css")),
    ("GET", "/page.js", lambda page: _file("page.js", "text/javascript")),
    ("GET", "/about", lambda page: _json(page.about())),
    ("GET", f"/pictures/{_KEY}/image", lambda page, key: Answer(page.image(key), "image/jpeg", {})),
    ("GET", f"/pictures/{_KEY}/attention/{_NUMBER}", _attention),
    ("GET", f"/pictures/{_KEY}/in/{_MODE}", lambda page, *at: _json(page.picture(*at))),
    ("GET", f"/pictures/{_KEY}/in/{_MODE}/{_NUMBER}/mask.png", _mask),
    (
        "GET",
        f"/pictures/{_KEY}/in/{_MODE}/{_NUMBER}/(mask|confidence)",
        lambda page, key, mode, number, kind: _array(page.layer(key, mode, int(number), kind)),
    ),
    ("GET", f"/videos/{_KEY}", lambda page, key: _json(page.job(key).described())),
    ("POST", f"/videos/{_KEY}/in/{_MODE}", _again),
    ("POST", f"/videos/{_KEY}/stop", _stop),
    (
        "GET",
        f"/videos/{_KEY}/{_NUMBER}/overlay.mp4",
        lambda page, key, number: Answer(
            page.video_file(key, int(number), "video"), "video/mp4", {}
        ),
    ),
    ("GET", f"/videos/{_KEY}/{_NUMBER}/areas.csv", _table),
)
"""Method, path and function of what is answered; what is sent as a file goes to /files."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection.

    Args:
        page: The page.
        hosts: Names by which the browser may call the server; None for any.
    """

    protocol_version = "HTTP/1.1"
    server_version = "gcseg"
    sys_version = ""
    timeout = _SECONDS_OF_SILENCE

    def __init__(self, page: Page, hosts: frozenset[str] | None, *args: Any) -> None:
        self.page = page
        self.hosts = hosts
        super().__init__(*args)

    def do_GET(self) -> None:
        """Answer GET."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer POST."""
        self._answer("POST")

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing for each request."""

    def _answer(self, method: str) -> None:
        try:
            self._send(*self._found(method))
        except (ConnectionError, TimeoutError):  # the browser has left
            self.close_connection = True

    def _found(self, method: str) -> tuple[HTTPStatus, Answer]:
        if method == "GET" and self.headers.get("Content-Length", "0") != "0":
            self.close_connection = True  # nothing reads its content
        try:
            address = urlsplit(self.path)
            is_own = self._is_from_the_page(method)
        except ValueError:
            return self._refused(HTTPStatus.BAD_REQUEST, "this is no address")
        if not is_own:
            return self._refused(HTTPStatus.FORBIDDEN, "this page answers only itself")
        try:
            if (method, address.path) == ("POST", "/files"):
                return self._received(parse_qs(address.query))
            for known, pattern, function in _ROUTES:
                if method == known and (found := re.fullmatch(pattern, unquote(address.path))):
                    return HTTPStatus.OK, function(self.page, *found.groups())
            return self._refused(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        except GcsegError as error:
            return self._refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except ConnectionError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                return self._refused(
                    HTTPStatus.UNPROCESSABLE_ENTITY, "there is too little memory: give less"
                )
            traceback.print_exc()
            return self._refused(
                HTTPStatus.INTERNAL_SERVER_ERROR, f"the command failed on this ({reason(error)})"
            )

    def _is_from_the_page(self, method: str) -> bool:
        """Return whether a request is made by the page, and not by another one in the browser."""
        host = self.headers.get("Host", "")
        if self.hosts is not None and host.lower() not in self.hosts:
            return False  # another name that was made to lead here
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return method == "GET" and self.headers.get("Sec-Fetch-Mode") == "navigate"
        origin = self.headers.get("Origin")
        return origin is None or urlsplit(origin).netloc == host

    def _received(self, query: dict[str, list[str]]) -> tuple[HTTPStatus, Answer]:
        name, mode = query.get("name", [""])[0], query.get("mode", [""])[0]
        length = self.headers.get("Content-Length", "")
        most = LARGEST_VIDEO if is_video(name) else LARGEST_PICTURE
        if not re.fullmatch("[0-9]{1,18}", length):
            return self._refused(HTTPStatus.LENGTH_REQUIRED, "the file's size is not given")
        if int(length) > most:
            return self._refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{plain_name(name)} has {int(length) / 1e6:,.0f} MB, and this page takes "
                f"{most / 1e6:,.0f} MB: give it to gcseg.predict",
            )
        # What a mistake leaves of the content would be read as the next request.
        self.close_connection = True
        return HTTPStatus.OK, _json(self.page.receive(name, mode, self.rfile, int(length)))

    def _refused(self, status: HTTPStatus, message: str) -> tuple[HTTPStatus, Answer]:
        self.close_connection = True
        return status, _json({"error": message})

    def _send(self, status: HTTPStatus, answer: Answer) -> None:
        if isinstance(answer.content, Path):
            self._send_file(answer.content, answer)
            return
        self._send_head(status, answer, len(answer.content))
        self.wfile.write(answer.content)

    def _send_head(self, status: HTTPStatus, answer: Answer, length: int, **headers: str) -> None:
        self.send_response(status)
        own = {"Content-Type": answer.kind, "Content-Length": str(length)}
        if self.close_connection:
            own["Connection"] = "close"
        for name, value in {**_HEADERS, **own, **answer.headers, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_file(self, path: Path, answer: Answer) -> None:
        """Send a file, or the part of it that a player asks for."""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            first, last, is_part = _part(self.headers.get("Range", ""), size)
            status = HTTPStatus.PARTIAL_CONTENT if is_part else HTTPStatus.OK
            told = {"Accept-Ranges": "bytes"}
            if is_part:
                told["Content-Range"] = f"bytes {first}-{last}/{size}"
            self._send_head(status, answer, last - first + 1, **told)
            file.seek(first)
            left = last - first + 1
            while left and (part := file.read(min(left, _CHUNK))):
                self.wfile.write(part)
                left -= len(part)


def _part(asked: str, size: int) -> tuple[int, int, bool]:
    """Return the first and the last byte of a range, and whether it is one; else of all bytes."""
    found = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", asked)
    if found is None or not any(found.groups()):
        return 0, size - 1, False
    if found[1]:
        first, last = int(found[1]), min(int(found[2] or size - 1), size - 1)
    else:  # the last bytes
        first, last = max(0, size - int(found[2])), size - 1
    return (first, last, True) if first <= last else (0, size - 1, False)


class Server(ThreadingHTTPServer):
    """The page's server, bound to its address.

    Args:
        page: The page.
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.

    Raises:
        OSError: The address can't be used.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, page: Page, host: str, port: int) -> None:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = family
        self.host = str(address[0])
        super().__init__((self.host, port), partial(_Handler, page, None))
        self.RequestHandlerClass = partial(_Handler, page, self._names())

    def server_bind(self) -> None:
        """Bind the socket; without asking for the host's name, as http.server does."""
        socketserver.TCPServer.server_bind(self)

    @property
    def is_loopback(self) -> bool:
        """Return whether this machine alone can reach the page."""
        return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback

    @property
    def url(self) -> str:
        """Return the address of the page."""
        anywhere = ipaddress.ip_address(self.host.partition("%")[0]).is_unspecified
        host = "localhost" if anywhere else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing where a browser has left."""

    def _names(self) -> frozenset[str] | None:
        if not self.is_loopback:
            return None  # it has any name that leads here
        port = self.server_address[1]
        hosts = {"localhost", "127.0.0.1", "[::1]", self.host}
        return frozenset({f"{host}:{port}" for host in hosts} | (hosts if port == 80 else set()))


def listen(page: Page, host: str, port: int) -> Server:
    """Bind the page to a port, or to the next free one.

    Raises:
        ConfigError: The address can't be used.
    """
    last = min(port + _PORTS_TO_TRY, 65535) if port else 0
    for one in range(port, last + 1):
        try:
            server = Server(page, host, one)
        except socket.gaierror:
            raise ConfigError(
                f"host={host} is no address of this machine",
                "give 127.0.0.1, or 0.0.0.0 for all its addresses",
            ) from None
        except PermissionError:
            raise ConfigError(
                f"port={one} needs more rights", "give a port from 1024 on, as port=7860"
            ) from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(
                    f"host={host} can't be listened on ({error.strerror})",
                    "give 127.0.0.1, or 0.0.0.0 for all addresses of this machine",
                ) from None
            continue
        if one != port:
            say(f"port {port} is taken: the page is at {one}")
        return server
    raise ConfigError(f"the ports {port} to {last} are taken", "give another port=, or port=0")
