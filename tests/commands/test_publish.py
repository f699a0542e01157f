"""gcseg.publish and gcseg.verify, and published folders as checkpoints."""

import csv
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from gcseg import Predictor
from gcseg.config.trained import find_checkpoint
from gcseg.errors import OutputError
from gcseg.publishing import card, new_folder
from gcseg.publishing.evaluations import Scored
from gcseg.publishing.manifest import write_manifest
from gcseg.weights import read_checkpoint_file
from tests import running

QUICK = ("accelerator=cpu", "num_workers=0")


@pytest.fixture(scope="session")
def published(training, data, tmp_path_factory):
    """The training, published with all modes."""
    cwd = tmp_path_factory.mktemp("published")
    outcome = running.run(
        "publish", f"run={training.folder}", "output=net", "license=mit", *QUICK,
        cwd=cwd, GCSEG_DATA=str(data),
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    return running.only_run(cwd), outcome


@pytest.fixture
def folder(published, tmp_path):
    """A copy of the published folder."""
    return shutil.copytree(published[0], tmp_path / "net")


@pytest.fixture
def verify(run, data, training):
    def verify(folder, *overrides, **options):
        root = f"dataset.root={_root(training)}"
        given = () if any(one.startswith("dataset.root") for one in overrides) else (root,)
        return run("verify", f"folder={folder}", *QUICK, *given, *overrides, **options)

    return verify


def _root(training):
    return yaml.safe_load((training.folder / "config.yaml").read_text())["dataset"]["root"]


def _manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def _pixels(folder):
    with (folder / "confusion" / "none.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    return f"{sum(int(cell) for row in rows for cell in row[1:]):,}"


def test_the_folder(published, training):
    folder, outcome = published
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    modes = ("flip", "msflip", "none")
    assert files == [
        "README.md", "config.yaml", *(f"confusion/{mode}.csv" for mode in modes), "data/val.csv",
        "manifest.json", "metrics.csv", "model.safetensors",
        *(f"predictions/{mode}.csv" for mode in modes), "results.json",
    ]  # fmt: skip
    assert sorted([*_manifest(folder)["files"], "manifest.json"]) == files
    for mode in modes:
        ours, run = ((one / f"confusion/{mode}.csv").read_bytes()
                     for one in (folder, training.folder))  # fmt: skip
        assert ours == run
        assert f"{mode}: the weights give the run's confusion matrix" in outcome.out
    results = json.loads((folder / "results.json").read_text())
    there = json.loads((training.folder / "results.json").read_text())
    for mode in modes:
        assert results["evaluations"][mode]["miou"] == there["evaluations"][mode]["miou"]
    assert (folder / "metrics.csv").read_bytes() == (training.folder / "metrics.csv").read_bytes()
    best = read_checkpoint_file(training.folder / "checkpoints" / "best.ckpt")
    ours = read_checkpoint_file(folder / "model.safetensors")
    assert best.tensors.keys() == ours.tensors.keys()
    assert all(torch.equal(one, ours.tensors[name]) for name, one in best.tensors.items())
    with (folder / "data" / "val.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["part"] for row in rows] == ["image", "label"] * 3
    assert all((_path(training, row["file"])).is_file() for row in rows), "names are relative"


def _path(training, name):
    return training.cwd / _root(training) / name


def test_nothing_of_the_machine_is_told(published, training, data):
    folder, outcome = published
    private = [str(data), str(training.cwd), "run_root"]
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [one for one in private if one.encode() in content], path
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    assert settings["dataset"]["root"] == "data/scenes"
    assert not settings.keys() & {"logger", "run_root", "devices"}
    assert "in the settings, dataset.root is now data/scenes" in outcome.out
    assert "left out of the settings: accelerator" in outcome.out and "logger" in outcome.out


def test_the_card_is_the_hubs(published):
    hub = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    folder, _ = published
    text = (folder / "README.md").read_text()
    card = hub.ModelCard(text)
    assert card.data.library_name == "gcseg" and card.data.license == "mit"
    assert card.data.model_name == _manifest(folder)["name"]
    results = json.loads((folder / "results.json").read_text())["evaluations"]
    found = {(tuple(one.metric_args["scales"]), one.metric_args["flip"]): one
             for one in card.data.eval_results}  # fmt: skip
    assert len(found) == 3
    for record in results.values():
        one = found[tuple(record["scales"]), record["flip"]]
        assert one.metric_type == "mean_iou" and one.metric_value == record["miou"]
        assert one.dataset_split == "val"
    assert "| **mean (mIoU)** |" in text
    for name in next(iter(results.values()))["class_iou"]:
        assert f"| {name} |" in text


def test_it_is_verified_elsewhere(folder, verify):
    outcome = verify(folder)
    assert outcome.status == 0, outcome.err
    assert f"{folder}: 12 files as published" in outcome.out
    assert "data of val: 3 pictures with labels, all as published" in outcome.out
    assert outcome.out.count(f": equal in all {_pixels(folder)} pixels") == 3
    assert f"verified: none, flip, msflip of {folder}, pixel by pixel" in outcome.out


def test_the_folder_comes_first(folder, run, training):
    outcome = run("verify", str(folder), f"dataset.root={_root(training)}", "tta=flip",
                  "trust=true", *QUICK)  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert "flip: equal" in outcome.out and "none: equal" not in outcome.out


def test_another_checkpoint_in_the_folder_is_not_used(folder, verify, run, training):
    best = folder / "checkpoints" / "best.ckpt"
    best.parent.mkdir()
    content = torch.load(training.folder / "checkpoints" / "best.ckpt", weights_only=True)
    content["state_dict"]["model.head.classifier.bias"] += torch.arange(19)
    torch.save(content, best)
    outcome = verify(folder, "tta=none")
    assert outcome.status == 0, outcome.err
    assert "not in the manifest, and not used: checkpoints/best.ckpt" in outcome.out
    assert find_checkpoint(str(folder)) == folder / "model.safetensors"
    (folder / "manifest.json").unlink()
    assert find_checkpoint(str(folder)) == best, "it is any run folder"


def test_a_mode_that_is_not_recorded(folder, verify):
    assert "no_such" in verify(folder, "split=no_such").error


@pytest.mark.parametrize("name", ["model.safetensors", "results.json", "confusion/none.csv"])
def test_one_bit_of_a_file_is_named(name, folder, verify):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert verify(folder).error.startswith(
        f"1 of 12 files of {folder} are not as published: {name} (changed)"
    )


def test_files_that_are_missing_and_others(folder, verify):
    (folder / "metrics.csv").unlink()
    (folder / ".gitattributes").write_text("")
    assert "metrics.csv (missing)" in verify(folder).error


def test_an_edited_card(folder, verify):
    card = folder / "README.md"
    (folder / "more.txt").write_text("mine")
    card.write_text(card.read_text() + "\n## Thanks\n")
    outcome = verify(folder, "tta=none")
    assert outcome.status == 0, outcome.err
    assert "README.md was edited: its metadata and its section of scores claim" in outcome.out
    assert "the rest of its text was not checked" in outcome.out
    assert "not in the manifest, and not used: more.txt" in outcome.out
    claimed = str(json.loads((folder / "results.json").read_text())["evaluations"]["none"]["miou"])
    card.write_text(card.read_text().replace(claimed, "0.99"))
    assert "README.md" in verify(folder, "tta=none").error


def _written_again(folder):
    """Write the manifest of changed files, as a forger would."""
    manifest = {key: value for key, value in _manifest(folder).items() if key != "files"}
    (folder / "manifest.json").unlink()
    write_manifest(folder, manifest)


@pytest.mark.parametrize("again", [True, False])
def test_a_forged_table_of_the_card(again, folder, verify):
    card = folder / "README.md"
    text = card.read_text()
    (row,) = re.findall(r"^\| \*\*mean \(mIoU\)\*\* .*$", text, re.MULTILINE)
    card.write_text(text.replace(row, re.sub(r"[\d.]+(?= \|)", "98.76", row)))
    if again:
        _written_again(folder)
    outcome = verify(folder, "tta=none")
    assert "README.md (its table of scores is not that of results.json)" in outcome.error
    card.write_text(text.replace("IoU in percent.", "Our best."))
    if again:
        _written_again(folder)
    outcome = verify(folder, "tta=none")
    assert outcome.status == 0, outcome.err
    assert "README.md was edited: its metadata claims" in outcome.out or again
    assert "the rest of its text was not checked" in outcome.out


@pytest.mark.parametrize("key", ["miou", "class_iou", "pixel_accuracy"])
def test_forged_scores_are_named(key, folder, verify):
    """Results and card that claim the same scores, which are not those of the weights."""
    path = folder / "results.json"
    results = json.loads(path.read_text())
    before = card.model_index(results, _evaluations(folder), "scenes")
    section = "\n\n".join(card.scores_section(results, _evaluations(folder)))
    for one in results["evaluations"].values():
        one[key] = dict.fromkeys(one[key], 0.9876) if key == "class_iou" else 0.9876
    path.write_text(json.dumps(results))
    after = card.model_index(results, _evaluations(folder), "scenes")
    readme = folder / "README.md"
    forged = readme.read_text().replace(
        section, "\n\n".join(card.scores_section(results, _evaluations(folder)))
    )
    front = yaml.safe_load(forged.split("---\n")[1])
    assert front["model-index"] == before
    front["model-index"] = after
    _, _, rest = forged.partition("\n---\n")
    readme.write_text(f"---\n{yaml.safe_dump(front)}---\n{rest}")
    _written_again(folder)
    outcome = verify(folder, "tta=none")
    assert outcome.status == 1
    assert "none: equal in all" in outcome.out
    assert f"{key} {'of ' if key == 'class_iou' else ''}" in outcome.out
    assert "98.76 % instead of " in outcome.out
    assert "error: not reproduced: the scores of none in results.json" in outcome.err


def _evaluations(folder):
    return {name: Scored(one["mode"], one["split"], tuple(one["scales"]), one["flip"])
            for name, one in _manifest(folder)["evaluations"].items()}  # fmt: skip


@pytest.fixture
def scenes(training, tmp_path):
    """A copy of the data."""
    return shutil.copytree(training.cwd / _root(training), tmp_path / "scenes")


def _file(folder, scenes, number, part):
    with (folder / "data" / "val.csv").open(newline="") as file:
        row = [row for row in csv.DictReader(file) if row["part"] == part][number]
    return row["name"], scenes / row["file"]


@pytest.mark.parametrize(("part", "noun"), [("image", "picture"), ("label", "label")])
def test_one_pixel_is_named(part, noun, folder, verify, scenes):
    name, path = _file(folder, scenes, 1, part)
    with Image.open(path) as image:
        mode, pixels = image.mode, np.array(image)
    pixels[3, 5] = pixels[60, 90] if (pixels[3, 5] != pixels[60, 90]).any() else 0
    Image.fromarray(pixels, mode).save(path)
    outcome = verify(folder, f"dataset.root={scenes}", "tta=none")
    assert outcome.status == 1
    assert f"  1 {noun} differs: {name}" in outcome.out
    assert "error: not reproduced: the data of val" in outcome.err


def test_other_pictures_are_counted(folder, verify, scenes):
    name, picture = _file(folder, scenes, 0, "image")
    _, label = _file(folder, scenes, 0, "label")
    for path in (picture, label):
        path.rename(path.with_name(path.name.replace(name.rpartition("/")[2], "new")))
    outcome = verify(folder, f"dataset.root={scenes}", "tta=none", "trust=true")
    assert outcome.status == 1
    for noun in ("picture", "label"):
        assert f"1 {noun} is missing here: {name}" in outcome.out
        assert f"1 {noun} is not among the published: " in outcome.out


def test_other_weights_are_named_by_cells_and_pictures(folder, verify):
    """Weights that someone has replaced, with new checksums of the files."""
    from gcseg.weights import own_record
    from gcseg.weights.convert import as_safetensors

    path = folder / "model.safetensors"
    content = read_checkpoint_file(path)
    tensors = dict(content.tensors)
    tensors["head.classifier.bias"] = tensors["head.classifier.bias"] + 0.3 * torch.arange(
        len(tensors["head.classifier.bias"])
    )
    path.write_bytes(as_safetensors(tensors, own_record(content.extra)))
    _written_again(folder)
    outcome = verify(folder, "tta=none")
    assert outcome.status == 1
    assert f"of {_pixels(folder)} pixels are counted elsewhere" in outcome.out
    assert "cells of the matrix: " in outcome.out and "classes concerned: " in outcome.out
    assert "3 pictures of 3 predicted otherwise: " in outcome.out
    assert "error: not reproduced: none" in outcome.err


def test_a_published_folder_is_a_checkpoint(folder, run, training, data, tmp_path):
    root = f"dataset.root={_root(training)}"
    scored = run("eval", f"checkpoint={folder}", root, "tta=none", *QUICK)
    assert scored.status == 0, scored.err
    (written,) = (tmp_path / "runs").iterdir()
    ours = json.loads((written / "results.json").read_text())["evaluations"]["none"]
    there = json.loads((training.folder / "results.json").read_text())["evaluations"]["none"]
    assert ours["miou"] == there["miou"] and "none@" not in scored.out
    pixels = np.random.default_rng(0).integers(0, 256, (47, 61, 3), np.uint8)
    ours, there = (Predictor(one, device="cpu", trust=True)(pixels)
                   for one in (folder, training.folder))  # fmt: skip
    assert np.array_equal(ours.mask, there.mask) and ours.space == there.space
    picture = tmp_path / "a.png"
    Image.fromarray(pixels).save(picture)
    done = run("predict", f"checkpoint={folder}", f"source={picture}", "output=p",
               "accelerator=cpu")  # fmt: skip
    assert done.status == 0, done.err
    more = run("train", *running.TINY, f"checkpoint={folder}", "seed=5", "tta=none")
    assert more.status == 0, more.err
    assert f"network: weights of {folder / 'model.safetensors'}" in more.out


def test_the_dataset_is_where_datasets_are_here(folder, run, data):
    """Drawn scenes have a folder below the root, which no setting of a stranger draws."""
    outcome = run("eval", f"checkpoint={folder}", "--cfg", "job", "-p", "dataset")
    assert f"root: {data}/scenes" in outcome.out


# ------------------------------------------------------------------------------- refusals


@pytest.fixture
def run_folder(training, tmp_path):
    return shutil.copytree(training.folder, tmp_path / "runs" / training.folder.name)


@pytest.fixture
def publish(run, training):
    def publish(folder, *overrides, **options):
        return run("publish", f"run={folder}", *QUICK, "tta=none", "output=out",
                   f"dataset.root={_root(training)}", *overrides, **options)  # fmt: skip

    return publish


def test_unfinished_runs_are_refused(run_folder, publish, tmp_path):
    results = run_folder / "results.json"
    content = json.loads(results.read_text())
    for change, message in (
        ({"evaluations": {}}, "has no scores"),
        ({"training": None}, "has not ended"),
    ):
        changed = {key: value for key, value in {**content, **change}.items() if value is not None}
        results.write_text(json.dumps(changed))
        assert message in publish(run_folder).error
    results.unlink()
    assert "has not ended" in publish(run_folder).error
    config = run_folder / "config.yaml"
    settings = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**settings, "quick": True}))
    assert "is a quick try" in publish(run_folder).error
    config.write_text(yaml.safe_dump(settings))
    (run_folder / "checkpoints" / "best.ckpt").unlink()
    results.write_text(json.dumps(content))
    assert "there is no" in publish(run_folder).error
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_finite_are_refused(run_folder, publish, tmp_path):
    best = run_folder / "checkpoints" / "best.ckpt"
    content = torch.load(best, weights_only=True)
    content["state_dict"]["model.head.classifier.bias"][0] = torch.nan
    torch.save(content, best)
    assert "NaN or infinity" in publish(run_folder).error
    assert not (tmp_path / "out").exists()


