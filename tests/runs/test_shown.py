"""metrics.csv and records as they are shown: what is odd is left out and told."""

import pytest

from gcseg.runs import shown
from gcseg.runs.shown import MOST_COLUMNS, shown_curves


@pytest.fixture
def curves(tmp_path):
    """The curves of a file of this content, and the notices on it."""

    def read(content, **options):
        (tmp_path / "metrics.csv").write_text(content)
        notices = []
        return shown_curves(tmp_path, notices, **options), notices

    return read


def test_columns_may_begin_and_end_where_they_like(curves):
    found, notices = curves("step,a,b\n0,1,2\n1,3\n2,,4\n3\n4,5,6,7\n")
    assert found == {"a": ([1, 2, 5], [1, 3, 5]), "b": ([1, 3, 5], [2, 4, 6])}
    assert notices == []


def test_of_columns_of_one_name_the_first_counts(curves):
    found, _ = curves("a,step,a,b,a\n1,0,2,3,4\n")
    assert found == {"a": ([1], [1]), "b": ([1], [3])}


def test_of_many_columns_the_first_are_read(curves, monkeypatch):
    monkeypatch.setattr(shown, "MOST_COLUMNS", 2)
    found, notices = curves("step,a,b,c\n0,1,2,3\n")
    assert list(found) == ["a", "b"]
    assert notices == ["metrics.csv has 3 columns, of which 2 are shown."]
    found, notices = curves("step,a,b,c\n0,1,2,3\n", only=["c"])
    assert (list(found), notices) == (["c"], [])


def test_trainings_of_many_classes_are_read_whole(curves):
    names = [f"c{n}" for n in range(500)]
    found, notices = curves(f"step,{','.join(names)}\n0{',0.5' * 500}\n")
    assert list(found) == names
    assert notices == []
    assert MOST_COLUMNS >= 500


class Row(list):
    """A row that counts how often it is looked at."""

    looks = 0

    def __getitem__(self, place):
        Row.looks += 1
        return super().__getitem__(place)


def test_short_rows_of_wide_tables_cost_what_they_have(curves, monkeypatch):
    known = shown.csv.reader
    monkeypatch.setattr(shown.csv, "reader", lambda *a, **o: iter(map(Row, known(*a, **o))))
    monkeypatch.setattr(Row, "looks", 0)
    header = ",".join(f"a{n}" for n in range(1000))
    curves(f"step,{header}\n" + "0,1\n" * 100)
    assert Row.looks <= 100 * 3
