"""A web server on this machine that serves one file, with faults to order."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served at every address, and what was asked for.

    Args:
        body: The file.
        etag: Its ETag; None for none.
        modified: Its Last-Modified; None for none.
        script: What answers the requests one by one, as a function of the handler; then all are
            answered well.
    """

    url: str = ""
    body: bytes = b""
    etag: str | None = '"1"'
    modified: str | None = None
    script: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    sent: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        """The parts that were asked for; None for the whole file."""
        return [headers.get("Range") for _, headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        site = self.server.site
        site.requests.append((self.path, dict(self.headers)))
        with contextlib.suppress(ConnectionError):  # the client may have gone
            (site.script.pop(0) if site.script else serve)(self)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


def serve(handler, *, cut=None, length=None, ranges=True, content_range=None, reset=False):
    """Serve the file, or the part that is asked for.

    Args:
        cut: Bytes after which the connection is closed.
        length: What is said of the number of bytes instead of the truth; -1 for nothing.
        ranges: Whether parts are served.
        content_range: What is said of the part instead of the truth.
        reset: Whether a cut resets the connection instead of closing it.
    """
    site = handler.server.site
    known = handler.headers.get("If-Range") in (None, site.etag, site.modified)
    start = 0
    if ranges and known and "Range" in handler.headers:
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start >= len(site.body):
            handler.send_error(416)
            return
        handler.send_response(206)
        handler.send_header(
            "Content-Range",
            content_range or f"bytes {start}-{len(site.body) - 1}/{len(site.body)}",
        )
    else:
        handler.send_response(200)
    if length != -1:
        handler.send_header("Content-Length", str(length or len(site.body) - start))
    for name, value in (("ETag", site.etag), ("Last-Modified", site.modified)):
        if value:
            handler.send_header(name, value)
    handler.end_headers()
    part = site.body[start:][:cut]
    handler.wfile.write(part)
    site.sent += len(part)
    if reset:
        handler.wfile.flush()
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.connection.close()


def cut(count, **options):
    return partial(serve, cut=count, **options)


def error(code):
    return lambda handler: handler.send_error(code)


def redirect(location):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.end_headers()

    return answer


def hang(count=None):
    """Serve so many bytes, or not even a status, and then nothing more."""

    def answer(handler):
        if count is not None:
            serve(handler, cut=count)
            handler.wfile.flush()
        handler.server.site.stopped.wait(30)

    return answer


@contextlib.contextmanager
def running(**options):
    """A site that is served until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.site = Site(url=f"http://127.0.0.1:{server.server_port}", **options)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield server.site
    finally:
        server.site.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()