def test_weights_of_other_scores_are_refused(run_folder, publish, tmp_path):
    best = run_folder / "checkpoints" / "best.ckpt"
    content = torch.load(best, weights_only=True)
    content["state_dict"]["model.head.classifier.bias"] += torch.arange(19)
    torch.save(content, best)
    assert "none: at least" in publish(run_folder).error
    assert not (tmp_path / "out").exists()


def test_another_folder_is_not_written_over(run_folder, publish, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    assert "out exists" in publish(run_folder).error
    (tmp_path / "out" / "mine").unlink()
    assert publish(run_folder).status == 0, "an empty folder is one's own"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (".", "has no name"),
        ("..", "has no name"),
        ("a/..", "has no name"),
        ("x" * 240, "has too long a name"),
        ("x" * 300 + "/a", "has too long a name"),
        ("file/a/b", "is not a folder"),
        ("file", "is not a folder"),
    ],
)
def test_a_folder_that_cant_be_made_is_refused_at_once(output, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=message):
        new_folder.check_new(Path(output))


def test_a_folder_that_is_not_writable_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(OutputError, match="is not writable"):
        new_folder.check_new(tmp_path / "a" / "b")


def test_other_evaluations_are_left_out(run_folder, publish, run, training, tmp_path):
    results = run_folder / "results.json"
    content = json.loads(results.read_text())
    record = content["evaluations"]["none"]
    content["evaluations"]["none@slide64x64x32x32"] = record
    content["evaluations"]["none@train"] = {**record, "split": "train"}
    content["evaluations"]["last@x"] = {"miou": 0.5}
    results.write_text(json.dumps(content))
    outcome = publish(run_folder)
    assert outcome.status == 1 and "none@train" in outcome.err, "those are the scores of val"
    del content["evaluations"]["none@train"]
    results.write_text(json.dumps(content))
    outcome = publish(run_folder)
    assert outcome.status == 0, outcome.err
    why = "its settings are not those of the training"
    assert f"left out: none@slide64x64x32x32, {why}" in outcome.out
    assert _manifest(tmp_path / "out")["evaluations"].keys() == {"none"}


