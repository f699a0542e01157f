"""A run folder's files as a report reads them."""

import json

import pytest

from gcseg.runs import reading
from gcseg.runs.reading import read_run
from gcseg.runs.shapes import MOST_CLASSES


def write(folder, evaluations):
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"evaluations": evaluations}))


def notices(run, name):
    return [one for one in run.notices if name in one]


def test_a_file_that_many_evaluations_name_is_read_once(tmp_path, monkeypatch):
    run = tmp_path / "run"
    names = ["a", "./a", "b", "link"]
    write(run, {name: {"miou": 0.5, "analysis": f"{name}.json", "confusion": f"{name}.csv"}
                for name in names})  # fmt: skip
    (run / "a.json").write_text('{"classes": ["x"]}')
    (run / "a.csv").write_text(",x\nx,1\n")
    for suffix in (".json", ".csv"):
        (run / f"link{suffix}").symlink_to(run / f"a{suffix}")
    read = []
    for name in ("shown_record", "shown_text"):
        known = getattr(reading, name)

        def counted(folder, file, *rest, known=known):
            read.append(file)
            return known(folder, file, *rest)

        monkeypatch.setattr(reading, name, counted)
    found = read_run(run)
    assert sorted(one for one in read if one[0] in "abl") == ["a.csv", "a.json", "b.csv", "b.json"]
    assert notices(found, "b.") == ["b.json is missing.", "b.csv is missing."]
    by_name = {one.name: one for one in found.evaluations}
    assert by_name["a"].analysis is by_name["./a"].analysis is by_name["link"].analysis
    assert by_name["a"].confusion.counts.tolist() == [[1]]
    assert by_name["b"].analysis is None


@pytest.mark.parametrize("classes", [MOST_CLASSES, MOST_CLASSES + 1])
@pytest.mark.parametrize("more_rows", [0, 1])
def test_confusions_have_as_many_classes_as_labels_can(tmp_path, classes, more_rows):
    write(tmp_path, {"none": {"miou": 0.5, "confusion": "none.csv"}})
    names = [f"c{n}" for n in range(classes)]
    rows = [",".join([name, *["1"] * classes]) for name in [*names, *["more"] * more_rows]]
    (tmp_path / "none.csv").write_text("\n".join([",".join(["", *names]), *rows]) + "\n")
    found = read_run(tmp_path)
    whole = classes <= MOST_CLASSES and not more_rows
    assert (found.evaluations[0].confusion is not None) == whole
    assert len(notices(found, "none.csv")) == (not whole)
