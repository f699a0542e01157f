import pytest

from gcseg.config.plain import plain
from gcseg.config.sweep_name import sweep_name
from gcseg.sweeps.job import enter
from gcseg.sweeps.ledger import Ledger
from gcseg.sweeps.plan import job_record, merged
from tests.running import compose


@pytest.mark.parametrize(
    "arguments",
    [
        "-m backbone=r18,r34 iters=20,40 tta=flip",
        "tta=flip --multirun iters=20,40 backbone=r18,r34",
        "-m backbone=r18,r34 iters=20,40 tta=flip run_root=elsewhere retry_failed=false",
        "-m backbone=r18,r34 iters=20,40 tta=flip hydra/launcher=basic hydra.launcher.jobs=2",
        "-m backbone=r18,r34 iters=20,40 tta=flip job_timeout=5 hydra.verbose=true",
        "-m backbone=r18,r34 iters=20,40 tta=flip timing=none +comparison.baseline=backbone=r34",
    ],
)
def test_the_same_sweep(arguments):
    name = sweep_name(arguments.split())
    assert name == sweep_name(["-m", "backbone=r18,r34", "iters=20,40", "tta=flip"])
    assert name.startswith("backbone-iters-")


@pytest.mark.parametrize(
    "arguments",
    [
        "-m backbone=r18,r34 iters=20,40",
        "-m backbone=r18,r34 iters=20,41 tta=flip",
        "-m backbone=r34,r18 iters=20,40 tta=flip",
        "-m backbone=r18,r34 iters=20,40 tta=flip hydra.sweeper.max_batch_size=2",
    ],
)
def test_another_sweep(arguments):
    usual = ["-m", "backbone=r18,r34", "iters=20,40", "tta=flip"]
    assert sweep_name(arguments.split()) != sweep_name(usual)


@pytest.mark.parametrize(
    ("arguments", "prefix"),
    [
        (["sweep=backbone_iters_tta", "dataset.root=/a"], "backbone_iters_tta-"),
        (["optim.lr=choice(0.1,0.2)", "seed=range(3)"], "lr-seed-"),
        (["tta.scales=[0.5,1.0]", "seed=0,1"], "seed-"),
        (["seed=0"], "sweep-"),
        ([f"key{n}=1,2" for n in range(40)], "key0-"),
    ],
)
def test_the_name_says_what_varies(arguments, prefix):
    name = sweep_name(arguments)
    assert name.startswith(prefix) and len(name) < 60 and "/" not in name


def test_what_a_rejected_job_is_known_by(tmp_path):
    """Not by the order of its words or by where and how it runs; mended, it is the same job."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    cfg = compose("train", "iters=7", "tta=flip")
    words = ["tta=flip", "run_root=x", "retry_failed=false", "iters=7"]
    for given in (words, ["iters=7", "job_timeout=3", "tta=flip"]):
        rejected = enter(ledger, cfg, 0, given, "the file is wrong")
        assert len(ledger.jobs()) == 1
    assert (rejected.state, rejected.error) == ("failed", "the file is wrong")
    assert rejected.overrides == ("tta=flip", "iters=7")
    assert (rejected.settings["iters"], rejected.settings["modes"]) == (7, ["flip"])
    mended = enter(ledger, cfg, 0, words, None)
    assert [job.key for job in ledger.jobs()] == [mended.key]
    assert (mended.number, mended.state) == (0, "pending")


def test_what_a_job_is_known_by():
    cfg = compose("train", "backbone=r34", "tta=all", "iters=7", "seed=3")
    entry = job_record(cfg, ["backbone=r34", "run_root=x", "tta=all"])
    assert entry["overrides"] == ["backbone=r34", "tta=all"]
    assert entry["settings"] == {
        "backbone": "r34", "head": "gc", "dataset": "scenes", "iters": 7, "seed": 3,
        "modes": ["none", "flip", "msflip"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("override", "same_job", "same_training"),
    [
        ("run_root=elsewhere", True, True),
        ("retry_failed=false", True, True),
        ("timing=none", True, True),
        ("comparison={baseline: 'backbone=r34'}", True, True),
        ("tta=flip", False, True),
        ("log_every=3", False, True),
        ("inference=slide", False, True),
        ("seed=1", False, False),
        ("optim.lr=0.5", False, False),
        ("dataset.root=/elsewhere", False, False),
        ("backbone.pretrained=a.pth", False, False),
    ],
)
def test_which_jobs_are_the_same(override, same_job, same_training):
    one, other = job_record(compose("train"), []), job_record(compose("train", override), [])
    assert (one["key"] == other["key"]) == same_job
    assert (one["training"] == other["training"]) == same_training


def configs(*overrides):
    return [plain(compose("train", *words.split())) for words in overrides]


def test_modes_are_put_together():
    given = configs("tta=none", "seed=1", "tta=msflip", "seed=1 tta=flip")
    (first, places), (second, others) = merged(given)
    assert (list(first["tta"]["modes"]), places) == (["none", "msflip"], [0, 2])
    assert (list(second["tta"]["modes"]), others) == (["none", "flip"], [1, 3])
    assert first["tta"]["modes"]["msflip"] == given[2]["tta"]["modes"]["msflip"]
    assert given == configs("tta=none", "seed=1", "tta=msflip", "seed=1 tta=flip"), "as they were"


@pytest.mark.parametrize(
    "overrides",
    [
        ("tta=msflip", "tta=msflip tta.scales=[1.0,2.0]"),
        ("tta=flip tta.average=logits", "tta=none tta.average=probabilities"),
        ("tta=flip", "tta=none inference=slide"),
        ("tta=flip", "tta=none +trainer.max_time=1"),
    ],
)
def test_modes_that_do_not_fit_stay_apart(overrides):
    assert [places for _, places in merged(configs(*overrides))] == [[0], [1]]