def test_other_splits_are_published(run_folder, publish, run, training, verify, tmp_path):
    root = f"dataset.root={_root(training)}"
    scored = run("eval", f"checkpoint={run_folder}", "split=train", "tta=none", root, *QUICK)
    assert scored.status == 0, scored.err
    outcome = publish(run_folder)
    assert outcome.status == 0, outcome.err
    assert _manifest(tmp_path / "out")["evaluations"].keys() == {"none", "none@train"}
    outcome = verify(tmp_path / "out", "split=train")
    assert outcome.status == 0, outcome.err
    assert "data of train: 6 pictures" in outcome.out and "data of val" not in outcome.out


# ------------------------------------------------------------------------------- strangers


def _change(folder, **entries):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**_manifest(folder), **entries}))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../secret.json", "not a path inside the folder"),
        ("/etc/passwd", "not a path inside the folder"),
        ("a/../b.json", "not a path inside the folder"),
        ("last.ckpt", "the files of a published folder are"),
        ("run.py", "the files of a published folder are"),
    ],
)
def test_names_that_no_published_folder_has(name, message, folder, verify):
    files = {**_manifest(folder)["files"], name: {"sha256": "0" * 64, "bytes": 1}}
    _change(folder, files=files)
    assert message in verify(folder).error


def test_links_out_of_the_folder_are_refused(folder, verify, run, tmp_path):
    for name in ("model.safetensors", "results.json"):
        path, outside = folder / name, tmp_path / name
        path.rename(outside)
        path.symlink_to(outside)
        assert f"{name} (a link to a place outside the folder)" in verify(folder).error
        if name == "model.safetensors":
            outcome = run("eval", f"checkpoint={folder}", "tta=none", *QUICK)
            assert "is a link to a place outside" in outcome.error
        path.unlink()
        outside.rename(path)


