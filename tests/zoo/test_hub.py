"""Published networks of the hub, from a stand-in of its server on this machine."""

import hashlib
import importlib.util
import socket
import subprocess
import sys

import pytest
import yaml

from tests import running, web

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="needs huggingface_hub"
)

COMMIT = "1234567890abcdef1234567890abcdef12345678"
QUICK = ("accelerator=cpu", "num_workers=0", "trust=true")


@pytest.fixture(scope="module")
def published(training, data, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("to_upload")
    outcome = running.run(
        "publish", f"run={training.folder}", "output=net", "tta=none", *QUICK,
        cwd=cwd, GCSEG_DATA=str(data),
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    return cwd / "net"


def serving(folder):
    """Answer as the hub does for the repository me/net, with the branch main and one commit."""

    def answer(handler):
        _, owner, name, _, rest = (*handler.path.split("/", 4), "")[:5]
        revision, _, file = rest.partition("/")
        error = None
        if (owner, name) == ("me", "gated"):
            error = (403, "GatedRepo")
        elif (owner, name) != ("me", "net"):
            error = (404, "RepoNotFound")
        elif revision not in ("main", COMMIT):
            error = (404, "RevisionNotFound")
        elif not (folder / file).is_file():
            error = (404, "EntryNotFound")
        if error is not None:
            handler.send_response(error[0])
            handler.send_header("X-Error-Code", error[1])
            handler.send_header("X-Repo-Commit", COMMIT)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = (folder / file).read_bytes()
        handler.send_response(200)
        handler.send_header("X-Repo-Commit", COMMIT)
        handler.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(body)

    return answer


@pytest.fixture
def hub(published, tmp_path):
    """Run code or a command in a process, as the hub's address is read at import."""

    with web.running(script=[serving(published)] * 1000) as site:

        def hub(*arguments, **environment):
            done = subprocess.run(
                [sys.executable, *arguments],
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env=running.child_environment(
                    **{
                        "HF_HOME": str(tmp_path / "hub"),
                        "HF_HUB_DISABLE_TELEMETRY": "1",
                        "HF_HUB_DISABLE_XET": "1",
                        "HF_ENDPOINT": site.url,
                        **environment,
                    }
                ),
            )
            done.asked = [path for path, _ in site.requests]
            return done

        yield hub


USE = """
import runpy
import sys
import numpy as np
from gcseg import Predictor
predictor = Predictor("hf://me/net", device="cpu", trust=True)
print(predictor(np.zeros((40, 60, 3), np.uint8)).mask.shape, flush=True)
sys.argv[0] = "gcseg.verify"
runpy.run_module("gcseg.verify", run_name="__main__")
"""
CACHED = "from gcseg.zoo.hub import published; published('hf://me/net', 'model.safetensors')"


def test_a_network_of_the_hub(hub, training):
    settings = yaml.safe_load((training.folder / "config.yaml").read_text())
    root = f"dataset.root={training.cwd / settings['dataset']['root']}"
    done = hub("-c", USE, "hf://me/net@main", root, *QUICK)
    assert done.returncode == 0, done.stderr
    revision, shape, again, *lines = done.stdout.splitlines()
    assert revision == f"hf://me/net: revision {COMMIT}" and shape == "(40, 60)"
    assert again == f"hf://me/net@main: revision {COMMIT}"
    assert "revision" not in str(lines), "one revision from the first file to the last"
    assert any(line.startswith("none: equal in all") for line in lines)
    files = [path.rpartition("/")[2] for path in done.asked]
    first = files[: files.index("manifest.json")]
    assert set(first) == {"model.safetensors"}, "nothing else is needed to predict"
    offline = hub("-c", CACHED, HF_HUB_OFFLINE="1")
    told = f"hf://me/net: revision {COMMIT}, from the cache (HF_HUB_OFFLINE is set)"
    assert offline.stdout.strip() == told


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf://me/missing", "hf://me/missing does not exist on the hub, or is private: "),
        ("hf://me/gated", "hf://me/gated is gated: "),
        ("hf://me/net@v9", "hf://me/net@v9 has no such revision: "),
        ("hf://me", "hf://me is no name on the hub: give hf://owner/name[@revision]"),
        ("hf://me/../x", "hf://me/../x is no name on the hub: "),
    ],
)
def test_names_that_the_hub_does_not_have(name, message, hub):
    done = hub("-m", "gcseg.eval", f"checkpoint={name}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {message}")


def test_without_the_hub(hub):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"  # where nobody listens
        done = hub("-m", "gcseg.predict", "checkpoint=hf://me/net", HF_ENDPOINT=address)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: hf://me/net is not in the cache, and the hub is out of reach")
    assert "Connection refused" in line
