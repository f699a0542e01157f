"""A job in the place of a training: starts at once, and does what STUB says of its seed.

STUB is JSON, by seed: "crash", "ours", "error", "kill", "realtime", "quiet" (no scores), "wait"
(until it is told to leave), "deaf" (not even then) or "slow" (half a second). Others end well at
once. Each start adds a line to starts.jsonl in the working folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import yaml

from gcseg.errors import ConfigError
from gcseg.sweeps.outcome import leave_with_sweep, report_progress, report_to_sweep


def note(**facts):
    with Path("starts.jsonl").open("a") as file:
        file.write(json.dumps({"at": time.time(), "pid": os.getpid(), **facts}) + "\n")


def main():
    cfg = yaml.safe_load(Path(sys.argv[1]).read_text())
    seed, modes = cfg["seed"], list(cfg["tta"]["modes"])
    what = json.loads(os.environ.get("STUB", "{}")).get(str(seed))
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    leave_with_sweep()
    note(seed=seed, modes=modes, iters=cfg["iters"], gpus=gpus, event="start")
    run = Path(cfg["run_root"], f"stub-{cfg['iters']}-{seed}")
    run.mkdir(parents=True, exist_ok=True)
    report_to_sweep(run)
    (run / "metrics.csv").write_text(f"step,val/miou\n1,0.{seed}5\n")
    report_progress(run, {"step": 2, "iters": cfg["iters"], "miou": seed / 10 + 0.05})
    if what == "crash":
        raise ValueError("the weather is bad")
    if what == "error":
        print("error: the loss is NaN: lower optim.lr", file=sys.stderr)
        print("bye")
        sys.exit(1)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "realtime":
        os.kill(os.getpid(), signal.SIGRTMIN + 1)
    if what == "ours":
        raise ConfigError("iters=0", "give more")
    if what == "slow":
        time.sleep(0.5)
    while what == "deaf" or (what == "wait" and not told):
        time.sleep(0.01)
    if told:
        note(seed=seed, event="left")
        sys.exit(75)
    records = {mode: {"miou": round(seed / 10 + len(mode) / 100, 3)} for mode in modes}
    (run / "results.json").write_text(json.dumps({"evaluations": records}))
    if what != "quiet":
        report_to_sweep(run, records)
    note(seed=seed, event="end")


if __name__ == "__main__":
    main()
