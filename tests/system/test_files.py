"""Files are written whole or not at all."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gcseg.errors import OutputError
from gcseg.system.files import (
    atomic_write,
    move_into_place,
    partial_folder,
    remove_partials,
    write_json,
)


def test_writes_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b" / "results.json"
    write_json(path, {"miou": 0.5, "class_iou": {"sky": None}})
    assert json.loads(path.read_text()) == {"miou": 0.5, "class_iou": {"sky": None}}
    assert path.read_text().endswith("}\n")
    assert [entry.name for entry in path.parent.iterdir()] == ["results.json"]


def test_the_old_file_stands_until_the_end(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_no_link_at_the_temporary_name_is_followed(tmp_path):
    """Nor does it keep the file from being written, or what a killed process has left there."""
    mine = tmp_path / "mine"
    mine.write_text("mine")
    with atomic_write(tmp_path / "x") as file:
        name = file.name
    Path(name).symlink_to(mine)
    write_json(tmp_path / "x", 1)
    assert mine.read_text() == "mine"
    assert (tmp_path / "x").read_text() == "1\n" and not (tmp_path / "x").is_symlink()
    Path(name).write_text("half")
    write_json(tmp_path / "x", 2)
    assert (tmp_path / "x").read_text() == "2\n"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("existed", [True, False])
def test_a_failure_in_the_middle(tmp_path, error, existed):
    path = tmp_path / "x"
    if existed:
        path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"half")
        raise error
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == ([b"old"] if existed else [])


def test_content_that_is_no_json(tmp_path):
    write_json(tmp_path / "x", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "x", {"a": object()})
    assert (tmp_path / "x").read_text() == "1\n"


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_full_disk(tmp_path, monkeypatch, failing):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(_):
        raise full

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    message = (
        f"{path} can't be written (No space left on device): "
        "free space there, or choose a writable folder with run_root= or output="
    )
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"), atomic_write(path) as file:
        file.write(b"half")
        if failing == "write":
            raise full
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_size_limit(tmp_path):
    """The kernel refuses the bytes, as on a full disk."""
    path = tmp_path / "x.json"
    path.write_text("old")
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from gcseg.system.files import write_json\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "write_json(Path(sys.argv[1]), 'x' * 100_000)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert f"OutputError: {path} can't be written (File too large): free" in result.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_in_the_middle(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    code = (
        "import os, sys; from pathlib import Path; from gcseg.system.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    assert path.read_text() == "old"
    write_json(path, 1)
    assert path.read_text() == "1\n", "what the killed process left is not in the way"


def test_a_folder_in_the_making(tmp_path):
    with pytest.raises(KeyboardInterrupt), partial_folder(tmp_path / "sub" / "x") as folder:
        (folder / "a").mkdir()
        left = folder
        raise KeyboardInterrupt
    (left / "old").mkdir(parents=True)
    with partial_folder(tmp_path / "sub" / "x") as folder:
        assert folder == left and not list(folder.iterdir())
        (folder / "x").write_text("new")
        move_into_place(folder / "x", tmp_path / "sub" / "x")
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["x"]
    with pytest.raises(OutputError, match="can't be written"), partial_folder(tmp_path / "sub/x/y"):
        pass


def test_the_longest_names(tmp_path):
    for name in ("x" * 255, "ä" * 127):
        write_json(tmp_path / name, 1)
        assert (tmp_path / name).read_text() == "1\n"


def test_what_killed_processes_have_left(tmp_path):
    mine = tmp_path / f".a.{os.getpid()}.1.partial"
    others = [tmp_path / ".b.partial", tmp_path / "c.4194999.1.partial", mine]
    left = [tmp_path / ".a.png.4194999.1.partial", tmp_path / "sub" / ".b.4194999.1.partial"]
    left[1].parent.mkdir()
    for path in (*others, *left):
        path.touch()
    (tmp_path / "kept").mkdir()
    (tmp_path / ".d.4194999.1.partial").symlink_to(tmp_path / "kept")
    (tmp_path / ".e.4194999.1.partial" / "f").mkdir(parents=True)
    remove_partials(tmp_path)
    assert not list(tmp_path.glob(".[de]*")) and (tmp_path / "kept").is_dir()
    assert not left[0].exists() and left[1].exists()
    remove_partials(tmp_path, below=True)
    assert not left[1].exists() and all(path.exists() for path in others)
    remove_partials(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/x.json", "File exists|Not a directory"),
        ("file/runs/a/x.json", "Not a directory"),
        ("folder", "Is a directory"),
        ("x" * 256, "File name too long"),
        ("x" * 300 + "/x.json", "File name too long"),
        ("loop/x.json", "Too many levels of symbolic links|File exists"),
    ],
)
def test_places_that_can_not_be_written(tmp_path, place, reason):
    (tmp_path / "file").write_text("a regular file")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = sorted(tmp_path.rglob("*"))
    path = tmp_path / place
    with pytest.raises(
        OutputError,
        match=rf"^{path} can't be written \(({reason})\): free space there, or choose a writable "
        "folder with run_root= or output=$",
    ):
        write_json(path, 1)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "a regular file"
