"""Published checkpoints: what is known of them, and how their files are found and fetched."""

import hashlib
import importlib.util
import os
import random
import re
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gcseg.errors import DownloadError, OutputError, WeightsError
from gcseg.models.resnets import resnet
from gcseg.weights.architecture import without_values
from gcseg.zoo import catalogue
from gcseg.zoo.catalogue import cache_folder, find, records, resolve
from tests import web

NAMES = [record.name for record in records()]
NETWORKS = [record for record in records() if record.kind == "network"]
BACKBONES = [record for record in records() if record.kind == "backbone"]
BODY = random.Random(0).randbytes(100_000)
SHA256 = hashlib.sha256(BODY).hexdigest()

# Percent as the frameworks' tables print them: plain, flip (PaddleSeg's only), multi-scale and flip
PUBLISHED = {
    "paddleseg/gcnet_r50_cityscapes": (79.50, 79.77, 79.69),
    "paddleseg/gcnet_r101_cityscapes": (81.01, 81.30, 81.64),
    "paddleseg/gcnet_r50_voc": (80.32, 80.39, 80.54),
    "paddleseg/gcnet_r101_voc": (79.64, 79.59, 79.94),
    "mmseg/gcnet_r50_cityscapes_512x1024_40k": (77.69, 78.56),
    "mmseg/gcnet_r101_cityscapes_512x1024_40k": (78.28, 79.34),
    "mmseg/gcnet_r50_cityscapes_512x1024_80k": (78.48, 80.01),
    "mmseg/gcnet_r101_cityscapes_512x1024_80k": (79.03, 79.84),
    "mmseg/gcnet_r50_cityscapes_769x769_40k": (78.12, 80.09),
    "mmseg/gcnet_r101_cityscapes_769x769_40k": (78.95, 80.71),
    "mmseg/gcnet_r50_cityscapes_769x769_80k": (78.68, 80.66),
    "mmseg/gcnet_r101_cityscapes_769x769_80k": (79.18, 80.71),
    "mmseg/gcnet_r50_voc_20k": (76.42, 77.51),
    "mmseg/gcnet_r101_voc_20k": (77.41, 78.56),
    "mmseg/gcnet_r50_voc_40k": (76.24, 77.63),
    "mmseg/gcnet_r101_voc_40k": (77.84, 78.59),
    "mmseg/gcnet_r50_ade20k_80k": (41.47, 42.85),
    "mmseg/gcnet_r101_ade20k_80k": (42.82, 44.54),
    "mmseg/gcnet_r50_ade20k_160k": (42.37, 43.52),
    "mmseg/gcnet_r101_ade20k_160k": (43.69, 45.21),
}


