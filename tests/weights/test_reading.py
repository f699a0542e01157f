"""Every format of checkpoint files, as its framework writes it."""

import os
import pickle
import struct
import sys
import threading
import types

import numpy as np
import pytest
import torch

from gcseg.errors import WeightsError
from gcseg.models import gcnet
from gcseg.weights import load_torch, load_weights, read_checkpoint_file, read_tensors
from gcseg.weights.architecture import WithoutDrawing
from tests.golden import expected, image, parameters
from tests.golden.generate import FOLDER, NETWORKS
from tests.weights.files import LEGACY, NAME_TABLE, WRITERS, Reduced, write_paddle, write_tar


def tensors(seed=0):
    """A few parameters of every kind."""
    torch.manual_seed(seed)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3),
        "conv.bias": torch.randn(4),
        "norm.weight": torch.randn(40, dtype=torch.float64),
        "norm.running_mean": torch.randn(300).half(),
        "norm.num_batches_tracked": torch.tensor(7),
        "scale": torch.tensor(0.5),
    }


def assert_same(actual, wanted):
    assert actual.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert actual[name].dtype == tensor.dtype, name
        assert torch.equal(actual[name], tensor), name


def assert_golden(path, network, seed):
    with WithoutDrawing():  # what is loaded takes the place of all
        model = gcnet(num_classes=19, **NETWORKS[network])
    assert load_weights(model, path) == []
    wanted = expected(network)["main"]
    with torch.no_grad():
        logits = model.eval()(image((1, 3, 65, 97), seed=seed)).numpy()
    assert np.abs(logits - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert np.array_equal(logits.argmax(1), wanted.argmax(1))


@pytest.mark.parametrize("kind", WRITERS)
def test_logits_are_the_frameworks(tmp_path, kind):
    WRITERS[kind][1](tmp_path / "file", parameters("paddleseg_gcnet_r18"))
    assert_golden(tmp_path / "file", "paddleseg_gcnet_r18", seed=18)
    (tmp_path / "file").unlink()


@pytest.mark.parametrize(
    ("network", "kind"),
    [("paddleseg_gcnet_r50", "pdparams, protocol 4"), ("mmseg_gcnet_r50", "pth of mmseg")],
)
def test_logits_of_deeper_networks_are_the_frameworks(tmp_path, network, kind):
    WRITERS[kind][1](tmp_path / "file", parameters(network))
    assert_golden(tmp_path / "file", network, seed=50)
    (tmp_path / "file").unlink()


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("suffix", [".pdparams", ".pth", ".safetensors", ".tar.gz", ""])
def test_content_shows_the_format_and_keeps_every_bit(tmp_path, kind, suffix):
    path = tmp_path / f"weights{suffix}"
    name, write = WRITERS[kind]
    write(path, tensors())
    file = read_checkpoint_file(str(path))
    assert file.format == name
    assert_same(file.tensors, tensors())
    assert list(file.extra) == (["meta"] if "mmseg" in kind else [])
    assert_same(read_tensors(path), tensors())


@pytest.mark.parametrize("kind", WRITERS)
def test_tensors_are_free_of_the_file(tmp_path, kind):
    WRITERS[kind][1](tmp_path / "file", tensors())
    read = read_tensors(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"")
    for tensor in read.values():
        tensor += 1
    assert torch.equal(read["conv.bias"], tensors()["conv.bias"] + 1)


def test_genuine_file_of_paddle():
    path = FOLDER / "gcnet_head_small.pdparams"
    with path.open("rb") as file:
        wanted = pickle.load(file)
    assert wanted.pop(NAME_TABLE)
    file = read_checkpoint_file(path)
    assert file.format == "PaddlePaddle"
    assert_same(file.tensors, {name: torch.from_numpy(array) for name, array in wanted.items()})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1", ">f4"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (7, 5, 11)])
def test_arrays(tmp_path, protocol, dtype, shape):
    rng = np.random.default_rng(protocol)
    array = np.asarray(100 * rng.standard_normal(shape)).astype(dtype)
    content = {"c": array, "fortran": np.asfortranarray(array), "strided": array.T}
    (tmp_path / "x").write_bytes(pickle.dumps(content, protocol))
    read = read_tensors(tmp_path / "x")
    for name, wanted in content.items():
        assert np.array_equal(read[name].numpy(), wanted)
        assert read[name].numpy().dtype == wanted.dtype.newbyteorder("=")


def test_bfloat16_of_paddle(tmp_path):
    wanted = torch.randn(50).bfloat16()
    (tmp_path / "x").write_bytes(pickle.dumps({"weight": wanted.view(torch.uint16).numpy()}, 4))
    assert_same(read_tensors(tmp_path / "x"), {"weight": wanted})


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_inner_dictionaries_of_paddle(tmp_path, protocol):
    inner = {k: Reduced(tuple, ((f"w_{k}", v.numpy()),)) for k, v in tensors().items()}
    (tmp_path / "x").write_bytes(pickle.dumps({"epoch": 3, "state_dict": inner}, protocol))
    assert_same(read_tensors(tmp_path / "x"), tensors())


def test_parts_of_huge_parameters_are_refused(tmp_path):
    content = {"weight@@.0": np.ones(3), "UnpackBigParamInfor@@": {"weight": {}}}
    (tmp_path / "x").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(WeightsError, match="its parameters are in parts"):
        read_tensors(tmp_path / "x")


def test_array_of_python_2(tmp_path):
    data = np.array([1.5, -2], "<f4").tobytes()
    (tmp_path / "x").write_bytes(
        b"\x80\x02}U\x06weightcnumpy.core.multiarray\n_reconstruct\n"
        + b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        + b"J\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", len(data))
        + data
        + b"tbs."
    )
    assert_same(read_tensors(tmp_path / "x"), {"weight": torch.tensor([1.5, -2])})