def test_large_and_damaged_files_end_in_a_line(folder, verify):
    with (folder / "results.json").open("wb") as file:
        file.truncate(10 * 2**30)  # sparse
    assert "results.json (10,737,418,240 bytes instead of" in verify(folder).error
    with (folder / "manifest.json").open("wb") as file:
        file.truncate(10 * 2**30)
    assert "manifest.json is refused: it has more than" in verify(folder).error
    (folder / "manifest.json").write_text("[]")
    assert "manifest.json is refused" in verify(folder).error
    (folder / "manifest.json").unlink()
    assert "is not a published folder" in verify(folder).error
    os.mkfifo(folder / "manifest.json")
    assert "manifest.json is refused: it is not a regular file" in verify(folder).error


@pytest.mark.parametrize(
    "entries",
    [
        {"format": 2},
        {"files": []},
        {"evaluations": {"none": {}}},
        {"evaluations": {"none": 3}},
        {"protocol": {}},
        {"protocol": {"precision": "64", "channels_last": True}},
    ],
)
def test_a_damaged_manifest(entries, folder, verify):
    _change(folder, **entries)
    assert "manifest.json is refused" in verify(folder).error


def test_code_that_a_folder_names_is_not_called(folder, verify):
    assert "is outside gcseg and is not called" in verify(folder, "trust=false").error


# ------------------------------------------------------------------------------- kills


def test_a_failure_leaves_no_folder(tmp_path):
    target = tmp_path / "net"
    with pytest.raises(RuntimeError), new_folder.new_folder(target) as new:
        (new / "a").write_text("a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_folder(tmp_path):
    target = tmp_path / "net"
    process = os.fork()
    if process == 0:
        with new_folder.new_folder(target) as new:
            (new / "a").write_text("a")
            os._exit(9)
    os.waitpid(process, 0)
    assert [path.name for path in tmp_path.iterdir()] == [f".net.{process}.partial-folder"]
    with new_folder.new_folder(target):
        pass
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_kill_has_left_is_removed(tmp_path):
    target = tmp_path / "net"
    left = tmp_path / ".net.4194305.partial-folder"  # no process has this number
    other = tmp_path / f".net.{os.getppid()}.partial-folder"
    for path in (left, other):
        path.mkdir()
        (path / "a").write_text("a")
    with new_folder.new_folder(target) as new:
        (new / "b").write_text("b")
        assert not target.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "net"]
    assert [path.name for path in target.iterdir()] == ["b"]
