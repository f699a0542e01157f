"""Facts in a run's report: speed, machine, settings and commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePath

from gcseg.runs.reading import RunFiles
from gcseg.runs.shown import mapping, number
from gcseg.system.text import as_override, brief
from gcseg.visualization.html import command, details, facts, notice, table

_LONGEST = 200
"""Most characters of a setting in a list of facts."""


def speed_parts(run: RunFiles) -> Sequence[str]:
    """Return the duration of training and evaluation, and the cost of the network."""
    training, model = mapping(run.results, "training"), mapping(run.results, "model")
    flops, parameters = number(model, "flops"), number(model, "parameters")
    memory, rate = number(training, "peak_memory_bytes"), number(training, "images_per_second")
    pairs = {
        "training": duration(number(training, "seconds")),
        "images per second": "" if rate is None else f"{rate:.4g}",
        "peak memory": "" if memory is None else f"{memory / 2**30:.2f} GiB",
        "parameters": "" if parameters is None else f"{parameters / 1e6:.2f} million",
        "forward pass": "" if flops is None else f"{flops / 1e9:.4g} GFLOP for one crop"
        + (f" of {model['height']} x {model['width']}" if "width" in model else ""),
    }  # fmt: skip
    together: dict[tuple[float, float], list[str]] = {}
    for one in run.evaluations:
        images, seconds = number(one.record, "images"), number(one.record, "seconds")
        if images and seconds is not None:
            together.setdefault((images, seconds), []).append(one.title)
    for (images, seconds), titles in together.items():
        pairs[f"evaluation, {' and '.join(titles)}"] = f"{seconds / images:.3g} s per image"
    there = {key: value for key, value in pairs.items() if value}
    parts: list[str] = [facts(there)] if there else []
    if "parameters" not in there:
        parts.append("Parameters and FLOPs are not recorded; a training writes them at its end.")
    elif "forward pass" in there:
        parts.append("A multiplication and an addition count as two operations.")
    return parts


def environment_parts(run: RunFiles) -> Sequence[str]:
    """Return the machine and the packages."""
    found = run.environment
    if not found:
        return [notice("environment.json is missing or damaged.")]
    gpus = found.get("gpus")
    pairs = {
        "host": found.get("host"),
        "platform": found.get("platform"),
        "CPU cores": found.get("cpus"),
        "GPUs": ", ".join(map(str, gpus)) if isinstance(gpus, list) and gpus else "none",
        "Python": found.get("python"),
        "git commit": found.get("git_commit"),
    }
    packages = mapping(found, "packages")
    rows = [[str(name), str(version or "not installed")] for name, version in packages.items()]
    parts: list[str] = [facts({key: str(value) for key, value in pairs.items() if value})]
    return [*parts, table(["package", "version"], rows, texts=2)] if rows else parts


def setting_parts(run: RunFiles) -> Sequence[str]:
    """Return the most important settings, and the folded text of config.yaml."""
    if not run.config_text:
        return [notice("config.yaml is missing: the settings are not known.")]
    config = run.config
    optim, normalize = mapping(config, "optim"), mapping(config, "normalize")
    pairs = {
        "optimizer": plain(optim.get("_target_")).rpartition(".")[2],
        "learning rate": plain(optim.get("lr")),
        "weight decay": plain(optim.get("weight_decay")),
        "loss": plain(mapping(config, "loss").get("name")),
        "precision": plain(config.get("precision")),
        "auxiliary weight": plain(config.get("auxiliary_weight")),
        "pretrained": plain(mapping(config, "backbone").get("pretrained")),
        "protocol": plain(mapping(config, "protocol").get("name")),
        "mean, std": ", ".join(plain(normalize.get(one)) for one in ("mean", "std"))
        if "mean" in normalize
        else "",
    }
    there = {key: value for key, value in pairs.items() if value}
    parts: list[str] = [facts(there)] if there else []
    return [*parts, details("all settings (config.yaml)", command(run.config_text))]


def command_parts(run: RunFiles) -> Sequence[str]:
    """Return the command that was given, and commands that continue from the run."""
    parts: list[str] = []
    if given := _given_command(run):
        parts += ["The command of this training:", command(given)]
    folder = run.place
    checkpoint = as_override("checkpoint", folder)
    lines = {
        "Repeat this training from its settings:":
            ["gcseg.train", "--resolved", f"{folder}/config.yaml"],
        "Score its checkpoint in other modes, with boundaries, calibration and single images:":
            ["gcseg.eval", checkpoint, "explain=true"],
        "Predict pictures:": ["gcseg.predict", checkpoint, "images=FOLDER"],
        "Write this report again:": ["gcseg.report", as_override("run", folder)],
    }  # fmt: skip
    if has_attention(run):
        looks = ["gcseg.attention", checkpoint]
        lines = {**lines, "See where its context block looks:": looks}
    for words, line in lines.items():
        parts += [words, command(shlex.join(["python", "-m", *line]))]
    return parts


def has_attention(run: RunFiles) -> bool:
    """Return whether the network has an attention map, judged by the settings."""
    head = mapping(run.config, "head")
    block = mapping(head, "context") if head.get("name") == "fcn" else head
    if block.get("name") in (None, "none", "fcn", "se"):
        return False
    gaussian = block.get("pairwise", "gaussian") in ("embedded_gaussian", "gaussian")
    return gaussian and block.get("pooling", "attention") == "attention"


def _given_command(run: RunFiles) -> str:
    """Return the command of environment.json as it is typed in a shell."""
    found = run.environment.get("command")
    if not isinstance(found, list) or len(found) < 2:
        return ""
    _, script, *arguments = map(str, found)
    path = PurePath(script)
    if path.suffix == ".py" and "gcseg" in path.parts:
        start = len(path.parts) - 1 - path.parts[::-1].index("gcseg")
        module = ".".join(path.with_suffix("").parts[start:]).removesuffix(".__main__")
        return shlex.join(["python", "-m", module, *arguments])
    return shlex.join(map(str, found))


def plain(value: object) -> str:
    """Return a setting as a short text: empty for None, and long values cut."""
    return "" if value is None else brief(value, _LONGEST)


def duration(seconds: float | None) -> str:
    """Return a duration in seconds in words."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.3g} seconds"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours {minutes % 60} minutes"
