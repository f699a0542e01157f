"""Messages are one line, whatever the exception went through."""

import pickle

import pytest
from torch.utils.data import DataLoader, Dataset

from gcseg.config.messages import explain
from gcseg.errors import (
    ConfigError,
    DataError,
    DownloadError,
    GcsegError,
    OutputError,
    TrainingError,
    WeightsError,
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
