"""Reads back what W&B keeps of an offline run: its log of records, and the files beside it."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import wandb
from PIL import Image
from wandb.proto import wandb_internal_pb2

HEADER, BLOCK, CHUNK = 7, 32768, 7
"""Bytes of the file's header, of a block, and of what stands before each chunk in it."""


@dataclass(frozen=True)
class OfflineRun:
    """One offline folder.

    Args:
        folder: `wandb/offline-run-<time>-<id>` in a run folder.
    """

    folder: Path

    @cached_property
    def records(self):
        """W&B's records, in order."""
        (path,) = self.folder.glob("run-*.wandb")
        return list(read_records(path.read_bytes()))

    def of_kind(self, kind: str):
        return [getattr(one, kind) for one in self.records if one.WhichOneof("record_type") == kind]

    @property
    def run(self):
        return self.of_kind("run")[0]

    @property
    def config(self):
        return {item.key: json.loads(item.value_json) for item in self.run.config.update}

    @cached_property
    def history(self):
        """What was logged, one dictionary for each call."""
        return [values(one.item) for one in self.of_kind("history")]

    def logged(self, key: str):
        """Step and value of each time that a key was logged."""
        return [(row["trainer/global_step"], row[key]) for row in self.history if key in row]

    def last(self, key: str):
        """The last value of a key that has parts, as media have, by part."""
        parts = [row for row in self.history if any(name.startswith(f"{key}.") for name in row)][-1]
        return {n.removeprefix(f"{key}."): v for n, v in parts.items() if n.startswith(f"{key}.")}

    @property
    def summary(self):
        merged = {}
        for one in self.of_kind("summary"):
            merged |= values(one.update)
        return merged

    @property
    def exit_code(self):
        codes = [one.exit_code for one in self.of_kind("exit")]
        return codes[0] if codes else None

    def table(self, key: str):
        """Columns and rows of a table."""
        content = json.loads((self.folder / "files" / self.last(key)["path"]).read_text())
        return content["columns"], content["data"]

    def pixels(self, path: str):
        """An image or a mask."""
        with Image.open(self.folder / "files" / path) as image:
            return np.asarray(image)


def offline_runs(run_folder: Path) -> list[OfflineRun]:
    """Those in a run folder, from the first."""
    wandb.teardown()  # a run that is finished may not be written yet: W&B's process is waited for
    return [OfflineRun(one) for one in sorted((run_folder / "wandb").glob("offline-run-*"))]


def values(items):
    """Keys, parts joined by a dot, and values of W&B's items."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def read_records(content: bytes):
    """The records of a .wandb file, which is a log as LevelDB's."""
    assert content[:4] == b":W&B"
    position, parts = HEADER, []
    while position + CHUNK <= len(content):
        left = BLOCK - position % BLOCK
        if left < CHUNK:  # too small for a chunk
            position += left
            continue
        checksum = int.from_bytes(content[position : position + 4], "little")
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]  # 1 whole, 2 first, 3 middle, 4 last
        data = content[position + CHUNK : position + CHUNK + length]
        assert zlib.crc32(bytes([kind]) + data) == checksum
        position += CHUNK + length
        parts.append(data)
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record
