"""What fits a record's shape is kept; what does not is named and left out."""

import pytest

from gcseg.config.table import TABLE
from gcseg.runs import shapes
from gcseg.runs.shapes import COUNT, EVALUATION, JOB, RESULTS, Each, Several, checked, cleaned
from gcseg.system.records import RecordError

JOBS = {
    "key": "a", "number": 0, "overrides": [], "training": "t", "settings": {}, "state": "done",
}  # fmt: skip


def kept(content, shape):
    odd = []
    return cleaned(content, shape, odd), odd


def test_of_long_lists_and_mappings_the_beginning_is_kept():
    assert kept([1, 2, 3], Several(COUNT, 2)) == (
        [1, 2],
        ["it has 3 values, which is more than 2"],
    )
    assert kept({"a": 1, "b": 2, "c": 3}, Each(COUNT, 2)) == (
        {"a": 1, "b": 2},
        ["it has 3 names, which is more than 2"],
    )
    assert kept([1, 2], Several(COUNT, 2)) == ([1, 2], [])
    assert kept({"a": 1}, Each(COUNT, 2)) == ({"a": 1}, [])


def test_what_is_taken_up_again_has_no_more_than_it_may():
    with pytest.raises(RecordError, match="it has 3 values, which is more than 2"):
        checked([1, 2, 3], Several(COUNT, 2))


@pytest.mark.parametrize(
    ("content", "shape", "name"),
    [
        ({"evaluations": {f"m{n}": {"miou": 0.5} for n in range(1001)}}, RESULTS, "evaluations"),
        ({"miou": 0.5, "class_iou": {f"c{n}": 0.5 for n in range(257)}}, EVALUATION, "class_iou"),
        ({**JOBS, "overrides": ["a=1"] * 1001}, JOB, "overrides"),
        ({**JOBS, "settings": {"modes": ["none"] * 101}}, JOB, "settings.modes"),
        ({**JOBS, "evaluations": {f"m{n}": {"miou": 0} for n in range(101)}}, JOB, "evaluations"),
    ],
    ids=["evaluations", "classes", "overrides", "modes", "scores of a job"],
)
def test_records_are_bounded(content, shape, name):
    _, odd = kept(content, shape)
    assert [one.partition(" has ")[0] for one in odd] == [name]


def test_large_records_of_ours_are_kept_whole():
    classes = {f"class {n}": 0.5 for n in range(255)}
    modes = {f"m{n}": {"miou": 0.5, "class_iou": classes} for n in range(100)}
    for content, shape in (
        ({"evaluations": modes}, RESULTS),
        ({**JOBS, "evaluations": modes}, JOB),
    ):
        assert kept(content, shape) == (content, [])


@pytest.mark.parametrize(
    "scales", [[60.0], [1e300], [0.05], [1.0, 9], [], [0.5] * 21, 1.0, [True], ["1"], [None]],
    ids=str,
)  # fmt: skip
def test_scales_that_no_evaluation_takes_are_left_out(scales):
    found, odd = kept({"miou": 0.5, "scales": scales}, EVALUATION)
    assert found == {"miou": 0.5}
    assert odd == ["scales is not a list of 1 to 20 scales from 0.1 to 8"]


@pytest.mark.parametrize("scales", [[1.0], [1], [0.1, 8], [0.5] * 20], ids=str)
def test_scales_that_an_evaluation_takes_are_kept(scales):
    assert kept({"miou": 0.5, "scales": scales}, EVALUATION)[1] == []


def test_the_bounds_are_those_of_the_settings():
    rows = {row.name: row for row in TABLE}
    scales = rows["tta.modes.*.scales"]
    assert (scales.least, scales.most) == shapes._SCALES
    assert scales.count == (1, shapes._MOST_SCALES)
    assert rows["tta.modes"].count[1] == shapes.MOST_MODES
