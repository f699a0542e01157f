"""The page's server: only its own routes, only to itself, and nothing from elsewhere."""

import re
import socket
from importlib import resources

import pytest

from gcseg.demo_page import server as server_module
from gcseg.demo_page.page import Limits, Page
from gcseg.demo_page.server import POLICY, listen
from gcseg.errors import ConfigError
from tests import chromium
from tests.demo_page.pages import picture, served, shown

FILES = ("page.html", "page.css", "page.js")


@pytest.fixture(scope="module")
def browser():
    with served(shown(), shown("second", seed=1)) as browser:
        yield browser


@pytest.fixture
def page():
    page = Page([shown()], Limits(1, 5))
    yield page
    page.close()


def test_the_page_names_no_other_place(browser):
    for path, name in zip(("/", "/page.css", "/page.js"), FILES, strict=True):
        status, headers, content = browser.ask(path)
        assert status == 200
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        text = content.decode()
        assert (resources.files("gcseg.demo_page") / "files" / name).read_text() in text
        assert not re.search(r"https?:|//[a-z]|@import|url\(|WebSocket|sendBeacon", text)
    assert "default-src 'none'" in POLICY and "connect-src 'self'" in POLICY


@pytest.mark.parametrize(
    "path",
    ["/file=/etc/passwd", "/files", "/../pyproject.toml", "/%2e%2e/%2e%2e/etc/passwd",
     "/pictures/..%2f..%2fetc/image", "/page.py", "/gradio_api/file=/etc/passwd", "//etc/passwd",
     "/videos/a/0/..%2f..%2fareas.csv"],
)  # fmt: skip
def test_no_other_file_is_served(browser, path):
    status, _, content = browser.ask(path)
    assert status == 404 and b"nothing at this address" in content


def test_other_pages_are_refused(browser, tmp_path):
    content = picture(tmp_path).read_bytes()
    assert browser.ask("/about", Host="evil.example")[0] == 403  # a name that leads to loopback
    assert browser.ask("/about", Host=browser.host.replace("127.0.0.1", "localhost"))[0] == 200
    before = len([*browser.page.uploads.folder.iterdir()])
    path = "/files?name=a.png&mode=none"
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"},
                    {"Sec-Fetch-Site": "cross-site"}):  # fmt: skip
        assert browser.ask(path, "POST", content, **headers)[0] == 403
    assert browser.ask("/about", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert browser.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert len([*browser.page.uploads.folder.iterdir()]) == before
    assert browser.ask(path, "POST", content, Origin=f"http://{browser.host}")[0] == 200


def test_requests_that_make_no_sense(browser, tmp_path, monkeypatch):
    content = picture(tmp_path).read_bytes()
    error = browser.give("a.png", content, mode="twice", status=422)["error"]
    assert error == "there is no mode twice: use none or flip"
    key = browser.give("a.png", content)["key"]
    for path in (f"/pictures/{key}/in/none/2/mask", f"/pictures/{key}/attention/9"):
        assert "no network" in browser.json(path, status=422)["error"]
    assert "is no video" in browser.json(f"/videos/{key}", status=422)["error"]
    assert "no longer here" in browser.json("/videos/unknown/stop", "POST", status=422)["error"]
    monkeypatch.setattr(server_module, "LARGEST_PICTURE", 10)
    error = browser.give("b.png", content, status=413)["error"]
    assert error.startswith("b.png has 0 MB, and this page takes")


def test_a_fault_of_ours_is_one_message(browser, tmp_path, monkeypatch, capfd):
    key = browser.give("a.png", picture(tmp_path).read_bytes())["key"]
    monkeypatch.setattr(browser.page, "picture", lambda *at: 1 / 0)
    error = browser.json(f"/pictures/{key}/in/none", status=500)["error"]
    assert error == "the command failed on this (division by zero)"
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_taken_port_is_left_for_the_next(page, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with listen(page, "127.0.0.1", port) as server:
            found = server.server_address[1]
            assert port < found <= port + 20 and server.url == f"http://127.0.0.1:{found}/"
    assert capsys.readouterr().out == f"port {port} is taken: the page is at {found}\n"


def test_ports_and_hosts_that_can_not_be_used(page, monkeypatch):
    with pytest.raises(ConfigError, match=r"host=192.0.2.1 can't be listened on"):
        listen(page, "192.0.2.1", 0)
    with pytest.raises(ConfigError, match="host=no such host is no address of this machine"):
        listen(page, "no such host", 0)
    monkeypatch.setattr(server_module, "_PORTS_TO_TRY", 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"the ports {port} to {port} are taken"):
            listen(page, "127.0.0.1", port)


def test_only_this_machine_unless_asked(page):
    with listen(page, "127.0.0.1", 0) as server:
        assert server.is_loopback
    with listen(page, "0.0.0.0", 0) as server:
        assert not server.is_loopback and server.url.startswith("http://localhost:")


def test_in_a_browser(browser, tmp_path):
    address = f"http://{browser.host}/"
    alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    dom, stderr = chromium.run(tmp_path, alone, "--virtual-time-budget=5000", "--dump-dom", address)
    assert chromium.console(stderr) == []
    assert "first and second" in dom and "Test-time augmentation" in dom
    legend = dom[dom.index('id="legend"') :]
    assert [name for name in ("road", "sky", "car") if name in legend] == ["road", "sky", "car"]
