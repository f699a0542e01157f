"""Times of a sweep's networks, measured in turn."""

import json
import os

import pytest
import torch
import yaml

from gcseg.commands import network_times
from gcseg.config.compose import compose
from gcseg.config.plain import plain
from gcseg.errors import ConfigError
from gcseg.report.sweep.costs import read_timings
from tests.running import TINY
from tests.sweeps.jobs import grid, ledger

OWN = "tests.tiny.backbone"


@pytest.fixture
def sweep(tmp_path):
    """A sweep of two networks, each trained with two seeds."""
    jobs = grid(head=["fcn", "gc"], seeds=(0, 1), modes=("none",))
    folder = tmp_path / "runs" / "sweeps" / "a"
    found = []
    for job in jobs:
        config = plain(compose("train", [*TINY, *job.overrides[:2]]))
        run = tmp_path / "runs" / f"run-{job.number}"
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(yaml.safe_dump(config))
        record = {"miou": 0.5, "class_iou": {"road": 0.5, "sky": 0.5, "car": 0.5}}
        (run / "results.json").write_text(json.dumps({"evaluations": {"none": record}}))
        found.append(type(job)(**{**vars(job), "run": str(run), "evaluations": {"none": record}}))
    return ledger(folder, found), found


@pytest.fixture
def here(monkeypatch):
    """Measure in this process, quickly; the list has the networks of each measurement."""
    measured = []

    def measure(networks, accelerator):
        measured.append(networks)
        return network_times._times(networks, accelerator)

    monkeypatch.setattr(network_times, "MOST", 5)
    monkeypatch.setattr(network_times, "_in_a_process", measure)
    return measured


def test_each_network_is_measured_once_and_again_only_if_told(sweep, here):
    folder, jobs = sweep
    network_times.time_networks(folder, jobs, None, "none")
    assert not (folder / "timings.json").exists()
    network_times.time_networks(folder, jobs, None, "missing", arguments=TINY)
    record = read_timings(folder)
    assert (record["height"], record["width"], record["passes"]) == (64, 64, 5)
    assert record["threads"] >= 1 and record["device"]
    fcn, gc = record["networks"].values()
    assert gc["parameters"] > fcn["parameters"] and gc["flops"] > fcn["flops"]
    for one in (fcn, gc):
        assert 0 < one["low"] <= one["milliseconds"] <= one["high"]
        assert 0 < one["fastest"] <= one["milliseconds"]
    network_times.time_networks(folder, jobs, None, "missing", arguments=TINY)
    assert len(here) == 1
    network_times.time_networks(folder, jobs, None, "again", arguments=TINY)
    assert len(here) == 2 and len(here[1]) == 2
    # Times of two moments can't be compared: one missing network has all measured.
    left = {**record, "networks": dict([next(iter(record["networks"].items()))])}
    (folder / "timings.json").write_text(json.dumps(left))
    network_times.time_networks(folder, jobs, None, "missing", arguments=TINY)
    assert len(here) == 3 and len(read_timings(folder)["networks"]) == 2


def test_what_a_file_names_is_not_called(sweep, here, capsys):
    folder, jobs = sweep
    network_times.time_networks(folder, jobs, None, "missing")
    assert here == [] and not (folder / "timings.json").exists()
    told = capsys.readouterr()
    assert f"names {OWN}, which is outside gcseg and is not called" in told.out + told.err
    network_times.time_networks(folder, jobs, None, "missing", arguments=[f"a._target_={OWN}.x"])
    assert here == []
    network_times.time_networks(folder, jobs, None, "missing", trust=True)
    assert len(here) == 1


def test_settings_that_gcseg_does_not_write_are_refused(sweep, here, capsys):
    folder, jobs = sweep
    for number in range(4):
        path = folder.parents[1] / f"run-{number}" / "config.yaml"
        config = yaml.safe_load(path.read_text())
        config["head"]["channels"] = "${oc.env:HOME}"
        path.write_text(yaml.safe_dump(config))
    network_times.time_networks(folder, jobs, None, "missing", arguments=TINY)
    told = capsys.readouterr()
    assert here == [] and "not measured: " in told.out + told.err


def test_settings_of_the_device_are_not_resolved(sweep, monkeypatch):
    monkeypatch.setenv("PLACE", "cpu")
    config = yaml.safe_load((sweep[0].parents[1] / "run-0" / "config.yaml").read_text())
    for name, value in (("accelerator", "${oc.env:PLACE}"), ("channels_last", "${oc.env:PLACE}"),
                        ("accelerator", ["cpu"])):  # fmt: skip
        with pytest.raises(ValueError, match="device of a training"):
            network_times._times([({**config, name: value}, 3)])


def test_networks_take_turns():
    order = []
    times = network_times._in_turn(
        [lambda: order.append("a"), lambda: order.append("b")], lambda: order.append("-")
    )
    assert [len(one) for one in times] == [network_times.MOST, network_times.MOST]
    assert "".join(order).startswith("-a--b--a--b-")


def test_slow_networks_get_few_passes(monkeypatch):
    monkeypatch.setattr(network_times, "SECONDS", 0.0)
    times = network_times._in_turn([lambda: None], lambda: None)
    assert len(times[0]) == network_times.FEWEST


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(sweep):
    config = yaml.safe_load((sweep[0].parents[1] / "run-0" / "config.yaml").read_text())
    with pytest.raises(ConfigError, match=r"accelerator=gpu, but there is no GPU"):
        network_times._times([(config, 3)], "gpu")


def test_networks_that_no_memory_holds(sweep, monkeypatch):
    monkeypatch.setattr(network_times, "LARGEST", 1000)
    config = yaml.safe_load((sweep[0].parents[1] / "run-0" / "config.yaml").read_text())
    with pytest.raises(ConfigError, match=r"have \d\.\de\+04 parameters: give timing"):
        network_times._times([(config, 3)])


def killed(networks, accelerator, result):
    os._exit(9)


def test_a_process_that_measures_and_dies(monkeypatch):
    monkeypatch.setattr(network_times, "_measure", killed)
    assert "was killed" in network_times._in_a_process([], None)


def test_a_measurement_without_end(monkeypatch):
    monkeypatch.setattr(network_times, "LONGEST", 0.01)
    assert "took more than" in network_times._in_a_process([], None)


def test_what_a_network_raises_is_said_and_keeps_earlier_times(sweep, monkeypatch, capsys):
    folder, jobs = sweep
    (folder / "timings.json").write_text("{}")
    sent = []

    class Result:
        send = sent.append

    network_times._measure([({"dataset": {}}, 3)], None, Result())
    (text,) = sent
    assert text.startswith("ConfigAttributeError: Missing key backbone")
    monkeypatch.setattr(network_times, "_in_a_process", lambda *_: text)
    network_times.time_networks(folder, jobs, None, "missing", arguments=TINY)
    told = capsys.readouterr()
    assert f"no times per image: {text}" in told.out + told.err
    assert (folder / "timings.json").read_text() == "{}"


@pytest.mark.slow
def test_the_report_of_a_sweep_measures_what_is_missing(sweep, run, tmp_path):
    folder, _ = sweep
    outcome = run("report", f"sweep={folder}", "trust=true", cwd=tmp_path)
    assert outcome.status == 0, outcome
    assert len(read_timings(folder)["networks"]) == 2
    assert "ms per image" in (folder / "sweep.txt").read_text()
    assert "networks in turn" in (folder / "report.html").read_text()
