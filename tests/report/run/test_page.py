"""Reports of run folders whose files are written by hand, whole and in every state of decay."""

import csv
import json

import numpy as np
import pytest
import yaml

from gcseg.data.label_spaces import LabelSpace
from gcseg.errors import OutputError
from gcseg.report.run.examples import Example
from gcseg.report.run.page import write_run_report
from gcseg.runs.reading import read_run
from gcseg.zoo import catalogue
from tests import chromium
from tests.report.data.test_browse import Tree
from tests.visualization.test_html import check

NAMES = ("sky", "road", "tree")
EVIL = '<b>&"it\'s" \\'

CONFIG = {
    "iters": 200,
    "batch_size": 4,
    "head": {"name": "gc"},
    "dataset": {"name": "cityscapes", "crop": {"height": 64, "width": 128}},
    "protocol": {"name": "paddleseg"},
    "optim": {"_target_": "gcseg.optim.sgd", "lr": 0.01},
}
ENVIRONMENT = {
    "command": ["/usr/bin/python3", "/opt/gcseg/gcseg/train.py", "iters=200", "x=a b"],
    "python": "3.11.7",
    "packages": {"torch": "2.13.0"},
    "gpus": [],
}


def record(mode, miou, names=NAMES, **more):
    ious = dict(zip(names, np.linspace(0.2, 0.9, len(names)).tolist(), strict=True))
    return {
        "split": "val", "checkpoint": "best.ckpt", "scales": [1.0], "flip": mode != "none",
        "average": "logits", "miou": miou, "pixel_accuracy": 0.8, "class_iou": ious,
        "images": 500, "seconds": 50.0, "memory": [], **more,
    }  # fmt: skip


def analysis(mode, names=NAMES, **more):
    bins = [
        {
            "lower": i / 15, "upper": (i + 1) / 15, "pixels": 100 * i,
            "confidence": (i + 0.5) / 15 if i else None, "accuracy": i / 20 if i else None,
        }
        for i in range(15)
    ]  # fmt: skip
    return {
        "classes": list(names),
        "mode": mode,
        "conventions": {
            "gcseg": {"miou": 0.6, "reason": "one matrix"},
            "per_image": {"miou": 0.5125, "reason": f"mean of images {EVIL}"},
        },
        "categories": {"flat": 0.875},
        "boundary": {"miou": 0.35, "class_iou": dict.fromkeys(names, 0.35), "dilation_ratio": 0.02},
        "calibration": {"ece": 0.0425, "bins": bins},
        **more,
    }


