"""Times of a sweep's networks per image, measured in turn in one process."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from gcseg.config.recorded import checked, foreign_callables
from gcseg.errors import ConfigError, GcsegError
from gcseg.system.files import write_json
from gcseg.system.terminal import announce
from gcseg.system.text import counted, shown

if TYPE_CHECKING:
    from gcseg.report.sweep.trainings import Training
    from gcseg.sweeps.ledger import Job

MOST_NETWORKS = 24
"""Most networks that are measured; all are in memory at once."""
SECONDS = 60.0
"""Seconds after which no further pass of all networks begins, once there are `FEWEST` passes."""
LONGEST = 900.0
"""Seconds after which a measurement is given up."""
LARGEST = 2 * 10**9
"""Most parameters of all networks together, 8 GB."""
FEWEST, MOST = 5, 30
"""Number of measured passes of each network."""
_WARM_UP = 2
"""Passes that are not measured: the first ones choose algorithms and fill memory pools."""
_LARGEST_SIDE = 8192
"""Largest height or width of the image, in pixels, as in the table of settings."""

_READ = ("backbone", "head", "auxiliary_head", "dataset")
"""Groups of settings that networks are built with."""
_ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")

Network = tuple[Mapping[str, Any], int]
"""Settings of a training, and the number of its classes."""


def time_networks(
    folder: Path,
    jobs: Sequence[Job],
    root: Path | None,
    which: str,
    *,
    arguments: Sequence[str] = (),
    accelerator: str | None = None,
    trust: bool = False,
) -> None:
    """Measure the networks of a sweep, and write `timings.json` into its folder.

    All networks are measured again if one of them is missing there, as times of different moments
    can't be compared. What can't be measured is said and leaves an earlier file as it is.

    Args:
        folder: Folder of the sweep.
        jobs: All jobs of the sweep.
        root: Folder that contains the run folders; None for two folders above the sweep's.
        which: `missing`, `again` or `none`.
        arguments: Command line of the sweep, whose own callables may be called.
        accelerator: Device to measure on, as the setting of trainings; None for theirs.
        trust: Whether the recorded settings may call code outside gcseg.
    """
    from gcseg.report.sweep.costs import TIMINGS_FILE, read_timings
    from gcseg.report.sweep.trainings import read_trainings

    if which == "none":
        return
    notes: list[str] = []
    networks = _networks(read_trainings(folder, jobs, root), arguments, trust, notes)
    known = read_timings(folder).get("networks", {})
    if networks and (which == "again" or not networks.keys() <= known.keys()):
        announce(f"measuring {counted(len(networks), 'network')}, see timing=")
        found = _in_a_process(list(networks.values()), accelerator)
        if isinstance(found, str):
            notes.append(f"no times per image: {found}")
        else:
            found["networks"] = dict(zip(networks, found["networks"], strict=True))
            try:
                write_json(folder / TIMINGS_FILE, found)
            except GcsegError as error:
                notes.append(f"no times per image: {error}")
    for note in dict.fromkeys(notes):
        announce(note)


def _networks(
    trainings: Mapping[str, Training], arguments: Sequence[str], trust: bool, notes: list[str]
) -> dict[str, Network]:
    """Return the networks of the trainings that are scored, once each, by their keys."""
    from gcseg.report.sweep.costs import classes_of, network_key

    networks: dict[str, Network] = {}
    for training in trainings.values():
        key, classes = network_key(training), classes_of(training)
        if key is None or classes is None or key in networks:
            continue
        source = training.folder or Path("a job of the sweep")
        try:
            config = checked(training.config, source)
        except GcsegError as error:
            notes.append(f"not measured: {error}")
            continue
        foreign = [] if trust else foreign_callables(config, arguments)
        if foreign:
            notes.append(
                f"not measured: {source} names {shown(foreign[0])}, which is outside gcseg and is "
                "not called because a file names it: if it is yours, python -m gcseg.report "
                "sweep=FOLDER trust=true"
            )
        elif len(networks) < MOST_NETWORKS:
            networks[key] = config, classes
        else:
            notes.append(f"more than {MOST_NETWORKS} networks: the others are not measured")
    return networks


def _in_a_process(networks: Sequence[Network], accelerator: str | None) -> dict[str, Any] | str:
    """Return the times, measured in a process that does nothing else, or why there are none."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_measure, args=(networks, accelerator, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(LONGEST):
            return f"measuring took more than {LONGEST / 60:.0f} minutes"
        found: dict[str, Any] | str = ours.recv()
        return found
    except EOFError:
        return "the process that measures them was killed, as for lack of memory"
    finally:
        process.kill()
        process.join()