@pytest.mark.parametrize("container", ["state_dict", "model", "params"])
@pytest.mark.parametrize("arguments", [{}, LEGACY], ids=["zip", "legacy"])
def test_state_dict_in_a_dictionary(tmp_path, container, arguments):
    extra = {"epoch": 3, "gcseg": {"classes": ["road"]}, "other": [{"a": (1.5, None, True)}]}
    torch.save({**extra, container: tensors()}, tmp_path / "x", **arguments)
    file = read_checkpoint_file(tmp_path / "x")
    assert_same(file.tensors, tensors())
    assert file.extra == extra


def test_what_torch_before_1_6_saves(tmp_path):
    tensor = torch.randn(3, 4)
    storage = torch.storage.TypedStorage(
        wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True
    )
    plain = Reduced(torch._utils._rebuild_tensor, (storage, 0, (3, 4), (4, 1)))
    content = {
        "state_dict": {
            "a.weight": plain,
            "b.weight": Reduced(torch.nn.Parameter, (plain,), (True, False, {})),
        },
        "optimizer": {"state": {140_234_567_890_123: {"step": 3}}},  # the parameter's address
    }
    torch.save(content, tmp_path / "x", **LEGACY)
    file = read_checkpoint_file(tmp_path / "x")
    assert_same(file.tensors, {"a.weight": tensor, "b.weight": tensor})
    assert not file.tensors["b.weight"].requires_grad
    assert file.extra == {"optimizer": content["optimizer"]}