def make(folder, names=NAMES, *, analysed=True, curves=True, **results):
    """A run folder as a training of two modes leaves it; without curves it is drawn sooner."""
    for name in ("analysis", "confusion"):
        (folder / name).mkdir(parents=True)
    evaluations = {}
    for mode, miou in (("flip", 0.65), ("none", 0.625)):
        evaluations[mode] = record(mode, miou, names, confusion=f"confusion/{mode}.csv")
        matrix = np.eye(len(names), dtype=int) * 70 + 10
        matrix[-1, 0] -= 5
        with (folder / f"confusion/{mode}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["true \\ predicted", *names])
            writer.writerows([name, *row] for name, row in zip(names, matrix.tolist(), strict=True))
        if analysed:
            file = f"analysis/{mode}.json"
            evaluations[mode] |= {"analysis": file, "boundary_miou": 0.35, "ece": 0.0425}
            (folder / file).write_text(json.dumps(analysis(mode, names)))
    content = {
        "name": folder.name, "backbone": "r50", "head": "gc", "dataset": "cityscapes",
        "iters": 200, "seed": 3,
        "training": {"seconds": 7300.0, "images_per_second": 2.5, "peak_memory_bytes": 3 << 30},
        "model": {"parameters": 12_340_000, "flops": 5_000_000_000, "height": 64, "width": 128},
        "evaluations": evaluations, **results,
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(content))
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    if not curves:
        return folder
    with (folder / "metrics.csv").open("w", newline="") as file:
        columns = ["train/loss", "train/loss_main", "train/learning_rate", "train/gradient_norm"]
        classes = [f"val/iou/{name}" for name in names]
        writer = csv.writer(file)
        writer.writerow(["step", *columns, "val/miou", "val/pixel_accuracy", *classes])
        for step in range(9, 200, 10):
            writer.writerow([step, 1 / step, 0.5 / step, 0.01, 2.0, *[""] * (2 + len(classes))])
        for step, miou in ((99, 0.7), (199, 0.6)):
            writer.writerow([step, *[""] * len(columns), miou, 0.8, *[0.5] * len(classes)])
    return folder


def example(kind, attention=True):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    truth = rng.integers(0, 3, (48, 64), np.uint8)
    weights = np.ones((48, 64), np.float32) if attention else None
    return Example(kind, f"{EVIL} {kind}", 0.5, image, truth, np.ones_like(truth), weights)


def sections(path):
    """The sections of a report by title, of a page that has nothing outside it."""
    content = path.read_text("utf-8")
    check(content)
    root = Tree(content).root
    found = {one.all("h2")[0].text: one for one in root.all("section")}
    assert len(found) == 16
    return found


def words(section):
    return " ".join(section.words().split())


def rows(section):
    return [[cell.text for cell in row.all("td")] for row in section.all("tr")][1:]


def test_a_whole_run(tmp_path):
    folder = make(tmp_path / "r50-gc-x")
    path = write_run_report(
        folder,
        [example(kind) for kind in ("best", "median", "worst")],
        space=LabelSpace(NAMES),
    )
    assert path == folder / "report.html"
    found = sections(path)
    summary = words(found["Summary"])
    assert summary.index("62.50 % mIoU, plain") < summary.index("65.00 % mIoU, flip")
    for wanted in ("r50 gc", "cityscapes", "70.00 % after 100 steps", "2 hours 2 minutes"):
        assert wanted in summary
    scores = {row[0]: row[1:] for row in rows(found["Scores"])}
    assert scores["plain"][:7] == ["62.50", "", "80.00", "35.00", "4.25", "500", "0.10"]
    assert len(found["Curves"].all("svg")) == 5
    assert rows(found["Classes"])[0][:4] == ["sky", "20.00", "20.00", "35.00"]
    header = [one.text for one in found["Classes"].all("th")]
    scored = dict(zip(header, rows(found["Classes"])[0], strict=False))
    f1_precision_recall = [scored[one] for one in ("F1", "precision", "recall")]
    assert f1_precision_recall == ["82.05", "84.21", "80.00"]
    assert "12.5 % of sky is taken for" not in words(found["Confusions"])
    assert "10.0 % of sky is taken for road" in words(found["Confusions"])
    assert len(found["Best, median and worst images"].all("img")) == 12
    assert f"worst: {EVIL} worst" in words(found["Best, median and worst images"])
    assert rows(found["Boundaries"])[0] == ["plain", "62.50", "35.00", "-27.50"]
    assert "overconfident" in words(found["Calibration"])
    conventions = rows(found["Conventions"])
    assert conventions[1] == ["per_image", "51.25", "51.25"]
    assert f"per_image mean of images {EVIL}" in words(found["Conventions"])
    assert conventions[-1] == ["flat", "87.50", "87.50"]
    assert len(found["Attention"].all("img")) == 3
    speed = words(found["Speed and memory"])
    for wanted in ("2.5", "3.00 GiB", "12.34 million", "5 GFLOP for one crop of 64 x 128"):
        assert wanted in speed
    commands = [code.text for code in found["Commands"].all("code")]
    assert commands[0] == "python -m gcseg.train iters=200 'x=a b'"
    assert commands[1] == f"python -m gcseg.train --resolved {folder}/config.yaml"
    assert yaml.safe_load(found["Settings"].all("code")[0].text) == CONFIG
    assert "missing" not in words(found["Summary"])


def test_why_there_are_no_pictures(tmp_path):
    found = sections(write_run_report(make(tmp_path / "run"), notes=[EVIL]))
    for title in ("Best, median and worst images", "Attention"):
        assert words(found[title]).endswith(f"{title} {EVIL}")


def test_beside_published_scores(tmp_path):
    folder = make(tmp_path / "run", curves=False)
    found = sections(write_run_report(folder))["Comparison with published scores"]
    record = catalogue.find("paddleseg/gcnet_r50_cityscapes")
    table = rows(found)
    assert {row[0] for row in table} == {record.name}
    plain, flip, multi = table
    theirs = 100 * record.miou["none"]
    assert plain[1:] == ["plain", f"{theirs:.2f}", "", "62.50", f"{62.5 - theirs:+.2f}"]
    assert flip[4] == "65.00"
    assert multi[3] == f"{100 * record.corrected['msflip']:.2f}"
    assert multi[4:] == ["", ""]


def test_a_run_of_a_published_recipe_has_its_row_first(tmp_path):
    folder = make(tmp_path / "run", curves=False)
    own = "mmseg/gcnet_r50_cityscapes_512x1024_80k"
    config = {**CONFIG, "protocol": {"name": "mmseg"}, "published": {"checkpoint": own}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    found = sections(write_run_report(folder))["Comparison with published scores"]
    names = [row[0] for row in rows(found)]
    assert names[0] == own
    assert len(set(names)) == 4
    assert all(name.startswith("mmseg/gcnet_r50") for name in names)


def test_nothing_published(tmp_path):
    found = sections(write_run_report(make(tmp_path / "run", curves=False, dataset="camvid")))
    assert "Nothing is published for camvid" in words(found["Comparison with published scores"])


def test_a_run_without_analysis_says_what_adds_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = sections(
        write_run_report(make(tmp_path / "runs" / "old", analysed=False, curves=False))
    )
    for title in ("Boundaries", "Calibration", "Conventions", "Best, median and worst images"):
        line = "python -m gcseg.eval checkpoint=runs/old explain=true"
        assert line in words(found[title])
    assert len(found["Classes"].all("svg")) == 1
    assert "python -m gcseg.attention checkpoint=runs/old" in words(found["Attention"])


def test_examples_without_attention(tmp_path):
    found = sections(
        write_run_report(make(tmp_path / "run", curves=False), [example("best", attention=False)])
    )
    assert "There is no attention map" in words(found["Attention"])
    assert "road" in words(found["Best, median and worst images"])


@pytest.mark.parametrize(
    "names", [("only",), tuple(f"class {i}" for i in range(150))], ids=["1", "150"]
)
def test_any_number_of_classes(tmp_path, names):
    found = sections(write_run_report(make(tmp_path / "run", names)))
    assert len(rows(found["Classes"])) == len(names) + 1
    assert len(found["Classes"].all("svg")) == (4 if len(names) > 1 else 1)
    assert ("Of 150 classes" in words(found["Curves"])) == (len(names) > 1)
    assert ("No pixel is predicted wrong" in words(found["Confusions"])) == (len(names) == 1)


def test_names_are_escaped(tmp_path):
    names = (EVIL, "</table>", "$x_1$")
    folder = make(tmp_path / "<i>&", names)
    results = json.loads((folder / "results.json").read_text())
    results["evaluations"][f"none@{EVIL}"] = results["evaluations"]["none"]
    (folder / "results.json").write_text(json.dumps(results))
    found = sections(write_run_report(folder))
    assert [row[0] for row in rows(found["Classes"])] == [*names, "mean"]
    assert [row[0] for row in rows(found["Scores"])] == ["plain", "flip", f"plain, {EVIL}"]
    for svg in found["Confusions"].all("svg"):
        assert {"</table>", "$x_1$"} <= {text.text.strip() for text in svg.all("text")}
    assert not any(section.all("i") for section in found.values())


BENCHMARK = (
    "file,format,precision,MiB,threads,batch,ms median,ms p95,images/s,memory MiB,mIoU,"
    "equal pixels\n"
    "best.ckpt,pytorch,fp32,148.5,1,1,190.1,200.2,5.26,210,64.5,\n"
    "best_int8.onnx,onnx,int8 (proof failed),12.1,1,1,50.5,51,19.8,90,64.1,98.25\n"
)


def test_exports_as_they_were_measured(tmp_path):
    folder = make(tmp_path / "run", curves=False)
    commands = words(sections(write_run_report(folder))["Exports"])
    for command in ("export", "benchmark"):
        assert f"python -m gcseg.{command} checkpoint={folder}" in commands
    (folder / "exports").mkdir()
    (folder / "exports/benchmark.csv").write_text(BENCHMARK)
    section = sections(write_run_report(folder))["Exports"]
    header = [cell.text for cell in section.all("th")]
    first, second = (dict(zip(header, row, strict=True)) for row in rows(section))
    assert (first["format"], first["MiB"], first["mIoU"]) == ("pytorch", "148.5", "64.5")
    assert first["equal pixels"] == "" and second["equal pixels"] == "98.25"
    assert (second["precision"], second["images/s"]) == ("int8 (proof failed)", "19.8")
    assert second["memory MiB"] == "90" and second["ms p95"] == "51"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "exports/benchmark.csv is empty"),
        ("a,b\n1,2\n", "exports/benchmark.csv is damaged (its columns are not file, format"),
        (BENCHMARK.replace("190.1", EVIL.replace('"', "")), "damaged (ms median is no number)"),
        (BENCHMARK.replace("190.1", "nan"), "damaged (ms median is no number)"),
        (BENCHMARK.partition("best")[0], "exports/benchmark.csv has no rows"),
    ],
)
def test_a_damaged_table_of_exports(tmp_path, content, message):
    folder = make(tmp_path / "run", curves=False)
    (folder / "exports").mkdir()
    (folder / "exports/benchmark.csv").write_text(content)
    assert message in words(sections(write_run_report(folder))["Exports"])


