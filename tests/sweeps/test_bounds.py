"""A ledger that someone made to have no end is refused, and a long one is shown in part."""

import sqlite3
import struct

import pytest

from gcseg.errors import OutputError
from gcseg.sweeps.ledger import Job, Ledger, shown_jobs
from gcseg.sweeps.tabled import MOST_CELLS, tabled

TABLE, INDEX = "jobs", "sqlite_autoindex_jobs_2"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    for n in range(8):
        ledger.add(f"k{n}", n, overrides=[f"seed={n}"], training=f"t{n}", settings={"modes": []})
    return path


def varint(number):
    digits = [number & 127]
    while number := number >> 7:
        digits.append(number & 127 | 128)
    return bytes(reversed(digits))


def fold(path, name, levels=4):
    """Put pages above a tree's only one, each of which names the one below it 200 times."""
    with sqlite3.connect(path) as database:
        find = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        ((root,),) = database.execute(find, (name,))
    content = path.read_bytes()
    (size,) = struct.unpack(">H", content[16:18])
    pages = [content[start : start + size] for start in range(0, len(content), size)]
    pages.append(leaf := pages[root - 1])
    for _ in range(levels):
        page, place, cells = bytearray(size), size, []
        for number in range(1, 201):
            value = varint(number)
            if leaf[0] == 10:  # an entry of an index
                start = struct.unpack(">H", leaf[8:10])[0]
                value = leaf[start : start + 1 + leaf[start]]
            cell = struct.pack(">I", len(pages)) + value
            place -= len(cell)
            page[place : place + len(cell)] = cell
            cells.append(place)
        kind = 2 if leaf[0] == 10 else 5
        page[:12] = struct.pack(">BHHHBI", kind, 0, len(cells), place, 0, len(pages))
        page[12 : 12 + 2 * len(cells)] = struct.pack(f">{len(cells)}H", *cells)
        pages.append(bytes(page))
    pages[root - 1] = pages.pop()
    content = bytearray(b"".join(pages))
    content[28:32] = struct.pack(">I", len(pages))
    path.write_bytes(content)


REFUSED = r"\((its tables hold more than the file does|its tables do not end)\)"


@pytest.mark.parametrize("name", [TABLE, INDEX])
def test_sqlite_itself_reads_pages_that_stand_for_many(path, name):
    fold(path, name, 1)
    scanned = {TABLE: "NOT INDEXED", INDEX: f"INDEXED BY {INDEX}"}[name]
    with sqlite3.connect(path) as database:
        rows = database.execute(f"SELECT number FROM jobs {scanned}").fetchall()
    assert len(rows) > 1000


def test_jobs_that_an_index_names_without_end_are_refused(path):
    fold(path, INDEX)
    with pytest.raises(OutputError, match=f"can't be read {REFUSED}: move the sweep's folder"):
        shown_jobs(path, [])
    with pytest.raises(OutputError, match=f"can't be used {REFUSED}: free space there"):
        Ledger(path).jobs()


@pytest.mark.parametrize(
    "use",
    [
        lambda ledger: ledger.claim("k0"),
        Ledger.settle,
        lambda ledger: ledger.add("new", 9, overrides=[], training="t", settings={}),
    ],
    ids=["claim", "settle", "add"],
)
def test_a_table_without_end_is_refused(path, use):
    fold(path, TABLE)
    with pytest.raises(OutputError, match=f"can't be used {REFUSED}: free space there"):
        use(Ledger(path))


def job(number, overrides=(), modes=(), scores=()):
    evaluations = {name: {"miou": 0.5} for name in scores}
    settings = {"modes": list(modes)}
    return Job(
        f"k{number}", number, tuple(overrides), f"t{number}", settings, "done", None, evaluations
    )


def test_of_too_many_cells_the_first_jobs_are_kept():
    jobs = [job(n, [f"a{n}=1", "b=1"]) for n in range(100)]
    assert tabled(jobs, 10**6) == jobs
    few = tabled(jobs, 1000)
    assert few == jobs[: len(few)]
    assert len(few) * (len(few) + 7) <= 1000 < (len(few) + 1) * (len(few) + 8)
    modes = [job(n, modes=[f"m{n}"]) for n in range(100)]
    assert tabled(modes, 1000) == modes[: len(few)]
    alike = [job(n, ["a=1", "b=1", f"seed={n}"]) for n in range(100)]
    assert tabled(alike, 800) == alike
    assert tabled(alike, 799) == alike[:99]
    scored = [job(n, [f"a={n}"], scores=["x", "y"]) for n in range(10)]
    assert tabled(scored, 10 * (1 + 2 + 7) + 20) == scored
    assert tabled(scored, 10 * (1 + 2 + 7) + 19) == scored[:9]


def test_sweeps_of_thousands_of_jobs_are_shown_whole():
    jobs = [
        job(n, [f"x{i}={n}" for i in range(6)], ["none", "flip"], ["none", "flip"])
        for n in range(5000)
    ]
    assert tabled(jobs, MOST_CELLS) == jobs


def test_what_is_left_out_is_told(path, monkeypatch):
    notices = []
    assert len(shown_jobs(path, notices)) == 8
    assert notices == []
    monkeypatch.setattr("gcseg.sweeps.tabled.tabled.__defaults__", (5 * 8,))
    assert [job.number for job in shown_jobs(path, notices)] == [0, 1, 2, 3, 4]
    assert notices == [
        f"3 of the 8 jobs of {path} are left out: a table of all would have too many cells"
    ]


def test_odd_jobs_are_told_of_up_to_a_few(path):
    with sqlite3.connect(path) as database:
        database.execute("UPDATE jobs SET state = 'odd'")
        for n in range(8, 30):
            database.execute(
                "INSERT INTO jobs (key, number, overrides, training, settings, state)"
                " VALUES (?, ?, '[]', 't', '{}', 'odd')", (f"k{n}", n),
            )  # fmt: skip
    notices = []
    assert shown_jobs(path, notices) == []
    assert len(notices) == 11
    assert notices[-1] == f"20 more jobs of {path} have odd entries"
