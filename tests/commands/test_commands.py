"""The commands from the outside: mistakes in one line, and what predict and eval write."""

import json
import shutil
import signal
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from gcseg.data.label_spaces import CITYSCAPES
from gcseg.engine.module import SegmentationModule
from gcseg.errors import ConfigError
from gcseg.predictor.network import TrainedNetwork
from gcseg.runs.name import pictures_digest
from tests.running import SCENES, TINY, start

MISTAKES = {
    "decimal comma": ("optim.lr=0,01", "optim.lr=0,01 gives several values: write optim.lr=0.01"),
    "several": (
        "tta=flip,none",
        "tta=flip,none gives several values: quote a name with a comma, as",
    ),
    "list": ("class_weights=1,2", "write class_weights=[1,2] for a list, or add -m for a job with"),
    "added group": (
        "+backbone=r18",
        "+backbone=r18 adds a setting that already exists: write backbone",
    ),
    "added twice": ("++tta=all", "++tta=all adds a setting that already exists: write tta=all"),
    "added setting": ("+iters=5", "+iters=5 adds a setting that already exists: write iters=5"),
    "to be added": (
        "trainer.gradient_clip_val=1",
        "trainer.gradient_clip_val is not set yet: write +trainer.gradient_clip_val=1",
    ),
    "transform": ("augment.extra.b={p: 1}".replace(" ", ""), "write +augment.extra.b={p:1}"),
    "of another option": (
        "optim=adamw optim.momentum=0.9",
        "there is no setting 'optim.momentum' as the groups are chosen: it belongs to optim=sgd",
    ),
    "of an option in the backbone": (
        "head=fcn backbone.context.stages=[3]",
        "as the groups are chosen: it belongs to backbone/context=dnl or backbone/context=gc or",
    ),
    "of an option in the head": (
        "head=fcn head.context.pairwise=gaussian",
        "as the groups are chosen: it belongs to context=dnl or context=nl",
    ),
    "option in a folder": (
        "ablation=paper/pooling",
        "ablation=paper/pooling does not exist: use one of context_block, context_ratio, paper/bl",
    ),
    "deleted": ("~optim.lrr", "there is no setting 'optim.lrr': did you mean optim.lr?"),
    "no value": ("iters", "iters can't be read: write iters=..."),
    "equals": ("dataset.root=a=b", "dataset.root=a=b can't be read: quote the value, as"),
    "as an option": ("--iters 30", "there is no option --iters: write iters=30"),
    "as another's option": ("--batch-size=4", "there is no option --batch-size: write batch_size="),
    "part of a name": ("--lr 1", "there is no option --lr: write optim.lr=1"),
    "misspelt option": ("--resolvd x", "there is no option --resolvd: did you mean --resolved or"),
    "unknown option": ("-x", "there is no option -x: settings are written as key=value; --help"),
    "option's value": ("--cfg jb", "--cfg jb: use --cfg job or --cfg hydra or --cfg all"),
    "option alone": ("--resolve", "--resolve without --cfg: write --cfg job --resolve"),
    "option with too much": ("--help=x", "--help=x, which takes no value: write --help"),
    "folder": ("--config-dir nowhere", "nowhere is not a folder: give a folder with"),
    "negative": ("iters=-5", "iters=-5: give a whole number of optimizer steps, 1 or more"),
    "word": ("iters=abc", "iters=abc: give a whole number of optimizer steps, 1 or more"),
    "option": ("tta=foo", "tta=foo does not exist: use one of all, flip, msflip, none"),
    "key": ("itres=5", "there is no setting 'itres': did you mean"),
    "nested key": ("optim.lrr=1", "there is no setting 'optim.lrr': did you mean optim.lr"),
    "of ultralytics": ("imgsz=64", "'imgsz': write dataset.crop.height=64 dataset.crop.width=64"),
    "of mmsegmentation": ("--work-dir out", "there is no option --work-dir: write run_root=out;"),
    "of PaddleSeg": ("+save_interval=9", "save_interval=9 is not a setting of gcseg.train: w"),
    "group": ("backbon=r50", "there is no setting 'backbon': did you mean backbone"),
    "large crop": ("dataset.crop.height=1000", "dataset.crop.height=1000 is larger than any imag"),
    "huge crop": ("dataset.crop.width=5000", "dataset.crop.width=5000: give a whole number of"),
    "accelerator": ("accelerator=tpu", "accelerator=tpu: use one of auto, cpu, gpu"),
    "precision": ("precision=16-mixed", "precision=16-mixed needs a GPU: use bf16-mixed or 32"),
    "accumulate": ("accumulate=3", "batch_size=2 does not divide over 1 device x 3 accumulated"),
    "negative rate": ("optim.lr=-1", "lr=-1"),
    "rate": ("optim.lr=abc", "optim.lr=abc: give a number above 0"),
    "no scales": ("tta=msflip tta.scales=[]", "scales"),
    "zero scale": ("tta=msflip tta.scales=[0]", "scale"),
    "mean": ("normalize.mean=3", "normalize.mean=3: give a list of numbers, 0 to 1"),
    "short mean": ("normalize.mean=[0.5]", "normalize.mean"),
    "zero deviation": ("normalize.std=[0,1,1]", "normalize.std"),
    "trainer": (
        "+trainer.clip=1",
        "trainer.clip=1 is not a setting of gcseg.train: use one of trainer.",
    ),
    "taken": ("+trainer.max_steps=1", "trainer.max_steps=1 is not a setting of gcseg.train: "),
    "unreadable": ("iters=[", "iters=[ can't be read"),
    "stride": ("backbone.output_stride=5 backbone._target_=gcseg.models.resnet", "output_stride"),
    "unknown argument": (
        "+head.width=3",
        "head.width=3 is not a setting of gcseg.train: leave it out; --cfg job lists all",
    ),
    "ratio": ("head.ratio=0", "ratio"),
    "pooling": ("head.pooling=max", "pooling"),
    "scale": ("augment.scale.min=3", "augment.scale from 3 to 2.0: give 0 < min <= max"),
    "split": ("dataset.splits.val=nowhere", "nowhere"),
    "layout": ("dataset.reader.layout=coco", "coco"),
    "fit": ("protocol=mmseg dataset.fit.long=5 dataset.fit.short=9", "fit into 5 x 9 pixels"),
    "fit that is half": (
        "protocol=mmseg dataset.fit.long=5",
        "dataset.fit.long=5 with dataset.fit.short=null: give both",
    ),
    "endless fit": (
        "augment=mmseg dataset.fit.long=inf dataset.fit.short=inf",
        "dataset.fit.long=inf: give a whole number of pixels, 1 to 65,536, or null",
    ),
    "resize": ("protocol.resize=crop", "protocol.resize=crop: use pad or fit"),
    "switch": ("strict=null", "strict=null: give true or false"),
    "number": (
        "augment.cat_max_ratio=null",
        "augment.cat_max_ratio=null: give a number above 0, at most 1",
    ),
    "step": ("augment.scale.step=-1", "augment.scale.step=-1: give a number, 0 to 20"),
    "target": ("augment.color._target_=foo.bar", "_target_=foo.bar can't be found ("),
    "window": ("inference=slide inference.window.height=0", "window"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_costs_one_line_and_leaves_nothing(mistake, train, tmp_path):
    overrides, message = MISTAKES[mistake]
    assert message in train(*overrides.split()).error
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
def test_no_gpu(accelerator, train, tmp_path):
    error = train(f"accelerator={accelerator}").error
    assert error == f"accelerator={accelerator}, but there is no GPU: use cpu"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("dataset=folder", "dataset.root is not set: give dataset.root="),
        ("dataset=voc dataset.root=nowhere", "nowhere"),
        ("dataset=camvid dataset.root=nowhere", "CamVid's folder nowhere/trainannot does not"),
        ("dataset=cityscapes dataset.root=nowhere", "nowhere"),
    ],
)
def test_no_data(run, overrides, message, tmp_path):
    assert message in run("train", *overrides.split()).error
    assert not list(tmp_path.iterdir())