# PaddleSeg's multi-scale scores since January 2023
CORRECTED = {
    "paddleseg/gcnet_r50_cityscapes": 80.16,
    "paddleseg/gcnet_r101_cityscapes": 81.85,
    "paddleseg/gcnet_r50_voc": 80.94,
    "paddleseg/gcnet_r101_voc": 80.25,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and no proxy."""
    monkeypatch.setenv("GCSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def site(monkeypatch):
    """All records' files, on this machine."""
    with web.running(body=BODY) as site:
        here = tuple(
            replace(r, url=re.sub("https://[^/]+", site.url, r.url), sha256=r.sha256 and SHA256[:8])
            for r in records()
        )
        monkeypatch.setattr(catalogue, "RECORDS", here)
        yield site


# ------------------------------------------------------------------------------- the table


def test_names_and_addresses():
    assert len(set(NAMES)) == len(NAMES)
    assert len({record.url for record in records()}) == len(NAMES)
    for record in records():
        assert re.fullmatch(r"https://[\w./-]+\.(pdparams|pth|tar\.gz|safetensors)", record.url)
        assert re.fullmatch(rf"{record.framework}/[a-z0-9_.]+", record.name)
        assert record.sha256 is None or re.fullmatch("[0-9a-f]{8,64}", record.sha256)


def test_published_scores_of_gcnets():
    gcnets = [record for record in NETWORKS if record.network == "gcnet"]
    assert {record.name for record in gcnets} == set(PUBLISHED)
    for record in gcnets:
        modes = {2: ["none", "msflip"], 3: ["none", "flip", "msflip"]}
        published = PUBLISHED[record.name]
        assert list(record.miou) == modes[len(published)]
        assert [100 * value for value in record.miou.values()] == pytest.approx(published, abs=1e-9)
        corrected = {"msflip": CORRECTED[record.name]} if record.name in CORRECTED else {}
        assert {mode: 100 * v for mode, v in record.corrected.items()} == pytest.approx(corrected)


# By framework and network: number of rows, and sums of their scores in percent as the lists print
# them, plain, flip, multi-scale and flip
LISTS = {
    ("paddleseg", "gcnet"): (4, 320.47, 321.05, 321.81),
    ("mmseg", "gcnet"): (16, 1106.67, 0, 1128.33),
    ("mmseg", "nonlocal"): (16, 1108.77, 0, 809.46),
    ("mmseg", "dnl"): (12, 801.90, 0, 496.11),
    ("mmseg", "fcn"): (20, 1320.55, 0, 1352.54),
    ("mmseg", "psp"): (20, 1429.11, 0, 1451.87),
    ("mmseg", "deeplabv3plus"): (20, 1444.84, 0, 1469.05),
    ("mmseg", "danet"): (16, 1112.78, 0, 808.96),
    ("mmseg", "ccnet"): (16, 1104.96, 0, 1126.16),
    ("mmseg", "upernet"): (16, 1104.63, 0, 1125.05),
    ("mmseg", "ocr"): (3, 241.20, 0, 0),
    ("paddleseg", "dnl"): (4, 322.36, 323.95, 163.25),
    ("paddleseg", "danet"): (2, 158.82, 159.46, 79.49),
    ("paddleseg", "psp"): (4, 320.29, 321.17, 322.81),
    ("paddleseg", "deeplabv3plus"): (5, 404.25, 405.93, 408.56),
    ("paddleseg", "ccnet"): (1, 80.95, 81.23, 81.53),
    ("paddleseg", "upernet"): (1, 79.58, 80.11, 80.64),
}


def test_rows_of_each_list():
    found = {}
    for record in NETWORKS:
        count, *sums = found.setdefault((record.framework, record.network), [0, 0.0, 0.0, 0.0])
        for place, mode in enumerate(("none", "flip", "msflip")):
            sums[place] += 100 * record.miou.get(mode, 0)
        found[record.framework, record.network] = [count + 1, *sums]
    assert found.keys() == LISTS.keys()
    for key, numbers in LISTS.items():
        assert found[key] == pytest.approx(numbers, abs=1e-6), key


def test_networks():
    for record in NETWORKS:
        paddle = record.framework == "paddleseg"
        depth, classes = record.architecture["backbone"], record.architecture["num_classes"]
        b = "b" if record.architecture["variant"] == "v1b" else ""
        assert f"resnet{depth[1:]}_" in record.url or f"_{depth}{b}" in record.url, record.name
        assert classes == {"cityscapes": 19, "voc": 21, "ade20k": 150}[record.dataset]
        assert record.architecture["variant"] == ("vd" if paddle else "v1b" if b else "v1c")
        height, width = record.crop
        crops = [f"{height}x{width}", *([f"{width}x{height}"] if paddle else [])]
        theirs = "voc12aug" if record.dataset == "voc" else record.dataset
        steps = f"{record.iters // 1000}k"
        run = record.url.split("/")[-2]
        assert any(crop in run for crop in crops) and f"_{theirs}" in run, record.name
        assert f"_{steps}" in run, record.name
        if not paddle:  # of mmsegmentation's configurations those for 769 x 769 alone align corners
            assert record.architecture["align_corners"] == ("769x769" in record.name)
        folder, file = record.source.split("/")[-2:]
        assert file == ("README.md" if paddle else "metafile.yaml")
        assert record.url.split("/")[-2].startswith(folder.split("_")[0].removesuffix("net"))


@pytest.mark.parametrize("record", BACKBONES, ids=lambda record: record.name)
def test_backbones(record):
    with without_values():
        resnet(**record.architecture)
    depth = record.architecture["depth"]
    assert f"/resnet{depth}" in record.name
    assert f"resnet{depth}" in record.url.lower()
    variants = {"torchvision": "v1b", "mmcls": "v1c", "timm": "d"}
    assert record.architecture["variant"] == variants.get(record.framework, "vd")
    assert record.dataset.startswith("ImageNet-1k")
    assert ("SSLD" in record.dataset) == record.name.endswith("_ssld") == ("ssld" in record.url)
    assert record.experiment is None
    assert not record.miou


# ------------------------------------------------------------------------------- by name


@pytest.mark.parametrize("name", NAMES)
def test_found_by_name(name):
    assert find(name).name == name


def test_found_without_the_tag():
    assert find("timm/resnet101d").name == "timm/resnet101d.ra2_in1k"
    assert find("torchvision/resnet50").name == "torchvision/resnet50"


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("paddleseg/gcnet_r101_cityscape", "paddleseg/gcnet_r101_cityscapes"),
        ("gcnet_r101_cityscapes", "paddleseg/gcnet_r101_cityscapes"),
        ("resnet50_v1c", "mmcls/resnet50_v1c"),
        ("mmseg/gcnet_r50_voc", "mmseg/gcnet_r50_voc_20k"),
        ("timm/resnet101", "timm/resnet101d.ra2_in1k"),
    ],
)
def test_names_that_may_have_been_meant(name, suggested):
    with pytest.raises(
        WeightsError,
        match=rf"^there is no published checkpoint {name}: did you mean .*{suggested}.*\? "
        "python -m gcseg.weights list shows all names$",
    ):
        find(name)


