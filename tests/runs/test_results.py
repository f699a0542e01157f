"""results.json: merged, never half written, never thrown away; and its table."""

import json
import multiprocessing
import re
from pathlib import Path

import pytest

from gcseg.errors import OutputError
from gcseg.inference.protocol import Augmentation, Protocol, SlidingWindow
from gcseg.metrics.scores import Scores
from gcseg.runs.evaluation_names import apart, evaluation_keys
from gcseg.runs.results import evaluation_record, merge_results, print_table, read_results


def record(
    miou=0.5,
    augmentation=Augmentation(),  # noqa: B008
    checkpoint="a/best.ckpt",
    memory=(),
    **options,
):
    by_class = {"sky": miou, "train": None}
    f1, rates = {"sky": 0.625, "train": None}, {"sky": 0.875, "train": None}
    scores = Scores(miou, 0.75, by_class, 0.625, 0.875, 0.875, f1, rates, rates)
    return evaluation_record(
        scores,
        augmentation,
        Protocol(**options),
        split="val",
        images=3,
        pictures="1a2b3c4d",
        seconds=1.23456,
        memory=memory,
        checkpoint=Path(checkpoint),
    )


def test_record_has_what_the_file_promises():
    assert record() == {
        "split": "val",
        "checkpoint": "best.ckpt",
        "scales": [1.0],
        "flip": False,
        "average": "logits",
        "window": None,
        "fit": None,
        "miou": 0.5,
        "pixel_accuracy": 0.75,
        "class_iou": {"sky": 0.5, "train": None},
        "mean_f1": 0.625,
        "mean_precision": 0.875,
        "mean_recall": 0.875,
        "class_f1": {"sky": 0.625, "train": None},
        "class_precision": {"sky": 0.875, "train": None},
        "class_recall": {"sky": 0.875, "train": None},
        "images": 3,
        "pictures": "1a2b3c4d",
        "seconds": 1.235,
        "memory": [],
    }


SETTINGS = {
    "backbone": {"name": "r18", "output_stride": 8, "pretrained": None},
    "head": {"name": "gc", "align_corners": False, "dropout": 0.1},
    "dataset": {
        "name": "a",
        "reader": {"layout": "x"},
        "splits": {"val": "val"},
        "pad": {"height": 0, "width": 0},
        "fit": {"long": 64, "short": 32},
    },
    "protocol": {"average": "logits", "scales": [0.75, 1.0, 1.25], "resize": "pad"},
    "normalize": {"mean": [0.5], "std": [0.5]},
    "inference": {"window": None},
    "precision": 32,
}


def name(record, mode="none", cfg=None, **options):
    """The name that an evaluation gets beside a training with SETTINGS."""
    (name,) = evaluation_keys(
        {mode: record}, cfg or SETTINGS, SETTINGS, **{"split": "val", **options}
    )
    return name


def test_the_trainings_own_evaluation_has_the_modes_name():
    assert name(record()) == "none"
    assert name(record(augmentation=Augmentation((0.75, 1.0, 1.25), flip=True)), "msflip") == (
        "msflip"
    )


def test_an_evaluation_out_of_the_ordinary_has_a_name_of_its_own():
    assert name(record(augmentation=Augmentation(flip=True)), "msflip") == "msflip@1.0"
    assert name(record(), checkpoint="last") == "none@last"
    assert name(record(augmentation=Augmentation((0.5, 1.0)))) == "none@0.5,1.0"
    assert name(record(average="probabilities")) == "none@probabilities"
    sizes = {"height": 64, "width": 96, "stride_height": None, "stride_width": None}
    slide = {**SETTINGS, "inference": {"window": sizes}}
    window = SlidingWindow(64, 96, 32, 48)
    assert name(record(window=window), cfg=slide) == "none@slide64x96x32x48"


DATASET = SETTINGS["dataset"]


@pytest.mark.parametrize(
    ("change", "apart"),
    [
        ({}, ""),
        ({"dataset": {**DATASET, "name": "b"}}, "@b"),
        ({"dataset": {**DATASET, "pad": {"height": 8, "width": 9}}}, "@pad8x9"),
        ({"dataset": {**DATASET, "fit": {"long": 7, "short": 7}}}, ""),  # not used
        ({"protocol": {**SETTINGS["protocol"], "resize": "fit"}}, "@fit64x32"),
        ({"normalize": {"mean": [0.4], "std": [0.5]}}, "@mean[0.4]std[0.5]"),
        ({"precision": "bf16-mixed"}, "@bf16-mixed"),
        ({"backbone": {**SETTINGS["backbone"], "output_stride": 16}}, "@backbone.output_stride=16"),
        ({"backbone": {**SETTINGS["backbone"], "pretrained": "x"}}, ""),
        ({"head": {**SETTINGS["head"], "align_corners": True}}, "@head.align_corners=True"),
        ({"head": {**SETTINGS["head"], "dropout": 0.5}}, ""),
        ({"dataset": {**DATASET, "reader": {"layout": "y"}}}, "@reader.layout=y"),
    ],
)
def test_what_sets_an_evaluation_apart(change, apart):
    assert name(record(), cfg={**SETTINGS, **change}) == f"none{apart}"
    other = name(record(), cfg={**SETTINGS, **change}, split="train")
    assert sorted(other.split("@")) == sorted(["none", "train", *apart.split("@")[1:]])


def test_weights_of_another_framework_are_for_any_dataset():
    known = {"protocol": SETTINGS["protocol"]}
    assert list(evaluation_keys({"none": record()}, SETTINGS, known, split="val")) == ["none@a"]
    half = {**SETTINGS, "precision": "bf16-mixed"}
    assert list(evaluation_keys({"none": record()}, half, known, split="val")) == [
        "none@a@bf16-mixed"
    ]