def test_evaluations_of_a_multirun_have_one_device(run, training):
    """They run in one process, which can't start others that do the same job."""
    outcome = run("eval", "-m", f"checkpoint={training.folder}", "devices=2", "tta=none,flip")
    assert outcome.status == 1
    first, second, last = outcome.err.splitlines()
    assert first == second
    assert first.startswith(
        "error: devices=2 num_nodes=1 in a multirun: run each training as a separ"
    )
    assert last.startswith("error: 2 jobs failed: ")


def test_whole_numbers_with_a_point_make_the_same_training(run, training, tmp_path):
    outcome = run("train", *TINY, "iters=3.0", "val_every=2e0")
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == training.folder.name
    assert "\niters: 3\n" in (folder / "config.yaml").read_text()


def test_a_training_that_is_stopped_early_is_not_finished(run, tmp_path):
    error = run("train", *TINY, "iters=100000", "+trainer.max_time=00:00:00:01").error
    assert error.startswith("training stopped at step ") and "same command again" in error
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert not (folder / "results.json").exists()


def test_the_traceback_is_there_on_demand(run):
    with pytest.raises(ConfigError, match="iters=0"):
        run("train", "iters=0", HYDRA_FULL_ERROR="1")


@pytest.mark.parametrize(
    ("command", "step"),
    [("eval", (SegmentationModule, "validation_step")), ("predict", (TrainedNetwork, "predict"))],
)
def test_an_interruption(run, training, monkeypatch, tmp_path, command, step):
    """Ctrl-C while Lightning runs, which would exit with another status and no word."""
    before = signal.getsignal(signal.SIGINT)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(*step, interrupt)
    outcome = run(command, f"checkpoint={training.folder}", "accelerator=cpu")
    signal.signal(signal.SIGINT, before)  # which Lightning has it ignore
    assert outcome.status == 130
    assert outcome.err == "interrupted: the same command continues where it can\n"


