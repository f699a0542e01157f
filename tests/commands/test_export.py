"""gcseg.export, and exports in gcseg.eval, gcseg.predict and gcseg.Predictor."""

import csv
import json
import os
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from gcseg import Predictor
from gcseg.commands import benchmark
from gcseg.exports import proof, writing
from gcseg.exports.names import SUFFIXES
from tests import running
from tests.processes import run_together

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.fixture(scope="session")
def exported(training, data, tmp_path_factory):
    """A copy of the training's network as ONNX, in its usual place."""
    cwd = tmp_path_factory.mktemp("exported")
    folder = shutil.copytree(training.folder, cwd / "runs" / training.folder.name)
    outcome = running.run(
        "export", f"checkpoint={folder}", "accelerator=cpu", cwd=cwd, GCSEG_DATA=str(data)
    )
    assert outcome.status == 0, outcome.err
    return folder / "exports" / "best.onnx"


def test_a_proof_lies_in_the_file_and_next_to_it(exported):
    note = json.loads(exported.with_name("best.onnx.json").read_text())
    model = onnx.load(exported)
    (text,) = [one.value for one in model.metadata_props if one.key == "gcseg"]
    assert json.loads(text).items() <= note.items()
    assert note["proof"]["passed"] and note["proof"]["images"] == 3
    assert note["proof"]["equal"] >= 0.99999
    assert note["classes"] and len(note["colors"]) == len(note["classes"])
    shape = [
        dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim
    ]
    assert shape == ["batch", 3, "height", "width"]


def test_every_mode_scores_an_export_as_the_checkpoint(exported, training, run, tmp_path):
    outcome = run("eval", f"checkpoint={exported}", "tta=all", "accelerator=cpu", "num_workers=0")
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "runs").iterdir()
    found = json.loads((folder / "results.json").read_text())["evaluations"]
    trained = json.loads((training.folder / "results.json").read_text())["evaluations"]
    assert len(found) == 3
    for name, one in found.items():
        assert one["miou"] == pytest.approx(trained[name]["miou"], abs=1e-4)


@pytest.mark.slow
def test_two_processes_count_what_one_does(exported, run, tmp_path, data):
    given = (f"checkpoint={exported}", "tta=all", "accelerator=cpu", "num_workers=0")
    assert run("eval", *given, "run_root=one").status == 0
    outcomes = run_together(
        2, "eval", *given, "devices=2", "run_root=two", cwd=tmp_path, GCSEG_DATA=str(data)
    )
    assert all(outcome.status == 0 for outcome in outcomes), outcomes
    one, two = (running.only_run(tmp_path / root) / "confusion" for root in ("one", "two"))
    tables = {path.name: path.read_text() for path in one.iterdir()}
    assert set(tables) == {"none.csv", "flip.csv", "msflip.csv"}
    assert {path.name: path.read_text() for path in two.iterdir()} == tables


def test_an_export_predicts_in_python(exported, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (47, 61, 3), np.uint8)
    checkpoint = exported.parent.parent
    ours = Predictor(checkpoint, device="cpu", trust=True)(pixels)
    found = Predictor(exported, device="cpu", trust=True)(pixels)
    assert found.classes == ours.classes
    assert np.mean(found.mask == ours.mask) > 0.999


@pytest.mark.slow
def test_labels_from_raw_pictures(run, training, tmp_path, data):
    outcome = run(
        "export", f"checkpoint={training.folder}", "values=labels", "preprocessing=true",
        "output=labels.onnx", "accelerator=cpu", "proof.limit=1",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "labels.onnx")
    picture = next((data / "scenes").rglob("val/**/*.png"), None)
    pixels = np.asarray(Image.open(picture).convert("RGB")) if picture else np.full((40, 50, 3), 99)
    batch = pixels.astype(np.float32).transpose(2, 0, 1)[None]
    (mask,) = session.run(None, {"images": batch})
    ours = Predictor(training.folder, device="cpu", trust=True)(pixels.astype(np.uint8))
    assert mask.dtype == np.uint8
    assert np.mean(mask[0] == ours.mask) > 0.999
    refused = run("eval", "checkpoint=labels.onnx", "tta=all", "accelerator=cpu")
    assert "gives labels, of which no mean over views" in refused.error


@pytest.mark.slow
def test_int8_is_calibrated_and_judged(run, training, tmp_path, monkeypatch):
    def export(*overrides):
        return run("export", f"checkpoint={training.folder}", "precision=int8", "output=q.onnx",
                   "calibration.images=2", "accelerator=cpu", *overrides)  # fmt: skip

    strict = {**proof.LIMITS, "int8": {"equal": 1.1, "miou": 0.0}}
    monkeypatch.setattr(proof, "LIMITS", strict)
    outcome = export()
    assert outcome.status == 1
    assert "the export is not the trained network" in outcome.err
    assert list(tmp_path.iterdir()) == []  # no file, not even a half one
    outcome = export("force=true")
    assert outcome.status == 0, outcome.err
    assert "warning: the proof failed" in outcome.out
    note = json.loads((tmp_path / "q.onnx.json").read_text())
    assert note["proof"]["forced"] and not note["proof"]["passed"]
    graph = onnx.load(tmp_path / "q.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    read = {node.op_type: [made_by.get(one) for one in node.input] for node in graph.node}
    assert read["Conv"] == ["DequantizeLinear"] * 3
    assert (
        "DequantizeLinear" not in read["MatMul"] + read["Softmax"]
    )  # the attention is not rounded
    weights = [onnx.numpy_helper.to_array(one) for one in graph.initializer]
    rounded = [one for one in weights if one.dtype == np.int8 and one.ndim == 4]
    assert rounded and max(np.abs(one.astype(int)).max() for one in rounded) <= 64


def test_an_export_that_is_there_is_kept(exported, run):
    before = exported.read_bytes()
    outcome = run("export", f"checkpoint={exported.parent.parent}", "accelerator=cpu")
    assert outcome.error.startswith(f"{exported} exists")
    assert exported.read_bytes() == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["output=a.pth"], "output=a.pth for format=onnx: give a name that ends in .onnx"),
        (["precision=int8", "proof.images=x"], "precision=int8 is judged by mIoU"),
        (["format=tflite"], "format"),
    ],
)
def test_settings_that_do_not_fit(run, training, overrides, message):
    outcome = run("export", f"checkpoint={training.folder}", "accelerator=cpu", *overrides)
    assert message in outcome.error