@pytest.mark.parametrize("arguments", [{}, LEGACY], ids=["zip", "legacy"])
def test_what_modules_and_optimizers_save(tmp_path, arguments):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 5])  # has a Counter
    model(torch.ones(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    content = {
        "state_dict": model.state_dict(),  # an OrderedDict with attributes
        "parameters": list(model.parameters()),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "others": [{1, "a"}, torch.Size((2, 3)), torch.float16, torch.device("cuda", 0), -(10**9)],
        "half": torch.ones(2, 2).bfloat16()[:, 1],
    }
    torch.save(content, tmp_path / "x", **arguments)
    assert_same(read_tensors(tmp_path / "x"), model.state_dict())
    read = load_torch(tmp_path / "x")
    assert read.keys() == content.keys()
    assert read["others"] == content["others"]
    assert read["scheduler"] == content["scheduler"]
    assert torch.equal(read["half"], content["half"])
    for step, wanted in content["optimizer"]["state"].items():
        assert_same(read["optimizer"]["state"][step], wanted)


def test_shared_memory_counts_once(tmp_path):
    weight = torch.randn(100, 100)
    content = {"a.weight": weight, "b.weight": weight, "c.weight": weight}
    torch.save(content, tmp_path / "x")
    assert_same(read_tensors(tmp_path / "x"), content)


def test_prefix_of_our_trainings_is_cut(tmp_path):
    content = {f"model.{name}": tensor for name, tensor in tensors().items()}
    content["loss.weight"] = torch.tensor([torch.nan])  # not the network's
    torch.save({"state_dict": content, "epoch": 1}, tmp_path / "x")
    assert_same(read_tensors(tmp_path / "x"), tensors())


@pytest.mark.parametrize("arguments", [{}, LEGACY], ids=["zip", "legacy"])
def test_training_of_mmengine(tmp_path, monkeypatch, arguments):
    # Its records are objects with arrays, and with functions that pickle to calls of getattr.
    module = types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def mean(self):
            raise AssertionError("code of a file was run")

        def __setstate__(self, state):
            raise AssertionError("code of a file was run")

    HistoryBuffer.__module__ = module.__name__
    HistoryBuffer.__qualname__ = "HistoryBuffer"
    HistoryBuffer.mean.__module__ = module.__name__
    HistoryBuffer.mean.__qualname__ = "HistoryBuffer.mean"
    module.HistoryBuffer = HistoryBuffer
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    record = HistoryBuffer()
    record._log_history, record._statistics_methods = np.ones(3), {"mean": HistoryBuffer.mean}
    extra = {
        "meta": {"classes": ("road", "sky"), "best": np.float32(0.5), "iter": np.int64(4000)},
        "message_hub": {"log_scalars": {"loss": record}, "array": np.arange(6)},
    }
    torch.save({**extra, "state_dict": tensors()}, tmp_path / "x", **arguments)
    before = set(torch.serialization.get_safe_globals())
    file = read_checkpoint_file(tmp_path / "x")
    assert_same(file.tensors, tensors())
    assert file.extra["meta"] == {"classes": ("road", "sky"), "best": 0.5, "iter": 4000}
    assert type(file.extra["message_hub"]["log_scalars"]["loss"]).__module__.startswith("gcseg.")
    assert set(torch.serialization.get_safe_globals()) == before


def test_macos_leaves_its_files_in_archives(tmp_path):
    write_paddle(tmp_path / "x", tensors())
    content = (tmp_path / "x").read_bytes()
    write_tar(tmp_path / "y", {"a/._m.pdparams": b"Mac OS X", "a/m.pdparams": content})
    assert_same(read_tensors(tmp_path / "y"), tensors())


def assert_refused(path, *messages, read=read_checkpoint_file):
    with pytest.raises(WeightsError) as raised:
        read(path)
    text = str(raised.value)
    assert "\n" not in text
    assert text.isprintable()
    for message in (str(path), ": ", *messages):
        assert message in text


@pytest.mark.parametrize("read", [read_checkpoint_file, read_tensors, load_torch])
def test_no_file(tmp_path, read):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "empty").touch()
    assert_refused(tmp_path / "x", "no checkpoint at ", read=read)
    assert_refused(tmp_path / "empty" / "x", "no checkpoint at ", read=read)
    assert_refused(tmp_path / "folder", "which is a directory", read=read)
    assert_refused(tmp_path / "loop", "symbolic links", read=read)
    assert_refused(tmp_path / "empty", "it is empty", read=read)
    assert_refused(tmp_path / ("x" * 300), "File name too long", read=read)


@pytest.mark.parametrize("read", [read_checkpoint_file, load_torch])
def test_pipes_and_devices_do_not_block(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    refused = []

    def attempt():
        for path in (tmp_path / "pipe", "/dev/zero"):
            assert_refused(path, "which is not a regular file", read=read)
            refused.append(path)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(60)
    assert len(refused) == 2


def test_no_permission(tmp_path):
    path = tmp_path / "x"
    torch.save(tensors(), path)
    path.chmod(0)
    if os.geteuid() == 0:  # may read everything
        os.seteuid(65534)
        try:
            assert_refused(path, "Permission denied", "permissions")
        finally:
            os.seteuid(0)
    else:
        assert_refused(path, "Permission denied", "permissions")


@pytest.mark.parametrize(
    "content",
    [b"<!DOCTYPE html><html>", b"\x00" * 100, b"\x1f\x8b" + b"x" * 50, b"PK\x03\x04" + b"x" * 50],
)
def test_other_files(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    assert_refused(tmp_path / "x", "can't read ")
    assert_refused(tmp_path / "x", "can't read ", read=load_torch)


def test_a_page_instead_of_a_file_is_shown(tmp_path):
    (tmp_path / "x").write_bytes(b"<!DOCTYPE html><html>")
    assert_refused(tmp_path / "x", "<!DOCTYPE html>")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", ["a.onnx", "a.xml", "a.pt2", "a.torchscript"])
def test_exports_are_named(tmp_path, name):
    """By their names, if they can't be read: a checkpoint may have any name."""
    path = tmp_path / name
    network = torch.nn.Conv2d(3, 4, 1)
    if name == "a.torchscript":
        torch.jit.save(torch.jit.script(network), path)
    elif name == "a.pt2":
        torch.export.save(torch.export.export(network, (torch.zeros(1, 3, 2, 2),)), path)
    else:
        path.write_bytes(b"\x08\n\x12\x07pytorch" if name == "a.onnx" else b"<?xml version")
    with pytest.raises(
        WeightsError, match=f"{name} is an export .*give the checkpoint that it was"
    ):
        read_checkpoint_file(path)
    torch.save(network.state_dict(), path)
    assert_same(read_tensors(path), network.state_dict())


def test_training_checkpoint_may_have_nan_outside_of_its_network(tmp_path):
    content = {"state_dict": tensors(), "best": torch.tensor(torch.nan)}
    torch.save(content, tmp_path / "x")
    assert_same(read_tensors(tmp_path / "x"), tensors())
    assert load_torch(tmp_path / "x")["best"].isnan()


def test_only_files_of_torch_are_loaded_as_such(tmp_path):
    write_paddle(tmp_path / "x", tensors())
    assert_refused(tmp_path / "x", "not written by torch.save", read=load_torch)


@pytest.mark.parametrize("key", [None, "state_dict"])
def test_names_of_a_network_in_parallel(key, tmp_path):
    """As DistributedDataParallel saves them; where only some have the prefix it is kept."""
    tensors = {"backbone.conv1.weight": torch.ones(2, 3), "head.bias": torch.zeros(2)}
    prefixed = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save(prefixed if key is None else {key: prefixed}, tmp_path / "all.pth")
    assert read_tensors(tmp_path / "all.pth").keys() == tensors.keys()
    torch.save({**tensors, **prefixed}, tmp_path / "some.pth")
    assert read_tensors(tmp_path / "some.pth").keys() == {*tensors, *prefixed}
