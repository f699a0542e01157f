"""Tables of published and measured results."""

import json
from pathlib import Path

import pytest

from gcseg.commands.tables import main
from gcseg.errors import OutputError
from gcseg.zoo import catalogue
from gcseg.zoo.measured import add_measurement, measured_table, published_table, read_measurements

REPOSITORY = Path(__file__).resolve().parents[2]


def measurement(experiment, weights="a", **miou):
    evaluations = {mode: {"miou": value} for mode, value in miou.items()}
    return {
        "experiment": experiment,
        "weights": {"sha256": weights},
        "results": {"dataset": "voc", "evaluations": evaluations},
    }


def cells(table, name):
    (row,) = [line for line in table.splitlines() if name in line]
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_measured_beside_published():
    measured = [
        measurement("published=paddleseg_r50_voc", none=0.8, flip=0.81),
        measurement("published=paddleseg_r50_voc", weights="b", none=0.803),
        measurement("small=demo", none=0.1),
    ]
    table = published_table(catalogue.records(), measured)
    assert cells(table, "`paddleseg_r50_voc`")[1:] == [
        *("R50-vd", "80.32", "80.39", "80.54 (80.94)"),
        *("80.30", "81.00", ""),
    ]
    assert cells(table, "`mmseg_r101_ade20k_80k`")[1:] == [
        *("R101-v1c", "42.82", "", "44.54"),
        *("", "", ""),
    ]
    networks = [record for record in catalogue.records() if record.kind == "network"]
    assert [line.split("`")[1] for line in table.splitlines() if line.startswith("| `mmseg")] == [
        record.experiment
        for dataset in ("cityscapes", "voc", "ade20k")
        for record in networks
        if (record.framework, record.dataset) == ("mmseg", dataset)
    ]


def test_trainings_have_a_table_of_their_own():
    entry = {
        "experiment": "small=demo",
        "command": "python -m gcseg.train small=demo",
        "results": {
            "dataset": "scenes",
            "training": {"iters": 500, "seconds": 355.2},
            "evaluations": {"none": {"miou": 0.55943}},
        },
    }
    table = measured_table([entry, measurement("published=x", none=0.5)])
    assert cells(table, "small=demo") == [
        *("scenes", "`python -m gcseg.train small=demo`", "500 steps, 6 minutes"),
        *("55.94", "", ""),
    ]
    assert len(table.splitlines()) == 3


def test_measurements_are_merged(tmp_path):
    path = tmp_path / "below" / "results.json"
    for new in (
        measurement("x", none=0.1, flip=0.2),
        measurement("y", none=0.3),
        measurement("x", flip=0.4),
        measurement("x", weights="b", none=0.5),
    ):
        add_measurement(path, new)
    assert read_measurements(path) == [
        measurement("x", none=0.1, flip=0.4),
        measurement("y", none=0.3),
        measurement("x", weights="b", none=0.5),
    ]


@pytest.mark.parametrize("content", ["{}", "[", "[1]", ""])
def test_a_damaged_list_is_kept(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(OutputError, match=r"results\.json is damaged"):
        add_measurement(path, measurement("x", none=0.1))
    assert path.read_text() == content


def test_the_pages_have_the_tables_of_the_records(tmp_path, capsys):
    pages = ""
    for name in ("results.md", "published.md"):
        text = (REPOSITORY / "docs" / name).read_text()
        (tmp_path / name).write_text(text)
        main(["--update", str(tmp_path / name)])
        assert (tmp_path / name).read_text() == text, "run make tables"
        pages += text
    main([])
    printed = capsys.readouterr().out
    for line in printed.strip().splitlines():
        assert line in pages


def test_only_what_is_between_the_marks_changes(tmp_path):
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text(
        "a\n<!-- published -->\nold\n<!-- /published -->\nb\n<!-- measured --><!-- /measured -->\nc"
    )
    results.write_text(json.dumps([measurement("published=paddleseg_r50_voc", none=0.5)]))
    main(["--update", str(page), "--results", str(results)])
    text = page.read_text()
    assert text.startswith("a\n<!-- published -->\n### ") and text.endswith("<!-- /measured -->\nc")
    assert "| 50.00 |" in text and "old" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nothing", "has 0 places for a table: write <!-- published -->"),
        (None, "page.md can't be read (No such file or directory): give a page with marks"),
    ],
)
def test_no_place_for_a_table(tmp_path, capsys, content, message):
    page = tmp_path / "page.md"
    if content is not None:
        page.write_text(content)
    with pytest.raises(SystemExit) as exit:
        main(["--update", str(page)])
    assert exit.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert not page.exists() or page.read_text() == content