def test_an_export_is_no_source_of_weights(exported, run):
    assert "is an export already" in run("export", f"checkpoint={exported}").error
    message = f"{exported} is an export (onnx), from which no weights can be loaded"
    assert run("attention", f"checkpoint={exported}", "images=.").error.startswith(message)
    assert run("weights", "info", str(exported)).error.startswith(message)
    assert run("weights", "convert", str(exported), "a.pth").error.startswith(message)
    assert run("train", *running.TINY, f"checkpoint={exported}").error.startswith(message)
    outcome = run("eval", f"checkpoint={exported}", "weights=raw")
    assert "which has one kind of weights" in outcome.error
    outcome = run("eval", f"checkpoint={exported}", "precision=bf16-mixed", "accelerator=cpu")
    assert "has its own precision" in outcome.error


def test_a_strangers_file_is_refused(exported, run, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(exported.read_bytes()[:999])
    assert "onnxruntime can't read" in run("eval", "checkpoint=broken.onnx").error
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    assert "has no record of gcseg" in run("eval", "checkpoint=bare.onnx").error


def test_weights_in_another_file_are_not_read(exported, run, tmp_path):
    secret = tmp_path / "secret.bin"
    model = onnx.load(exported)
    onnx.external_data_helper.convert_model_to_external_data(
        model, location="secret.bin", size_threshold=1024
    )
    onnx.save(model, tmp_path / "pointing.onnx")
    assert secret.stat().st_size > 1024
    outcome = run("eval", "checkpoint=pointing.onnx", "accelerator=cpu", "num_workers=0")
    assert "onnxruntime can't read" in outcome.error


def test_an_export_that_is_killed(run, training, tmp_path, monkeypatch):
    """SIGTERM leaves nothing; what SIGKILL has left is gone after the next one."""
    left = tmp_path / "out" / ".a.onnx.4194999.1.partial"
    left.mkdir(parents=True)
    (left / "network.onnx").write_bytes(b"half")

    def terminate(network, form, folder, *_):
        (folder / "network.onnx").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(writing, "write_network", terminate)
    outcome = run("export", f"checkpoint={training.folder}", "accelerator=cpu", "output=out/a.onnx")
    assert (outcome.status, list((tmp_path / "out").iterdir())) == (130, []), outcome.err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openvino", "torch_export", "torchscript"])
def test_other_formats(run, training, tmp_path, name):
    if name == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    file = f"out/network{SUFFIXES[name]}"
    outcome = run(
        "export", f"checkpoint={training.folder}", f"format={name}", f"output={file}",
        "proof.limit=1", "accelerator=cpu",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    note = json.loads((tmp_path / f"{file}.json").read_text())
    assert note["proof"]["equal"] >= 0.99999
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    if name != "openvino":
        refused = run("eval", f"checkpoint={file}", "backbone=r18", "trust=false")
        assert "may hold code, which runs when the file is read" in refused.error
    outcome = run("eval", f"checkpoint={file}", "tta=none", "accelerator=cpu", "num_workers=0")
    assert outcome.status == 0, outcome.err


def test_a_table_of_the_network_and_its_exports(exported, run, tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "_measured", benchmark._measure)  # not in a process of its own
    outcome = run(
        "benchmark", f"checkpoint={exported.parent.parent}", f"exports=[{exported}]", "threads=[1]",
        "batches=[1,2]", "height=64", "width=96", "repeats=2", "output=table.csv",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [(row["format"], row["batch"]) for row in rows] == [
        ("pytorch", "1"), ("pytorch", "2"), ("onnx", "1"), ("onnx", "2"),
    ]  # fmt: skip
    assert all(float(row["ms median"]) > 0 and float(row["images/s"]) > 0 for row in rows)
    proved = json.loads(exported.with_name("best.onnx.json").read_text())["proof"]
    assert float(rows[0]["mIoU"]) == pytest.approx(100 * proved["miou"]["pytorch"], abs=1e-3)
    assert float(rows[2]["equal pixels"]) == pytest.approx(100 * proved["equal"], abs=1e-4)


def test_a_table_of_what_is_no_export(training, run):
    outcome = run("benchmark", f"checkpoint={training.folder}", "exports=[a.pth]")
    assert "a.pth is no file that ends in .onnx" in outcome.error