FILES = ("config.yaml", "environment.json", "results.json", "metrics.csv", "confusion/none.csv",
         "analysis/none.json")  # fmt: skip
DAMAGED = (b"", b"\xff\xfe{", b"[1, 2]", b'{"a": ', b"step,train/loss\nx,y\n1\n", b"a: [b")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("content", [None, *DAMAGED])
def test_each_file_that_is_missing_or_damaged_is_named(tmp_path, file, content):
    folder = make(tmp_path / "run")
    damage(folder / file, content)
    run = read_run(folder)
    assert len(run.notices) == 1
    assert run.notices[0].startswith(file)
    if file != "results.json":
        assert [one.record["miou"] for one in run.main] == [0.625, 0.65]


@pytest.mark.parametrize("content", [None, *DAMAGED[:2]])
def test_nothing_but_damaged_files_still_make_a_report(tmp_path, content):
    folder = make(tmp_path / "run")
    for file in FILES:
        if file != "results.json":
            damage(folder / file, content)
    summary = words(sections(write_run_report(folder))["Summary"])
    for file in FILES:
        assert (file in summary) == (file != "results.json")


def damage(path, content):
    path.unlink()
    if content is not None:
        path.write_bytes(content)


@pytest.mark.parametrize(
    "results",
    [
        {"evaluations": {"none": 5, "flip": {"miou": "high"}}},
        {"evaluations": []},
        {"evaluations": {"none": {"miou": 0.5, "scales": 7, "memory": 3, "class_iou": [1]}}},
        {"evaluations": {"none": {"miou": 0.5, "confusion": "../../etc/passwd", "analysis": 3}}},
        {"training": [], "model": "large", "name": None, "seed": {}},
    ],
)
def test_results_of_another_shape_are_no_traceback(tmp_path, results):
    assert sections(write_run_report(make(tmp_path / "run", curves=False, **results)))


def test_an_empty_folder_and_none(tmp_path):
    (tmp_path / "run").mkdir()
    found = sections(write_run_report(tmp_path / "run", output=tmp_path / "elsewhere.html"))
    assert "no scores yet" in words(found["Summary"])
    assert "results.json is missing" in words(found["Summary"])
    assert list((tmp_path / "run").iterdir()) == []
    with pytest.raises(OutputError, match="nowhere is not a run folder"):
        write_run_report(tmp_path / "nowhere")


def test_browsers_show_it_on_a_phone_without_complaint(tmp_path):
    chromium.find()
    long = "x" * 300
    folder = make(tmp_path / f"run-{'y' * 200}", (*NAMES, long))
    (folder / "exports").mkdir()
    (folder / "exports/benchmark.csv").write_text(BENCHMARK.replace("best_int8", long))
    path = write_run_report(folder, [example("best")], space=LabelSpace((*NAMES, long)))
    dom, log = chromium.run(tmp_path, "--dump-dom", path.as_uri())
    assert "made by gcseg" in dom
    assert chromium.console(log) == []
    widths = (320, 390, 1280)
    found = chromium.layout(path.read_text("utf-8"), tmp_path, widths)
    assert found == {width: (width, []) for width in widths}