def test_one_line_from_a_process_too(tmp_path):
    done = start("train", "iters=abc", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: iters=abc: give a whole number of optimizer steps, 1 or more\n"
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["eval", "predict"])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("checkpoint=nowhere.ckpt", "there is no checkpoint nowhere.ckpt: give checkpoint= a file"),
        ("checkpoint=a,b", "checkpoint=a,b gives several values: give one value per command"),
        ("tta=none", "checkpoint is not set: give checkpoint=..."),
        ("checkpont=x", "there is no setting 'checkpont': did you mean checkpoint?"),
        ("iters=3", "there is no setting 'iters': it is a setting of gcseg.data, gcseg.train"),
    ],
)
def test_no_checkpoint(run, command, override, message, tmp_path):
    assert run(command, override).error.startswith(message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_damaged_checkpoint(run, command, training, tmp_path):
    whole = (training.folder / "checkpoints" / "best.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[:2000])
    error = run(command, "checkpoint=cut.ckpt").error
    assert error.startswith("can't read cut.ckpt (it is incomplete")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.ckpt")
    error = run(command, "checkpoint=other.ckpt").error
    assert error.startswith("other.ckpt: the weights are of no network that is known")


@pytest.fixture
def finished(training, tmp_path):
    """A copy of a finished training."""
    return shutil.copytree(training.folder, tmp_path / "runs" / training.folder.name)


def evaluations(folder):
    return json.loads((folder / "results.json").read_text())["evaluations"]


def without_seconds(record):
    return {key: value for key, value in record.items() if key != "seconds"}


def test_flipped_bytes_among_a_checkpoints_numbers(run, train, finished):
    """No command scores or shows a network that is none, and what is there stays."""
    best = finished / "checkpoints" / "best.ckpt"
    with zipfile.ZipFile(best) as archive:
        numbers = max(map(archive.read, archive.namelist()), key=len)
    content = bytearray(best.read_bytes())
    start = content.index(numbers)
    for place in range(start, start + len(numbers), len(numbers) // 20):
        content[place] ^= 1
    best.write_bytes(content)
    before = files(finished)
    for command in ("eval", "predict", "attention"):
        error = run(command, f"checkpoint={best}", "accelerator=cpu").error
        assert error.startswith(f"can't read {best} (it is damaged: its record ")
    error = train("seed=5", f"checkpoint={best}", "strict=false").error
    assert error.startswith(f"can't read {best} (it is damaged: its record ")
    assert files(finished) == before


def files(folder):
    """What is in a folder, by path."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


EVALUATE = ("accelerator=cpu", "num_workers=0")


def test_eval_repeats_the_scores_of_the_training(run, finished):
    before = evaluations(finished)
    outcome = run("eval", f"checkpoint={finished}", *EVALUATE)
    assert outcome.status == 0, outcome.err
    after = evaluations(finished)
    assert after.keys() == before.keys() == {"none", "flip", "msflip"}
    for mode in before:
        assert without_seconds(after[mode]) == without_seconds(before[mode])
    assert "mIoU" in outcome.out
    assert f"results: {finished / 'results.json'}" in outcome.out


def test_other_evaluations_get_names_of_their_own(run, finished):
    before = evaluations(finished)
    folder = f"checkpoint={finished}"
    last = f"checkpoint={finished / 'checkpoints' / 'last.ckpt'}"
    for arguments in (
        (last, "tta=none"),
        (folder, "tta=none", "split=train"),
        (folder, "tta=flip", "inference=slide"),
    ):
        outcome = run("eval", *arguments, *EVALUATE)
        assert outcome.status == 0, outcome.err
    after = evaluations(finished)
    assert after.keys() - before.keys() == {"none@last", "none@train", "flip@slide64x64x43x43"}
    assert {name: after[name] for name in before} == before
    assert after["none@last"]["checkpoint"] == "last.ckpt"
    assert (after["none@train"]["split"], after["none@train"]["images"]) == ("train", 6)
    content = json.loads((finished / "results.json").read_text())
    assert content["training"]["iters"] == 3, "the training's part is kept"


def test_eval_of_a_checkpoint_far_from_its_run(run, finished, tmp_path, data):
    moved = tmp_path / "moved.ckpt"
    (finished / "checkpoints" / "best.ckpt").rename(moved)
    shutil.rmtree(finished.parent)
    shutil.copytree(data / "scenes", tmp_path / "copy")
    outcome = run(
        "eval", "checkpoint=moved.ckpt", "tta=none", "dataset.root=copy", *EVALUATE, GCSEG_DATA="no"
    )
    assert outcome.status == 0, outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "moved.ckpt", "runs"]
    (results,) = (tmp_path / "runs").glob("moved-*")
    (record,) = evaluations(results).values()
    assert record["images"] == 3


def write_folder(root, count=4, classes=("a", "b", "c")):
    """A dataset in the layout of dataset=folder, 64 x 96 pixels."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for index in range(count):
            image = rng.integers(0, 256, (64, 96, 3), dtype=np.uint8)
            label = rng.integers(0, len(classes), (64, 96), dtype=np.uint8)
            Image.fromarray(image).save(root / f"images/{split}/{index}.png")
            Image.fromarray(label).save(root / f"labels/{split}/{index}.png")
    (root / "classes.yaml").write_text("classes: [" + ", ".join(classes) + "]\n")
    return root


@pytest.fixture
def mine(tmp_path):
    return write_folder(tmp_path / "mine")


MINE = (
    *(override for override in TINY if override not in SCENES),
    *("dataset=folder", "dataset.root=mine"),
)


def test_another_dataset_of_other_classes(run, finished, mine):
    error = run("eval", f"checkpoint={finished}", "dataset=folder", "dataset.root=mine").error
    assert "predicts 19 classes (road, sidewalk" in error and "has 3 (a, b, c)" in error
    assert evaluations(finished).keys() == {"none", "flip", "msflip"}


def test_predict_writes_masks_pictures_and_a_sheet(run, finished):
    outcome = run("predict", f"checkpoint={finished}", "limit=2", "accelerator=cpu")
    assert outcome.status == 0, outcome.err
    output = finished / "predictions"
    assert f"2 predictions: {output}" in outcome.out
    files = sorted(path.relative_to(output).as_posix() for path in output.rglob("*.png"))
    assert len(files) == 5 and files[2] == "overview.png"
    assert not [path for path in output.rglob("*") if path.suffix == ".partial"]
    for path in (output / "masks").rglob("*.png"):
        with Image.open(path) as mask:
            assert (mask.mode, mask.size) == ("P", (96, 64))
            assert np.asarray(mask).max() < 19
            palette = np.array(mask.getpalette()[: 3 * 19]).reshape(19, 3)
            np.testing.assert_array_equal(palette, CITYSCAPES.palette[:19])
    for path in (output / "pictures").rglob("*.png"):
        assert Image.open(path).size == (3 * 96 + 2 * 4, 64), "image, truth, prediction"


def test_predict_pictures_of_any_size_without_labels(run, finished, tmp_path):
    pictures = tmp_path / "pictures"
    for name, size in {"a": (50, 40), "sub/b": (97, 33)}.items():
        (pictures / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, "red").save(pictures / f"{name}.jpg")
    given = (f"checkpoint={finished}", "images=pictures", "output=out", "accelerator=cpu")
    outcome = run("predict", *given, "tta=msflip")
    assert outcome.status == 0, outcome.err
    for name, size in {"a": (50, 40), "sub/b": (97, 33)}.items():
        assert Image.open(tmp_path / "out" / "masks" / f"{name}.png").size == size
        assert Image.open(tmp_path / f"out/pictures/{name}.png").size == (2 * size[0] + 4, size[1])
    assert (tmp_path / "out" / "overview.png").is_file()
    assert not (finished / "predictions").exists()

    outcome = run("predict", *given[:1], "images=pictures/a.jpg", "output=one", "accelerator=cpu")
    assert outcome.status == 0, outcome.err
    assert [path.name for path in (tmp_path / "one" / "masks").iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tta=all", "tta=all predicts each image in several modes: choose one mode"),
        ("limit=0", "limit=0: give a whole number of images, 1 or more, or null"),
        ("images=nowhere", "nowhere does not exist: give source= a picture, a video"),
        ("images=text.png", "image text.png is truncated or not an image"),
        ("output=text.png", "can't be written"),
        ("split=nowhere", "nowhere"),
    ],
)
def test_what_predict_refuses(run, finished, tmp_path, override, message):
    (tmp_path / "text.png").write_text("no picture")
    outcome = run("predict", f"checkpoint={finished}", override, "accelerator=cpu")
    assert message in outcome.error


def cut_image(root):
    path = root / "images/train/2.png"
    path.write_bytes(path.read_bytes()[:900])
    return "images/train/2.png is truncated or not an image (900 bytes): fetch this file again"


def unknown_value(root):
    Image.fromarray(np.full((64, 96), 200, np.uint8)).save(root / "labels/train/1.png")
    return "labels/train/1.png holds value 200, which is not in the label space of 3 classes"


def wrong_size(root):
    Image.fromarray(np.zeros((64, 90), np.uint8)).save(root / "labels/train/1.png")
    return "images/train/1.png is 64x96 but its label mine/labels/train/1.png is 64x90"


def bad_validation_label(root):
    Image.fromarray(np.full((64, 96), 200, np.uint8)).save(root / "labels/val/3.png")
    return "labels/val/3.png holds value 200"


def no_label(root):
    (root / "labels/val/3.png").unlink()
    return "images/val/3.png has no label of the same name: add the label or remove the image"


def no_labels(root):
    shutil.rmtree(root / "labels/val")
    return "mine/images/val has no labels: train and evaluate on a labelled split"


def empty_split(root):
    for kind in ("images", "labels"):
        for path in (root / kind / "train").iterdir():
            path.unlink()
    return "no images in mine/images/train: check dataset.root"


def no_split(root):
    shutil.rmtree(root / "images/train")
    return "folder mine/images/train does not exist"


def no_classes(root):
    (root / "classes.yaml").unlink()
    return "class list mine/classes.yaml does not exist"


FAULTS = [cut_image, unknown_value, wrong_size, bad_validation_label, no_label, no_labels,
          empty_split, no_split, no_classes]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_data_name_the_file(run, mine, fault):
    message = fault(mine)
    assert message in run("train", *MINE).error


def test_a_fault_in_a_worker_is_one_line_too(run, mine):
    message = cut_image(mine)
    assert message in run("train", *MINE, "num_workers=2").error


def test_own_data_trains_and_is_scored(run, mine, tmp_path):
    outcome = run("train", *MINE, "iters=1")
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("r18-gc-mine-1it-s0-")
    assert evaluations(folder)["none"]["class_iou"].keys() == {"a", "b", "c"}


def test_scores_of_other_pictures_take_no_place(run, mine, tmp_path):
    """Of a subset of the split in another folder, then of all of it, by both commands."""
    assert run("train", *MINE, "iters=1").status == 0
    (folder,) = (tmp_path / "runs").iterdir()
    before = evaluations(folder)
    other = tmp_path / "other" / "mine"
    shutil.copytree(mine, other)
    for kind in ("images", "labels"):
        (other / kind / "val" / "3.png").unlink()
    given = (f"checkpoint={folder}", "tta=all", *EVALUATE)
    outcome = run("eval", *given, f"dataset.root={other}")
    assert outcome.status == 0, outcome.err
    after = evaluations(folder)
    digest = pictures_digest("012")
    assert before["none"]["pictures"] == pictures_digest("0123") != digest
    new = {f"{mode}@pictures-{digest}" for mode in ("none", "flip", "msflip")}
    assert after.keys() - before.keys() == new, "the training was scored in one mode only"
    assert {name: after[name] for name in before} == before
    assert (
        "the pictures scored (3) are not those of none, flip, msflip in "
        f"{folder / 'results.json'}: kept as none@pictures-{digest}, "
    ) in outcome.out
    again = run("train", *MINE, "iters=1", f"dataset.root={other}")
    assert again.status == 0 and f"kept as none@pictures-{digest}" in again.out
    assert evaluations(folder)["none"] == before["none"]
    assert run("eval", *given, f"dataset.root={mine}").status == 0
    assert evaluations(folder).keys() == {"none", "flip", "msflip"} | new


def test_run_root_below_a_file(train, tmp_path):
    (tmp_path / "file").write_text("")
    error = train("run_root=file/below").error
    assert error.startswith("file/below/r18-gc-scenes-3it-s0-") and "can't be written" in error
    assert error.endswith("choose a writable folder with run_root= or output=")


def test_data_below_a_file(train, tmp_path):
    (tmp_path / "file").write_text("")
    error = train("dataset.root=file/below").error
    assert "can't be written to file/below/" in error


def test_damaged_results_are_kept(run, train, finished):
    (finished / "results.json").write_text('{"name": ')
    for outcome in (
        run("eval", f"checkpoint={finished}", "tta=none", *EVALUATE),
        train(f"run_root={finished.parent}"),
    ):
        assert outcome.error.startswith(f"{finished / 'results.json'} is damaged (")
    assert (finished / "results.json").read_text() == '{"name": '


def test_options_of_ones_own_folder_are_among_those_that_a_mistake_lists(train, tmp_path):
    own = tmp_path / "own" / "ablation"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# @package _global_\niters: 2\n")
    error = train("--config-dir", str(tmp_path / "own"), "ablation=paper/x").error
    assert error.startswith("ablation=paper/x does not exist: use one of context_block,")
    assert "mine" in error and "paper/block" in error