@pytest.mark.parametrize("name", ["xyz", "timm/", "."])
def test_names_like_none(name):
    with pytest.raises(WeightsError, match=f"^there is no published checkpoint {re.escape(name)}"):
        find(name)


def test_ambiguous_without_the_tag(monkeypatch):
    one = find("timm/resnet50d")
    two = replace(one, name="timm/resnet50d.a1_in1k")
    monkeypatch.setattr(catalogue, "RECORDS", (one, two))
    with pytest.raises(WeightsError, match=f"did you mean {one.name} or {two.name}"):
        find("timm/resnet50d")


# ------------------------------------------------------------------------------- the cache


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GCSEG_CACHE", "~/own")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("GCSEG_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "gcseg"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "gcseg"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("paddleseg/gcnet_r101_cityscapes", "paddleseg/gcnet_r101_cityscapes.pdparams"),
        ("mmseg/gcnet_r50_voc_20k", "mmseg/gcnet_r50_voc_20k.pth"),
        ("paddleseg/resnet50_vd_ssld", "paddleseg/resnet50_vd_ssld.tar.gz"),
        ("torchvision/resnet50_v2", "torchvision/resnet50_v2.pth"),
    ],
)
def test_fetched_into_the_cache_once(site, cache, name, file):
    assert resolve(name) == cache / file
    assert (cache / file).read_bytes() == BODY
    assert [where for where, _ in site.requests] == [find(name).url.removeprefix(site.url)]
    resolve(name)
    assert len(site.requests) == 1
    assert [path for path in cache.rglob("*") if path.is_file()] == [cache / file]


def test_checked(site, cache):
    site.body = BODY[::-1]
    with pytest.raises(
        DownloadError, match=rf"resnet50-11ad3fa6.pth has the sha256 .*{SHA256[:8]}"
    ):
        resolve("torchvision/resnet50_v2")
    site.body = BODY
    path = resolve("torchvision/resnet50_v2")
    path.write_bytes(b"spoilt")
    with pytest.raises(DownloadError, match=f"^{path} has the sha256 .*: remove it"):
        resolve("torchvision/resnet50_v2")