def _measure(networks: Sequence[Network], accelerator: str | None, result: Connection) -> None:
    """Send the times of networks, or a text that says why there are none."""
    try:
        result.send(_times(networks, accelerator))
    except Exception as error:  # a user-defined network may raise anything
        text = str(error) if isinstance(error, GcsegError) else f"{type(error).__name__}: {error}"
        result.send(" ".join(text.split()))


def _times(networks: Sequence[Network], accelerator: str | None = None) -> dict[str, Any]:
    """Measure the forward pass of an image in each network, in turn; see `timings.json`.

    As in evaluation: without auxiliary head, in float32, and in the memory format that the settings
    choose. The image has the size of the first training's crops.
    """
    import torch
    from omegaconf import OmegaConf

    from gcseg.builders.devices import device
    from gcseg.builders.model import model
    from gcseg.engine.cost import forward_flops, parameters
    from gcseg.weights.architecture import without_values

    configs = [
        OmegaConf.create({name: config[name] for name in _READ if name in config} | _place(config))
        for config, _ in networks
    ]
    if accelerator is not None:
        configs[0].accelerator = accelerator
    described = list(zip(configs, (classes for _, classes in networks), strict=True))
    with without_values():
        total = sum(parameters(model(cfg, classes)) for cfg, classes in described)
    if total > LARGEST:
        raise ConfigError(f"the networks have {total:.1e} parameters", "give timing=none")
    place = device(configs[0])
    height, width = _size(networks[0][0])
    built: list[Callable[[], object]] = []
    records: list[dict[str, float]] = []
    for cfg, classes in described:
        network = model(cfg, classes).eval()
        flops = forward_flops(network, height, width)
        counted_flops = {} if flops is None else {"flops": flops}
        records.append({"parameters": parameters(network), **counted_flops})
        layout = torch.channels_last if cfg.get("channels_last") else torch.contiguous_format
        images = torch.zeros(1, network.in_channels, height, width, device=place)
        network = network.to(place, memory_format=layout)  # type: ignore[call-overload]
        built.append(partial(network, images.to(memory_format=layout)))
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(place.type, _nothing)
    times = _in_turn(built, wait)
    for record, of_one in zip(records, times, strict=True):
        low, *_, high = quantiles(of_one, n=10)
        middle = median(of_one)
        record.update(
            milliseconds=middle, fastest=min(of_one), low=min(low, middle), high=max(high, middle)
        )
    return {
        "device": _named(place),
        **({"threads": torch.get_num_threads()} if place.type == "cpu" else {}),
        "height": height,
        "width": width,
        "passes": len(times[0]),
        "networks": records,
    }


def _place(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the device, which are not checked with those of the network.

    Raises:
        ValueError: One is none that gcseg writes, such as a text that would be resolved.
    """
    found = {
        "accelerator": config.get("accelerator", "auto"),
        "channels_last": config.get("channels_last", False),
    }
    if found["accelerator"] not in _ACCELERATORS or type(found["channels_last"]) is not bool:
        raise ValueError(f"the device of a training is {shown(str(found))}")
    return found


def _size(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return height and width of a training's crops, in pixels.

    Raises:
        ValueError: The settings name none.
    """
    crop = (config.get("dataset") or {}).get("crop") or {}
    sides = crop.get("height"), crop.get("width")
    if not all(type(side) is int and 0 < side <= _LARGEST_SIDE for side in sides):
        raise ValueError(f"dataset.crop is {shown(str(crop))}")
    return sides  # type: ignore[return-value]


def _in_turn(passes: Sequence[Callable[[], object]], wait: Callable[[], None]) -> list[list[float]]:
    """Return the times of each pass in milliseconds: all once, then all again, and so on."""
    import torch

    times: list[list[float]] = [[] for _ in passes]
    begin = time.perf_counter()
    with torch.inference_mode():
        for count in range(_WARM_UP + MOST):
            if count >= _WARM_UP + FEWEST and time.perf_counter() - begin > SECONDS:
                break
            for run, known in zip(passes, times, strict=True):
                wait()
                start = time.perf_counter()
                run()
                wait()
                known.append(1000 * (time.perf_counter() - start))
    return [known[_WARM_UP:] for known in times]


def _nothing() -> None:
    """Wait for nothing: a CPU has finished when a call returns."""


def _named(place: Any) -> str:
    """Return the name of a device, such as that of the processor."""
    import platform

    import torch

    if place.type == "cuda":
        return torch.cuda.get_device_name(place)
    if place.type == "mps":
        return "Apple GPU"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.processor() or platform.machine() or "CPU"
