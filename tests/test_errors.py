"""Messages are one line, whatever the exception went through."""

import pickle

import pytest
from torch.utils.data import DataLoader, Dataset

from gcseg.config.messages import explain
from gcseg.errors import (
    LONGEST_MESSAGE,
    ConfigError,
    DataError,
    DownloadError,
    GcsegError,
    OutputError,
    TrainingError,
    WeightsError,
    reason,
)

TYPES = (ConfigError, DataError, DownloadError, WeightsError, OutputError, TrainingError)


@pytest.mark.parametrize("error", TYPES)
def test_cause_and_remedy(error):
    raised = error("dataset.root=/x does not exist", "give a folder")
    assert str(raised) == "dataset.root=/x does not exist: give a folder"
    assert (raised.cause, raised.remedy) == ("dataset.root=/x does not exist", "give a folder")
    assert isinstance(raised, GcsegError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cause",), "cause"),
        (("cause: with a colon",), "cause: with a colon"),
        (("first\n  second\tthird\n", "and\na remedy"), "first second third: and a remedy"),
        (("",), ""),
    ],
)
def test_one_line(arguments, message):
    assert str(DataError(*arguments)) == message


@pytest.mark.parametrize("error", TYPES)
def test_pickled(error):
    restored = pickle.loads(pickle.dumps(error("cause", "remedy")))
    assert type(restored) is error
    assert (restored.cause, restored.remedy) == ("cause", "remedy")


class Failing(Dataset):
    def __init__(self, errors):
        self.errors = errors

    def __len__(self):
        return len(self.errors)

    def __getitem__(self, index):
        raise self.errors[index]


def test_from_a_worker():
    """A DataLoader raises anew, with the worker's traceback as the only argument."""
    errors = [
        error(*arguments)
        for error in TYPES
        for arguments in (
            ("image /a.png is truncated", "fetch it again"),
            ("cause alone",),
            ("a cause\nof two lines", "remedy"),
            ("file 'Caught it': Traceback", "remedy"),
        )
    ]
    batches = iter(DataLoader(Failing(errors), num_workers=1))
    for error in errors:
        with pytest.raises(type(error)) as raised:
            next(batches)
        assert str(raised.value) == str(error)
        assert raised.value.cause.startswith(f"Caught {type(error).__name__} in DataLoader worker")
    with pytest.raises(StopIteration):
        next(batches)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: out of memory")]
)
def test_out_of_memory_says_so_whatever_the_library_says(error):
    message = explain(error, "train")
    assert "out of memory: lower batch_size" in message
    assert not message.startswith(":")


@pytest.mark.parametrize(
    ("cause", "remedy", "length"),
    [
        ("x" * 10**5, "give another", LONGEST_MESSAGE + 5),
        ("x" * 10**5, "y" * 10**5, LONGEST_MESSAGE + 5),
        ("cause", "y" * 10**5, LONGEST_MESSAGE + 5),
        ("\U000e0001" * 10**4, "give another", LONGEST_MESSAGE + 5),
        ("x" * 10**5, "", LONGEST_MESSAGE + 3),
    ],
)
def test_messages_have_an_end(cause, remedy, length):
    message = str(WeightsError(cause, remedy))
    assert len(message) == length
    assert message.isprintable()
    if len(remedy) < 100:
        assert message.endswith(remedy)


def test_long_remedies_are_whole_where_there_is_room():
    remedy = f"use one of {', '.join(f'class {n}' for n in range(150))}"
    assert str(ConfigError("class_weights has 2 numbers", remedy)).endswith(remedy)


def test_reasons_of_libraries_are_their_first_line():
    stack = "\n  is out of range \nException raised from x (most recent call first):\nframe #0"
    assert reason(RuntimeError(stack)) == "is out of range"
    assert reason(RuntimeError("x" * 10**5)) == "x" * 500 + "..."
    assert reason(MemoryError()) == "MemoryError"
    assert reason(ConfigError("cause", "remedy")) == "cause: remedy"