def test_a_mode_that_flips_otherwise_is_named_apart():
    assert name(record(augmentation=Augmentation(flip=True))) == "none@flip"
    assert name(record(), "flip") == "flip@noflip"
    assert name(record(augmentation=Augmentation(flip=True)), "flip") == "flip"


def test_a_network_trained_for_sliding_windows_is_scored_so_as_usual():
    sizes = {"height": 64, "width": 96, "stride_height": None, "stride_width": None}
    trained = {**SETTINGS, "inference": {"window": sizes}}
    slid = record(window=SlidingWindow(64, 96, 43, 64))
    assert list(evaluation_keys({"none": slid}, trained, trained, split="val")) == ["none"]
    assert list(evaluation_keys({"none": record()}, SETTINGS, trained, split="val")) == [
        "none@whole"
    ]


OTHER = {**record(), "images": 2, "pictures": "99999999"}
OLD = {key: value for key, value in record().items() if key != "pictures"}
"""As version 0.1.0 has written it."""


@pytest.mark.parametrize(
    ("results", "is_other"),
    [
        ({}, False),
        ({"evaluations": {"none": record(0.1)}}, False),
        ({"evaluations": {"none": {**record(), "pictures": "99999999"}}}, True),
        ({"evaluations": {"none": OLD}}, False),
        ({"evaluations": {"none": {**OLD, "images": 2}}}, True),
        ({"evaluations": {"flip": {**OLD, "images": 2}}}, True),
        ({"evaluations": {"flip@a": {**OLD, "images": 2}}}, False),
        ({"validation": {"images": 3, "pictures": "1a2b3c4d"}, "evaluations": {"none": OTHER}},
         False),
        ({"validation": {"images": 3, "pictures": "99999999"}}, True),
        ({"validation": None, "evaluations": {"none": {}}}, False),
    ],
)  # fmt: skip
def test_a_score_of_other_pictures_takes_no_place(results, is_other):
    other = "none@pictures-1a2b3c4d" if is_other else "none"
    assert apart({"none": record()}, results) == {"none": other}


def test_a_name_that_is_not_the_trainings_own_stands_for_its_records_pictures():
    results = {"validation": OTHER, "evaluations": {"none": OTHER}}
    assert apart({"none@train": record()}, results) == {"none@train": "none@train"}
    results["evaluations"]["none@train"] = OTHER
    other = apart({"none@train": record()}, results)
    assert other == {"none@train": "none@train@pictures-1a2b3c4d"}


def merge(path, number):
    merge_results(path, {"evaluations": {str(number): {"miou": 0.0}}})


def test_processes_that_merge_at_once_lose_nothing(tmp_path):
    path = tmp_path / "results.json"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=merge, args=(path, number)) for number in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(read_results(path)["evaluations"]) == 8


def test_evaluations_of_other_names_are_kept(tmp_path):
    path = tmp_path / "results.json"
    assert read_results(path) == {}
    merge_results(path, {"name": "a", "training": {"iters": 3}})
    merge_results(path, {"evaluations": {"none": record(0.1), "flip": record(0.2)}})
    merge_results(path, {"evaluations": {"flip": record(0.3)}})
    content = json.loads(path.read_text())
    assert content == read_results(path)
    assert content["name"] == "a" and content["training"] == {"iters": 3}
    assert content["evaluations"] == {"none": record(0.1), "flip": record(0.3)}
    assert list(tmp_path.iterdir()) == [path], "no temporary file stays"


@pytest.mark.parametrize("content", ["", "[1]", '{"name": "a"', "\x00"])
def test_a_damaged_file_is_kept(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(OutputError, match=r"results\.json is damaged \(.*\): move it away"):
        merge_results(path, {"name": "a"})
    assert path.read_text() == content


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    merge_results(path, {"name": "a"})
    before = path.read_text()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"results\.json can't be written \(No space left"):
        merge_results(path, {"name": "b"})
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_table_in_percent(capsys):
    print_table({"none": record(0.1234), "flip": record(0.5)}, title="a very long title " * 9)
    out = capsys.readouterr().out
    assert "a very long title " * 8 in out, "not wrapped"
    (sky,) = (line for line in out.splitlines() if "sky" in line)
    assert "12.34" in sky and "50.00" in sky
    (absent,) = (line for line in out.splitlines() if "train" in line)
    assert absent.count("-") == 2
    assert "mIoU" in out and "pixel accuracy" in out and "75.00" in out
    (f1,) = (line for line in out.splitlines() if "mean F1" in line)
    assert f1.count("62.50") == 2


def test_table_of_one_mode_has_f1_precision_and_recall(capsys):
    print_table({"none": record(0.1234)}, title="x")
    out = capsys.readouterr().out
    (sky,) = (line for line in out.splitlines() if "sky" in line)
    assert re.findall(r"[\d.]+", sky) == ["12.34", "62.50", "87.50", "87.50"]
    (absent,) = (line for line in out.splitlines() if "train" in line)
    assert absent.count("-") == 4


def test_the_table_says_once_what_was_done_where_memory_ran_out(capsys):
    done = ["scores added up in strips of rows: 3 images", "network in 4 strips: 1 image"]
    print_table({"none": record(memory=done), "flip": record(memory=done)}, title="x")
    assert capsys.readouterr().out.splitlines()[-2:] == [f"memory ran out: {x}" for x in done]
    print_table({"none": record()}, title="x")
    assert "memory" not in capsys.readouterr().out
