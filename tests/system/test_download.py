"""Files from the web arrive whole, whatever the server, the network and the disk do."""

import hashlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from gcseg.errors import DownloadError, OutputError
from gcseg.system.download import download
from gcseg.system.files import sha256_of
from tests import web

BODY = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site():
    with web.running(body=BODY) as site:
        yield site


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "model.pth"


def fetch(site, path, **options):
    options = {"sha256": None, "timeout": 5, "tries": 5, "wait": 0.001} | options
    download(f"{site.url}/model.pth", path, **options)


def names(path):
    return sorted(entry.name for entry in path.parent.iterdir())


def in_process(site, path, before="", **options):
    """Start a download in a process of its own."""
    code = (
        "import sys; from pathlib import Path; from gcseg.system.download import download\n"
        f"{before}\n"
        f"download(sys.argv[1], Path(sys.argv[2]), **{options})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, f"{site.url}/model.pth", str(path)],
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


# ------------------------------------------------------------------------------- all goes well


@pytest.mark.parametrize("sha256", [None, SHA256, SHA256[:8], SHA256[:8].upper()])
def test_fetches_once(site, path, sha256, capfd):
    fetch(site, path, sha256=sha256)
    assert path.read_bytes() == BODY
    assert names(path) == ["model.pth"]
    assert capfd.readouterr() == ("", f"fetching {site.url}/model.pth (3.0 MB) to {path}\n")
    fetch(site, path, sha256=sha256)
    assert len(site.requests) == 1
    assert capfd.readouterr() == ("", "")


def test_a_bar_on_a_terminal(site, path, monkeypatch, capfd):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    site.script = [web.cut(1_000_000)]
    fetch(site, path)
    err = capfd.readouterr().err
    assert f"fetching {site.url}/model.pth (3.0 MB) to {path}" in err
    assert "cut after 1.0 MB of 3.0 MB, attempt 2 of 5 in 0.001 s" in err
    assert "3.0/3.0 MB" in err
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
def test_sha256_of(tmp_path, size):
    (tmp_path / "x").write_bytes(BODY[:size])
    assert sha256_of(tmp_path / "x") == hashlib.sha256(BODY[:size]).hexdigest()


@pytest.mark.parametrize("length", [-1, None])
@pytest.mark.parametrize("body", [b"", b"x", BODY])
def test_size_unknown_or_nothing(site, path, body, length):
    site.body = body
    site.script = [web.cut(None, length=length)]
    fetch(site, path)
    assert path.read_bytes() == body
    assert names(path) == ["model.pth"]


def test_redirected(site, path):
    target = f"{site.url}/elsewhere"
    site.script = [web.redirect(target), web.cut(1000), web.redirect(target)]
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert [where for where, _ in site.requests] == ["/model.pth", "/elsewhere"] * 2
    assert site.sent == len(BODY), "the part is asked for where the redirection leads"


# ------------------------------------------------------------------------------- cut and continued


@pytest.mark.parametrize("seed", range(4))
def test_cut_connections_are_continued(site, path, seed):
    rng = random.Random(seed)
    cuts = [rng.randrange(1, len(BODY) // 5) for _ in range(4)]
    site.script = [web.cut(count) for count in cuts]
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert names(path) == ["model.pth"]
    starts = [sum(cuts[:n]) for n in range(1, 5)]
    assert site.ranges() == [None, *(f"bytes={start}-" for start in starts)]
    assert site.sent == len(BODY), "nothing is sent twice"


def test_reset_connection(site, path):
    site.script = [web.cut(1_000_000, reset=True), web.cut(0, reset=True)]
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert len(site.requests) == 3


def test_continued_by_a_later_call(site, path):
    site.script = [web.cut(1_000_000)]
    message = (
        f"{site.url}/model.pth can't be fetched (cut after 1.0 "
        "MB of 3.0 MB): try again to continue "
        f"after 1.0 MB, or fetch it by other means and put it at {path}"
    )
    with pytest.raises(DownloadError, match=f"^{re.escape(message)}$"):
        fetch(site, path, tries=1)
    assert names(path) == ["model.pth.partial", "model.pth.partial.json"]
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert names(path) == ["model.pth"]
    assert site.ranges() == [None, "bytes=1000000-"]


def test_server_that_ignores_ranges(site, path):
    site.script = [
        web.cut(1_000_000),
        web.cut(2_000_000, ranges=False),
        web.cut(None, ranges=False),
    ]
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert site.ranges() == [None, "bytes=1000000-", "bytes=2000000-"]


@pytest.mark.parametrize(
    ("etag", "modified", "validator"),
    [
        ('"1"', None, '"1"'),
        ('"1"', "Mon, 22 Jun 2020 07:44:36 GMT", '"1"'),
        (None, "Mon, 22 Jun 2020 07:44:36 GMT", "Mon, 22 Jun 2020 07:44:36 GMT"),
        ('W/"1"', "Mon, 22 Jun 2020 07:44:36 GMT", "Mon, 22 Jun 2020 07:44:36 GMT"),
        ('W/"1"', None, None),
        (None, None, None),
    ],
)
def test_continued_only_if_the_server_knows_its_file(site, path, etag, modified, validator):
    site.etag, site.modified = etag, modified
    site.script = [web.cut(1_000_000)]
    with pytest.raises(DownloadError) as raised:
        fetch(site, path, tries=1)
    assert ("to continue after" in str(raised.value)) == (validator is not None)
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    headers = site.requests[1][1]
    assert headers.get("If-Range") == validator
    assert headers.get("Range") == (None if validator is None else "bytes=1000000-")


def test_file_that_changes_between_attempts(site, path):
    site.script = [web.cut(1_000_000)]
    with pytest.raises(DownloadError):
        fetch(site, path, tries=1)
    site.body, site.etag = BODY[::-1], '"2"'
    site.script = [web.cut(500_000)]
    fetch(site, path)
    assert path.read_bytes() == BODY[::-1]
    assert [headers.get("If-Range") for _, headers in site.requests] == [None, '"1"', '"2"']


def test_another_address_is_not_continued(site, path):
    site.script = [web.cut(1_000_000)]
    with pytest.raises(DownloadError):
        fetch(site, path, tries=1)
    download(f"{site.url}/other.pth", path)
    assert path.read_bytes() == BODY
    assert site.ranges() == [None, None]


@pytest.mark.parametrize("notes", ["", "[]", '{"url": 1}', "null", "\x00"])
def test_spoilt_notes(site, path, notes):
    site.script = [web.cut(1_000_000)]
    with pytest.raises(DownloadError):
        fetch(site, path, tries=1)
    path.with_name("model.pth.partial.json").write_text(notes)
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert site.ranges() == [None, None]


def test_part_beyond_the_end(site, path):
    """As where the file was replaced by a shorter one under the same tag."""
    site.script = [web.cut(1_000_000)]
    with pytest.raises(DownloadError):
        fetch(site, path, tries=1)
    site.body = BODY[:1000]
    fetch(site, path)
    assert path.read_bytes() == BODY[:1000]
    assert site.ranges() == [None, "bytes=1000000-", None]


@pytest.mark.parametrize("content_range", ["bytes 0-2999999/3000000", "pages 1-2/3", "bytes 5-/9"])
def test_another_part_than_asked_for(site, path, content_range):
    site.script = [web.cut(1_000_000), web.cut(None, content_range=content_range)]
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert site.ranges() == [None, "bytes=1000000-", None]


def test_killed_and_continued(site, path):
    site.script = [web.hang(1_000_000)]
    process = in_process(site, path)
    partial = path.with_name("model.pth.partial")
    wait_for(lambda: partial.exists() and partial.stat().st_size == 1_000_000)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert names(path) == ["model.pth"]
    assert site.ranges() == [None, "bytes=1000000-"]


def test_interrupted_after_the_last_byte(site, path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(site, path)
    assert not path.exists()
    monkeypatch.undo()
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert len(site.requests) == 1, "all was there"


# ------------------------------------------------------------------------------- refused and wrong


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 501])
def test_refused(site, path, code):
    site.script = [web.error(code)]
    with pytest.raises(
        DownloadError,
        match=rf"^{site.url}/model.pth can't be fetched \({code} [A-Z][A-Za-z ]+\): "
        rf"fetch it by other means and put it at {path}$",
    ):
        fetch(site, path)
    assert len(site.requests) == 1, "it would be refused again"
    assert names(path) == []


def test_refused_keeps_what_was_there(site, path):
    site.script = [web.cut(1_000_000), web.error(403)]
    with pytest.raises(
        DownloadError, match=(r"403 Forbidden.*: try again to " r"continue after 1\.0 MB")
    ):
        fetch(site, path)
    fetch(site, path, sha256=SHA256)
    assert site.ranges() == [None, "bytes=1000000-", "bytes=1000000-"]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_overloaded_for_a_while(site, path, code):
    site.script = [web.error(code), web.error(code)]
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert len(site.requests) == 3


def test_overloaded_for_long(site, path, capfd):
    site.script = [web.error(503)] * 9
    with pytest.raises(DownloadError, match=r"can't be fetched \(503 Service Unavailable\): fetch"):
        fetch(site, path, tries=3, wait=0.01)
    assert len(site.requests) == 3
    assert capfd.readouterr().err.splitlines() == [
        "503 Service Unavailable, attempt 2 of 3 in 0.01 s",
        "503 Service Unavailable, attempt 3 of 3 in 0.02 s",
    ]
    assert names(path) == []


def test_wrong_checksum(site, path):
    wrong = "0" * 64
    with pytest.raises(
        DownloadError,
        match=f"^{site.url}/model.pth has the sha256 {SHA256}, not {wrong}: "
        f"try again, or put the right file at {path}$",
    ):
        fetch(site, path, sha256=wrong)
    assert names(path) == []
    fetch(site, path, sha256=SHA256[:8])
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_other_checksums(site, path, algorithm):
    digest = hashlib.new(algorithm, BODY).hexdigest()
    wrong = "0" * len(digest)
    with pytest.raises(
        DownloadError, match=f"^{site.url}/model.pth has the {algorithm} {digest}, not {wrong}: try"
    ):
        fetch(site, path, checksum=f"{algorithm}:{wrong}")
    assert names(path) == []
    for _ in range(2):  # the second time it is there
        fetch(site, path, checksum=f"{algorithm}:{digest}")
    assert path.read_bytes() == BODY
    assert len(site.requests) == 2
    with pytest.raises(DownloadError, match=f"^{path} has the {algorithm} {digest}, not {wrong}:"):
        fetch(site, path, checksum=f"{algorithm}:{wrong}")


def test_file_there_with_a_wrong_checksum(site, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    found = hashlib.sha256(b"mine").hexdigest()
    with pytest.raises(
        DownloadError,
        match=f"^{path} has the sha256 {found}, not {SHA256}: "
        f"remove it to download {site.url}/model.pth again$",
    ):
        fetch(site, path, sha256=SHA256)
    fetch(site, path)
    assert path.read_bytes() == b"mine"
    assert not site.requests


def test_content_length_too_large(site, path):
    site.script = [web.cut(None, length=4_000_000)] * 3
    with pytest.raises(DownloadError, match=r"cut after 3\.0 MB of 4\.0 MB"):
        fetch(site, path, tries=1)
    assert not path.exists()


def test_content_length_too_small(site, path):
    site.script = [web.cut(None, length=2_000_000)]
    with pytest.raises(DownloadError, match="has the sha256"):
        fetch(site, path, sha256=SHA256)
    assert names(path) == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirected_out_of_the_web(site, path, target):
    site.script = [web.redirect(target)] * 2
    with pytest.raises(DownloadError, match="can't be fetched"):
        fetch(site, path)
    assert len(site.requests) == 1
    assert names(path) == []


def test_redirected_in_a_circle(site, path):
    site.script = [web.redirect(f"{site.url}/model.pth")] * 50
    with pytest.raises(DownloadError, match=r"can't be fetched \(302 .*infinite loop"):
        fetch(site, path)
    assert names(path) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "/etc/passwd", "x.pth"])
def test_only_the_web(tmp_path, url):
    with pytest.raises(
        DownloadError, match=f"^{url} is not on the web: give an address with http:// or https://$"
    ):
        download(url, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://a b/c", "http://127.0.0.1:x/"])
def test_no_address(path, url):
    with pytest.raises(DownloadError, match=f"^{re.escape(url)} can't be fetched"):
        download(url, path)
    assert names(path) == []


# ------------------------------------------------------------------------------- network and disk


def test_server_that_does_not_answer(site, path):
    site.script = [web.hang()] * 2
    with pytest.raises(DownloadError, match=r"can't be fetched \(no answer for 0.1 s\): fetch it"):
        fetch(site, path, timeout=0.1, tries=2)
    assert len(site.requests) == 2
    assert names(path) == []


def test_server_that_falls_silent(site, path):
    site.script = [web.hang(1_000_000)]
    fetch(site, path, timeout=0.2, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert site.ranges() == [None, "bytes=1000000-"]


def test_nobody_listens(path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        with pytest.raises(
            DownloadError,
            match=rf"^{url} can't be fetched \(Connection refused\): "
            rf"fetch it by other means and put it at {path}$",
        ):
            download(url, path)
    assert names(path) == []


def test_no_network(path, monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(
        DownloadError,
        match=r"^https://example.org/x can't be fetched \(no network or no such host: "
        rf"Temporary failure in name resolution\): fetch it by other means and put it at {path}$",
    ):
        download("https://example.org/x", path)
    assert names(path) == []


def test_disk_too_small(site, path, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        OutputError,
        match=f"^{site.url}/model.pth needs 3.0 MB in {path.parent}, where 1.0 MB are free: "
        "free space there or choose another folder$",
    ):
        fetch(site, path)
    assert names(path) == []


def test_disk_that_fills_up(site, path):
    """The kernel refuses bytes beyond a limit; what has arrived is continued when there is room."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))"
    process = in_process(site, path, before=limit)
    _, err = process.communicate()
    assert process.returncode == 1
    assert re.search(
        rf"OutputError: {path} can't be read or written \(File too large, 1\.\d MB more are "
        rf"needed\): free space there or choose another folder for {site.url}/model.pth$",
        err.strip(),
    )
    assert not path.exists()
    fetch(site, path, sha256=SHA256)
    assert path.read_bytes() == BODY
    assert names(path) == ["model.pth"]
    assert site.ranges() == [None, "bytes=2000000-"]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/x", "File exists|Not a directory"),
        ("x" * 250, "File name too long"),
        ("x" * 300, "File name too long"),
        ("loop/x", "Too many levels of symbolic links|File exists"),
        ("/proc/nowhere/x", "No such file or directory"),
    ],
)
def test_places_that_can_not_be_written(site, tmp_path, place, reason):
    (tmp_path / "file").write_text("a regular file")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(tmp_path.rglob("*"))
    path = tmp_path / place
    with pytest.raises(
        OutputError,
        match=rf"^{path} can't be read or written \(({reason})\): free space there or choose "
        rf"another folder for {site.url}/model.pth$",
    ):
        fetch(site, path)
    assert sorted(tmp_path.rglob("*")) == before
    assert not site.requests


def test_a_folder_in_the_place(site, path):
    path.mkdir(parents=True)
    with pytest.raises(OutputError, match=f"^{path} is a folder: remove it: .*/model.pth is downl"):
        fetch(site, path)
    assert not site.requests


# ------------------------------------------------------------------------------- several at once


def test_processes_at_once(site, path):
    gate = threading.Event()

    def slowly(handler):
        gate.wait(20)
        web.serve(handler)

    site.script = [slowly]
    processes = [in_process(site, path, sha256=SHA256) for _ in range(3)]
    wait_for(lambda: site.requests)
    time.sleep(0.3)  # the others come to the lock
    gate.set()
    results = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert path.read_bytes() == BODY
    assert names(path) == ["model.pth"]
    assert len(site.requests) == 1


@pytest.mark.parametrize("seed", range(3))
def test_one_goes_on_where_another_failed(site, path, seed):
    """Threads wait for one another as processes do."""
    rng = random.Random(seed)
    site.script = [web.cut(rng.randrange(1, 600_000)) for _ in range(4)]
    failures = []

    def attempt():
        try:
            fetch(site, path, tries=1, sha256=SHA256)
        except DownloadError as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == BODY
    assert names(path) == ["model.pth"]
    assert len(failures) == 4
    assert site.sent == len(BODY)


def test_who_waits_says_so(site, path):
    site.script = [web.hang(1_000_000)]
    first = in_process(site, path)
    partial = path.with_name("model.pth.partial")
    wait_for(lambda: partial.exists() and partial.stat().st_size == 1_000_000)
    second = in_process(site, path, sha256=SHA256)
    assert second.stderr.readline() == f"waiting for another process that fetches {path}\n"
    first.kill()
    first.communicate()
    _, err = second.communicate()
    assert second.returncode == 0, err
    assert path.read_bytes() == BODY
    assert names(path) == ["model.pth"]
    assert site.ranges() == [None, "bytes=1000000-"]


def test_who_waited_for_one_that_was_refused(site, path):
    """The first takes its empty file away, under the lock that the second waits for."""
    gate = threading.Event()

    def refuse(handler):
        gate.wait(20)
        handler.send_error(404)

    site.script = [refuse]
    first = in_process(site, path)
    wait_for(lambda: site.requests)
    second = in_process(site, path, sha256=SHA256)
    assert second.stderr.readline().startswith("waiting")
    gate.set()
    assert "404 Not Found" in first.communicate()[1]
    assert second.communicate()[1].startswith("fetching")
    assert (first.returncode, second.returncode) == (1, 0)
    assert path.read_bytes() == BODY
    assert names(path) == ["model.pth"]
