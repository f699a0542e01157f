"""python -m gcseg.demo: from a checkpoint to a page, and to its end."""

import http.client
import json
import tempfile
import threading
from pathlib import Path

import pytest

from gcseg.demo_page import server as server_module
from gcseg.system.text import as_override


@pytest.fixture
def visited(monkeypatch):
    """Let the server run while its /about is asked, then press Ctrl-C."""
    seen = []
    serve = server_module.Server.serve_forever

    def visit(server):
        thread = threading.Thread(target=serve, args=(server, 0.01))
        thread.start()
        connection = http.client.HTTPConnection(*server.server_address[:2])
        connection.request("GET", "/about")
        seen.append(json.loads(connection.getresponse().read()))
        connection.close()
        seen.extend(Path(tempfile.gettempdir()).glob("gcseg-demo-*"))
        server.shutdown()
        thread.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(server_module.Server, "serve_forever", visit)
    return seen


def test_from_a_run_folder_to_ctrl_c(run, training, visited, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    outcome = run("demo", as_override("checkpoint", training.folder), "port=0")
    assert outcome.status == 0 and not outcome.err
    first, last = outcome.out.splitlines()
    assert first.startswith("page: http://127.0.0.1:") and first.endswith("/ (Ctrl-C ends it)")
    assert last == "the page is closed"
    about, folder = visited
    (network,) = about["networks"]
    assert about["modes"] == ["none", "flip", "msflip"] and about["note"] == ""
    assert network["title"] == training.folder.name
    assert network["about"] == "head gc, backbone r18, trained on scenes"
    assert network["no_attention"] == ""
    assert about["limits"]["megapixels"] == 80 and about["limits"]["frames"] == 300
    assert folder.parent == tmp_path and not folder.exists()


def test_two_checkpoints_and_one_mode(run, training, visited):
    given = as_override("checkpoint", training.folder)
    other = as_override("compare", training.folder / "checkpoints" / "last.ckpt")
    outcome = run("demo", given, other, "port=0", "tta=flip", "host=0.0.0.0", "frames=7")
    assert outcome.status == 0
    assert "everyone who reaches this machine can use the page" in outcome.out
    about, *_ = visited
    assert [one["title"] for one in about["networks"]] == [training.folder.name, "last.ckpt"]
    assert about["modes"] == ["flip"] and about["limits"]["frames"] == 7


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "checkpoint is not set"),
        (("compare=nowhere",), "there is no checkpoint nowhere"),
        (("port=70000",), "port=70000"),
        (("host=192.0.2.1",), "host=192.0.2.1 can't be listened on"),
        (("megapixels=0",), "megapixels=0"),
        (("share=true",), "share"),
    ],
)
def test_mistakes(run, training, overrides, message):
    given = (as_override("checkpoint", training.folder),) if overrides else ()
    outcome = run("demo", *given, *overrides)
    assert outcome.status == 1 and message in outcome.error
