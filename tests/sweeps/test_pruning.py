"""Which trainings are given up, as optuna's pruners say."""

import functools
import random
import sys

import pytest

from gcseg.config.instantiate import instantiate
from gcseg.errors import ConfigError
from gcseg.sweeps.ledger import Job
from gcseg.sweeps.pruning import should_prune
from tests.running import compose

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore:PatientPruner is experimental")

STEPS = (1000, 2000, 3000, 4000)


def job(number, state="done", *, training=None, dataset="camvid", iters=4000):
    settings = {"backbone": "r18", "head": "gc", "dataset": dataset, "iters": iters, "seed": 0}
    training = f"training {number}" if training is None else training
    return Job(f"key {number}", number, (), training, {**settings, "modes": ["none"]}, state)


def curve(end, steps=STEPS):
    """A validation curve that ends at `end`."""
    return {step: end * step / STEPS[-1] for step in steps}


def sweep(ends, **others):
    """Finished jobs with their curves."""
    jobs = [job(number, **others) for number in range(len(ends))]
    return jobs, {job.key: curve(end) for job, end in zip(jobs, ends, strict=True)}


@functools.cache
def settings(name, *overrides):
    return compose("train", f"prune={name}", *overrides).prune


def of_file(name, *overrides):
    return instantiate(settings(name, *overrides))


PRUNERS = {
    "median": lambda: of_file("median"),
    "halving": lambda: of_file("halving"),
    "percentile": lambda: optuna.pruners.PercentilePruner(25.0, n_startup_trials=3),
    "threshold": lambda: optuna.pruners.ThresholdPruner(lower=0.15),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(min_resource=1000, max_resource=2000),
    "patient": lambda: optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(), patience=0),
}


@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.parametrize("seed", range(3))
def test_the_bad_are_given_up_and_the_good_are_not(name, seed):
    jobs, reports = sweep([random.Random(seed).uniform(0.5, 0.7) for _ in range(9)])
    running = job(9, "running")
    bad = {1000: 0.11, 2000: 0.1}  # gets no better, which is what patience waits for
    assert should_prune([*jobs, running], {**reports, running.key: bad}, running.key,
                        PRUNERS[name]())  # fmt: skip
    good = curve(0.9, STEPS[:2])
    assert not should_prune([*jobs, running], {**reports, running.key: good}, running.key,
                            PRUNERS[name]())  # fmt: skip


@pytest.mark.parametrize("name", PRUNERS)
def test_nothing_is_given_up_before_its_first_validation(name):
    jobs, reports = sweep([0.5] * 9)
    running = job(9, "running")
    assert not should_prune([*jobs, running], reports, running.key, PRUNERS[name]())


@pytest.mark.parametrize("name", PRUNERS)
def test_the_answer_follows_from_the_ledger_alone(name):
    jobs, reports = sweep([0.5, 0.6, 0.4, 0.7, 0.55, 0.65])
    pruner = PRUNERS[name]()
    for end in (0.1, 0.9, 0.1, 0.9):
        running = job(6, "running")
        now = {**reports, running.key: curve(end, STEPS[:2])}
        expected = should_prune([*jobs, running], now, running.key, PRUNERS[name]())
        shuffled = random.Random(int(end * 10)).sample([*jobs, running], 7)
        assert should_prune(shuffled, now, running.key, pruner) == expected


def test_the_median_waits_until_enough_trainings_are_done():
    running = job(9, "running")
    for done, pruned in ((4, False), (5, True)):
        jobs, reports = sweep([0.6] * done)
        reports[running.key] = curve(0.1, STEPS[:1])
        assert should_prune([*jobs, running], reports, running.key, of_file("median")) == pruned


def test_only_trainings_that_are_done_count_for_the_median():
    running = job(9, "running")
    for state in ("running", "failed", "pruned", "interrupted"):
        jobs, reports = sweep([0.6] * 6, state=state)
        reports[running.key] = curve(0.1, STEPS[:1])
        assert not should_prune([*jobs, running], reports, running.key, of_file("median"))


@pytest.mark.parametrize("other", [{"dataset": "voc"}, {"iters": 8000}])
def test_other_datasets_and_lengths_are_no_measure(other):
    jobs, reports = sweep([0.9] * 6, **other)
    running = job(9, "running")
    reports[running.key] = curve(0.1, STEPS[:2])
    for name in ("median", "halving"):
        assert not should_prune([*jobs, running], reports, running.key, of_file(name))


def test_jobs_that_share_a_training_count_once():
    jobs, reports = sweep([0.9] * 6, training="one")
    running = job(9, "running")
    reports[running.key] = curve(0.1, STEPS[:2])
    assert not should_prune([*jobs, running], reports, running.key, of_file("median"))
    mate = job(10, "running", training=running.training)
    jobs, reports = sweep([0.9] * 6)
    reports[running.key] = curve(0.1, STEPS[:2])  # the mate scores what this one trains
    assert should_prune([*jobs, running, mate], reports, mate.key, of_file("median"))


def test_of_three_side_by_side_halving_lets_the_best_go_on():
    jobs = [job(number, "running") for number in range(3)]
    reports = {
        job.key: curve(end, STEPS[:1]) for job, end in zip(jobs, (0.3, 0.5, 0.4), strict=True)
    }
    pruner = of_file("halving")
    assert [should_prune(jobs, reports, job.key, pruner) for job in jobs] == [True, False, True]


def test_halving_remembers_those_that_it_gave_up():
    jobs, reports = sweep([0.6, 0.6, 0.6], state="pruned")
    reports = {key: {1000: values[1000]} for key, values in reports.items()}
    running = job(3, "running")
    reports[running.key] = curve(0.5, STEPS[:1])
    assert should_prune([*jobs, running], reports, running.key, of_file("halving"))
    reports[running.key] = curve(0.7, STEPS[:1])
    assert not should_prune([*jobs, running], reports, running.key, of_file("halving"))


def test_halving_chooses_at_multiples_of_the_validations():
    jobs, reports = sweep([0.9] * 6)
    running = job(9, "running")
    reports[running.key] = {1000: 0.1}
    late = of_file("halving", "val_every=2000")
    assert not should_prune([*jobs, running], reports, running.key, late)
    reports[running.key] = {1000: 0.1, 2000: 0.2}
    assert should_prune([*jobs, running], reports, running.key, late)


def test_what_is_no_pruner():
    with pytest.raises(ConfigError, match=r"prune is a TPESampler: give a class of optuna.pruners"):
        should_prune([job(0)], {}, "key 0", optuna.samplers.TPESampler())


def test_without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        ConfigError, match=r"prune needs optuna \(.*\): pip install gcseg\[optuna\]"
    ):
        should_prune([job(0)], {}, "key 0", object())


def test_optuna_is_as_talkative_as_before(capfd):
    before = optuna.logging.get_verbosity()
    jobs, reports = sweep([0.9] * 6)
    should_prune(jobs, reports, jobs[0].key, of_file("median"))
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr().err == ""