def test_put_there_by_hand(cache, monkeypatch):
    """Also for the hub's files: neither the package nor the network is needed."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for name, suffix in (
        ("paddleseg/gcnet_r50_voc", "pdparams"),
        ("timm/resnet18d", "safetensors"),
    ):
        path = cache / f"{find(name).name}.{suffix}"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
        assert resolve(name) == path


def test_files_come_first(tmp_path):
    given = tmp_path / "paddleseg" / "gcnet_r50_voc"
    given.parent.mkdir()
    given.write_bytes(b"mine")
    assert resolve("paddleseg/gcnet_r50_voc").resolve() == given
    assert resolve(given) == given


def test_neither_file_nor_name(tmp_path):
    with pytest.raises(
        WeightsError,
        match=r"^mmseg/gcnet_r50_voc_30k is neither a file nor a published checkpoint: did you "
        "mean mmseg/gcnet_r50_voc_[24]0k or",
    ):
        resolve("mmseg/gcnet_r50_voc_30k")
    with pytest.raises(WeightsError, match=f"^{tmp_path} is a folder: "):
        resolve(tmp_path)


def test_refused(site, cache):
    site.script = [web.error(404)]
    url = find("paddleseg/gcnet_r50_voc").url
    with pytest.raises(
        DownloadError,
        match=rf"^{url} can't be fetched \(404 Not Found\): fetch it by other means and put it at "
        f"{cache}/paddleseg/gcnet_r50_voc.pdparams$",
    ):
        resolve("paddleseg/gcnet_r50_voc")


def test_cache_that_can_not_be_written(site, cache):
    cache.write_text("a regular file")
    with pytest.raises(
        OutputError,
        match=rf"^{cache}/mmseg/gcnet_r50_voc_20k.pth can't be .* \(Not a directory\): "
        "free space there or choose another folder for .*; GCSEG_CACHE sets the folder$",
    ):
        resolve("mmseg/gcnet_r50_voc_20k")


# ------------------------------------------------------------------------------- the hub

needs_hub = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="needs huggingface_hub"
)

BY_HAND = (
    "fetch https://huggingface.co/timm/resnet18d.ra2_in1k/resolve/main/model.safetensors and put "
    "it at {}/timm/resnet18d.ra2_in1k.safetensors"
)


def hub(handler):
    """Answer as the hub does: the file's tag and commit come with its head."""
    if handler.path != "/timm/resnet18d.ra2_in1k/resolve/main/model.safetensors":
        handler.send_response(404)
        handler.send_header("X-Error-Code", "RepoNotFound")
        handler.end_headers()
        return
    handler.send_response(200)
    handler.send_header("X-Repo-Commit", "0" * 40)
    handler.send_header("ETag", f'"{SHA256}"')
    handler.send_header("Content-Length", str(len(BODY)))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(BODY)


def resolve_in_process(name, tmp_path, **environment):
    """The hub's address is read when its package is imported, so in a process of its own."""
    code = "import sys; from gcseg.zoo.catalogue import resolve; print(resolve(sys.argv[1]))"
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, name],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HOME": str(tmp_path / "hub"), **quiet, **environment},
    )


@needs_hub
def test_hub(tmp_path, cache):
    with web.running(script=[hub] * 20) as site:
        done = resolve_in_process("timm/resnet18d", tmp_path, HF_ENDPOINT=site.url)
        assert done.returncode == 0, done.stderr
        path = Path(done.stdout.strip())
        assert path.is_relative_to(tmp_path / "hub")
        assert path.read_bytes() == BODY
        missing = resolve_in_process("timm/resnet34d", tmp_path, HF_ENDPOINT=site.url)
    assert (
        "DownloadError: https://huggingface.co/timm/resnet34d.ra2_in1k/resolve/main/model"
        in (missing.stderr.splitlines()[-1])
    )
    assert "can't be fetched (404" in missing.stderr.splitlines()[-1]

    offline = resolve_in_process("timm/resnet18d", tmp_path, HF_HUB_OFFLINE="1")
    assert offline.stdout.strip() == str(path), "the hub's cache is enough"
    assert not cache.exists()


@needs_hub
def test_hub_without_a_network(tmp_path, cache):
    done = resolve_in_process("timm/resnet18d", tmp_path, HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("gcseg.errors.DownloadError: https://huggingface.co/timm/resnet18d.")
    assert message.endswith(BY_HAND.format(cache))


@needs_hub
def test_a_hub_that_is_out_of_reach_is_given_up_at_once(tmp_path, cache):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"  # where nobody listens
        start = time.monotonic()
        done = resolve_in_process("timm/resnet18d", tmp_path, HF_ENDPOINT=address)
    assert time.monotonic() - start < 15, "half of what the hub's own attempts take"
    message = done.stderr.splitlines()[-1]
    assert "Connection refused" in message and message.endswith(BY_HAND.format(cache))


def test_hub_without_its_package(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    message = (
        "timm/resnet18d.ra2_in1k needs the package huggingface_hub: pip install 'gcseg[hub]', or "
        + BY_HAND.format(cache)
    )
    with pytest.raises(DownloadError, match=f"^{re.escape(message)}$"):
        resolve("timm/resnet18d")


# ------------------------------------------------------------------------------- imports


def test_needs_no_torch():
    """Commands read the catalogue before anything heavy is imported."""
    heavy = ("torch", "numpy", "rich", "huggingface_hub", "hydra", "pytorch_lightning")
    code = (
        f"import sys, gcseg.zoo.catalogue; print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
