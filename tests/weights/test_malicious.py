"""Files that mean harm: each is refused in one line, without effect and without much memory."""

import _codecs
import collections
import gzip
import os
import pickle
import re
import struct
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
import torch

from gcseg.errors import WeightsError
from gcseg.weights import load_weights, read_checkpoint_file
from tests.weights.files import (
    LEGACY,
    WRITERS,
    Reduced,
    Storage,
    array,
    claimed_tensor,
    read_apart,
    torch_records,
    write_safetensors,
    write_tar,
    write_zip,
)

FLOAT32 = np.dtype("<f4")
ONES = {"weight": torch.ones(4)}
TERA = 2**40

CASES = {}  # name: (file name, how to write it, what the message says)


def case(file, message):
    def register(write):
        CASES[write.__name__.replace("_", " ")] = (file, write, message)
        return write

    return register


def dump(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol))


def paddle_bytes(content=None):
    return pickle.dumps(content or {"weight": np.ones(4, "f4")}, 4)


def system(path):
    return Reduced(os.system, (f"touch {path.with_name('trace')}",))


# ------------------------------------------------------------------------------------------- code


@case("x.pdparams", "it holds an object of type posix.system")
def command_in_pdparams(path):
    dump(path, {"weight": system(path)})


@case("x.pdparams", "it holds an object of type posix.system")
def command_in_pdparams_of_protocol_2(path):
    dump(path, {"weight": system(path)}, 2)


@case("x.pth", "it holds an object of type posix.system")
def command_in_pth(path):
    torch.save({"weight": system(path)}, path)


@case("x.pth", "it holds an object of type posix.system")
def command_in_legacy_pth(path):
    torch.save({"weight": system(path)}, path, **LEGACY)


@case("x.tar.gz", "it holds an object of type posix.system")
def command_in_archive(path):
    write_tar(path, {"model.pdparams": paddle_bytes({"weight": system(path)})})


@case("x.pdparams", "it holds an object of type builtins.eval")
def expression_as_paddle_writes_it(path):
    dump(path, {"weight": Reduced(eval, ("data", {"data": np.ones(3)}))})


@case("x.pdparams", "it holds an object of type builtins.getattr")
def attribute_in_pdparams(path):
    dump(path, {"weight": Reduced(getattr, (np.ndarray, "tofile"))})


@case("x.pth", "it holds an object of type torch.serialization.load")
def loader_in_pth(path):
    torch.save({"weight": Reduced(torch.load, (str(path),))}, path)


@case("x.pth", "it holds an object of type torch._utils._rebuild_sparse_tensor")
def sparse_tensor(path):
    torch.save({"weight": torch.eye(3).to_sparse()}, path)


@case("x.pth", "it holds an object of type torch.")
def quantised_tensor(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    torch.save({"weight": tensor}, path)


@case("x.pth", "it is a program of torch.jit.save")
def program_of_torch(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), path)


@case("x.pdparams", "its pickle does more than build plain data")
def extension_code(path):
    path.write_bytes(b"\x80\x02\x82\x01.")


@case("x.pdparams", "its pickle does more than build plain data")
def instance_of_protocol_0(path):
    path.write_bytes(b"\x80\x02(S'true'\nios\nsystem\n.")


@case("x.pdparams", "its pickle does more than build plain data")
def persistent_id_in_text(path):
    path.write_bytes(b"\x80\x02Pabc\n.")


@case("x.pdparams", "it refers to objects outside it")
def persistent_id(path):
    path.write_bytes(b"\x80\x02K\x01Q.")


@case("x.pth", "hooks or other state")
def hooks_of_a_parameter(path):
    torch.save(
        {"weight": Reduced(torch.nn.Parameter, (torch.ones(3),), (True, False, {1: 2}))}, path
    )


@case("x.pth", "hooks or other state")
def storage_in_the_state_of_a_tensor(path):
    tensor = claimed_tensor((4,), (1,))
    state = (*tensor.parts[1][:1], 0, (1,), (1,))
    write_zip(path, torch_records({"weight": Reduced(*tensor.parts, state)}))


@case("x.pth", "that are not storages")
def persistent_module(path):
    write_zip(path, torch_records({"weight": Storage(("module", torch.FloatStorage, "x", "y", 1))}))


# --------------------------------------------------------------- stand-ins that a file would change


@case("x.pdparams", "it changes an object of type Named")
def state_of_a_type(path):
    path.write_bytes(b"\x80\x02cnumpy\nndarray\n}U\x04makeK\x01sb.")


@case("x.pdparams", "it holds a damaged numpy.ndarray")
def attributes_of_an_array(path):
    dump(path, {"weight": Reduced(*array((), FLOAT32, b"").parts[:2], {"tensor": 1})})


@case("x.pdparams", "it holds a damaged numpy.dtype")
def attributes_of_a_dtype(path):
    dump(path, {"weight": Reduced(np.dtype, ("f4",), {"code": "O"})})


@case("x.pdparams", "it changes an object of type tuple")
def state_of_a_tuple(path):
    path.write_bytes(b"\x80\x02)}b.")


@case("x.pth", "it changes a dictionary's attributes")
def attributes_of_a_dictionary(path):
    torch.save(Reduced(collections.OrderedDict, (), {"get": 1}), path)


@case("x.pdparams", "it calls something that is not a type")
def call_of_a_number(path):
    path.write_bytes(b"\x80\x02K\x01)R.")


@case("x.pdparams", "it appends to an object of type Named")
def append_to_a_type(path):
    path.write_bytes(b"\x80\x02cnumpy\nndarray\nK\x01a.")


@case("x.pdparams", "it puts a pair into an object of type Named")
def pair_into_a_type(path):
    path.write_bytes(b"\x80\x02cnumpy\nndarray\nK\x01K\x01s.")


@case("x.pth", "hooks or other state")
def hooks_of_a_tensor(path):
    write_zip(path, torch_records({"weight": claimed_tensor((4,), (1,), hooks={1: 2})}))


# ----------------------------------------------------------------------------------------- claims


@case("x.pdparams", f"claims {4 * TERA} bytes ({TERA} of float32), but has 4")
def terabytes_in_pdparams(path):
    dump(path, {"weight": array((TERA,), FLOAT32, b"1234")})


@case("x.pdparams", "it holds an array with an impossible shape")
def sizes_that_overflow(path):
    dump(path, {"weight": array((2**63, 2), FLOAT32, b"1234")})


@case("x.pdparams", "it holds an array with an impossible shape")
def negative_sizes(path):
    dump(path, {"weight": array((-1, -1), FLOAT32, b"1234")})


@case("x.pdparams", "it holds an array that claims 12 bytes (3 of float32), but has 4")
def array_beyond_its_bytes(path):
    dump(path, {"weight": array((3,), FLOAT32, b"1234")})


@case("x.pdparams", "its arrays claim more bytes than")
def many_arrays_of_the_same_bytes(path):
    data = bytes(10**6)
    same = {f"{i}": array((250_000,), FLOAT32, data) for i in range(5000)}
    dump(path, same)


@case("x.pdparams", "its texts claim more bytes than")
def many_copies_of_the_same_text(path):
    text = "x" * 10**6
    dump(path, [Reduced(_codecs.encode, (text, "latin1")) for _ in range(5000)], 2)


@case("x.pdparams", "it holds a text encoded as zip")
def text_of_another_encoding(path):
    dump(path, Reduced(_codecs.encode, ("x", "zip")), 2)


@case("x.pdparams", f"it claims {2**62} more bytes")
def bytearray_of_exabytes(path):
    path.write_bytes(b"\x80\x05" + pickle.BYTEARRAY8 + struct.pack("<Q", 2**62) + b".")


@case("x.pdparams", f"it claims {2**62} more bytes")
def bytes_of_exabytes(path):
    path.write_bytes(b"\x80\x04" + pickle.BINBYTES8 + struct.pack("<Q", 2**62) + b".")


@case("x.pdparams", f"it claims {2**62} more bytes")
def text_of_exabytes(path):
    path.write_bytes(b"\x80\x04" + pickle.BINUNICODE8 + struct.pack("<Q", 2**62) + b".")


@case("x.pdparams", "it claims 4294967295 more bytes")
def bytes_of_gigabytes(path):
    path.write_bytes(b"\x80\x04" + pickle.BINBYTES + b"\xff\xff\xff\xff.")


@case("x.pdparams", "it holds a tuple")  # the memo of Python's reader in C would take 32 GiB
def huge_memo_index(path):
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\xffK\x01K\x02s\x85.")


@case("x.pdparams", "it holds more objects than any checkpoint")
def millions_of_dictionaries(path):
    path.write_bytes(b"\x80\x04" + b"}" * 3_000_000 + b".")


@case("x.pth", "it holds more objects than any checkpoint")
def copies_of_a_dictionary(path):
    pairs = [[i, i] for i in range(10_000)]
    torch.save([Reduced(collections.OrderedDict, (pairs,)) for _ in range(10_000)], path)


@case("x.pth", f"a tensor of {TERA} claims {4 * TERA} bytes of a file of ")
def terabytes_by_strides(path):
    torch.save({"weight": torch.ones(1).expand(TERA)}, path)


@case("x.pth", f"a tensor of {TERA} claims {4 * TERA} bytes of a file of ")
def terabytes_by_strides_in_legacy_pth(path):
    torch.save({"weight": torch.ones(1).expand(TERA)}, path, **LEGACY)


@case("x.pth", "its tensors claim more bytes than")
def many_tensors_of_the_same_bytes(path):
    weight = torch.ones(10_000)
    torch.save({f"{i}": weight[i:] for i in range(1000)}, path)


@case("x.pth", f"storage 0 claims {4 * TERA} bytes, its record has 16")
def storage_of_terabytes(path):
    write_zip(path, torch_records({"weight": claimed_tensor((4,), (1,), numel=TERA)}))


@case("x.pth", "storage 0 claims 64 bytes, its record has 16")
def storage_beyond_its_record(path):
    write_zip(path, torch_records({"weight": claimed_tensor((16,), (1,), numel=16)}))


@case("x.pth", "storage 7 claims 16 bytes, its record has none")
def storage_without_a_record(path):
    write_zip(path, torch_records({"weight": claimed_tensor((4,), (1,), key="7")}))


@case("x.pth", f"a storage claims {4 * TERA} bytes of a file of ")
def storage_of_terabytes_in_legacy_pth(path):
    torch.save(ONES, path, **LEGACY)
    content = path.read_bytes()
    count = pickle.dumps(4, 2)[2:-1] + b"N"  # number of elements, no view
    assert content.count(count) == 1
    path.write_bytes(content.replace(count, pickle.dumps(TERA, 2)[2:-1] + b"N"))


@case("x.pth", "storage ")
def storages_that_disagree_in_legacy_pth(path):
    torch.save(ONES, path, **LEGACY)
    content = path.read_bytes()
    data = struct.pack("<q", 4) + np.ones(4, "<f4").tobytes()
    assert content.endswith(data)
    path.write_bytes(content.removesuffix(data) + struct.pack("<q", TERA) + data[8:])


@case("x.pth", "a tensor reaches beyond its storage")
def tensor_beyond_its_storage(path):
    write_zip(path, torch_records({"weight": claimed_tensor((4,), (2,))}))


@case("x.pth", "a tensor reaches beyond its storage")
def offset_beyond_its_storage(path):
    write_zip(path, torch_records({"weight": claimed_tensor((0,), (1,), offset=5)}))


@case("x.pth", "it holds a tensor with a shape that is none")
def negative_stride(path):
    write_zip(path, torch_records({"weight": claimed_tensor((2,), (-1,), offset=1)}))


@case("x.pth", "it holds a tensor with too many dimensions")
def thousand_dimensions(path):
    write_zip(path, torch_records({"weight": claimed_tensor((1,) * 1000, (1,) * 1000)}))


@case("x.pth", "it holds an object of type torch.FloatTensor")
def tensor_that_allocates(path):
    torch.save({"weight": Reduced(torch.FloatTensor, (2**38,))}, path)


@case("x.pth", "it holds an object of type builtins.bytearray")
def bytearray_that_allocates(path):
    torch.save({"weight": Reduced(bytearray, (2**38,))}, path)


@case("x.pth", "it defines a storage or number type itself")
def storage_that_allocates(path):
    torch.save({"weight": Reduced(torch.FloatStorage, (2**38,))}, path)


@case("x.safetensors", "can't read ")
def terabytes_in_safetensors(path):
    header = {"weight": {"dtype": "F32", "shape": [TERA], "data_offsets": [0, 4 * TERA]}}
    write_safetensors(path, header, b"1234")


@case("x.safetensors", "can't read ")
def shape_beyond_its_bytes_in_safetensors(path):
    header = {"weight": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]}}
    write_safetensors(path, header, b"1234")


@case("x.safetensors", "its header claims")
def huge_header(path):
    write_safetensors(path, b"{" + b" " * 2**23 + b"}", b"")


@case("x.safetensors", "which no checkpoint does")
def header_beyond_the_file(path):
    path.write_bytes((2**60).to_bytes(8, "little") + b"{}")


@case("x.safetensors", "can't read ")
def deep_header(path):
    write_safetensors(path, b'{"a":' + b"[" * 10**6, b"")


# -------------------------------------------------------------------------------------- deep, slow


@case("x.pdparams", "with an object of type tuple as a key")
def deep_key(path):
    path.write_bytes(b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s.")


@case("x.pth", "with an object of type tuple as a key")
def deep_key_in_pth(path):
    data = b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."
    write_zip(path, torch_records({}) | {"x/data.pkl": data})


@case("x.pth", "with an object of type tuple as a key")
def deep_value_of_a_set(path):
    data = b"\x80\x02c__builtin__\nset\n](" + b")" + b"\x85" * 200_000 + b"e\x85R."
    write_zip(path, torch_records({}) | {"x/data.pkl": data})


@case("x.pdparams", "not a tensor")
def deep_value(path):
    path.write_bytes(b"\x80\x02}U\x06weight" + b"]" * 200_000 + b"a" * 199_999 + b"s.")


@case("x.pdparams", "a huge number as a key")
def keys_with_the_same_hash(path):
    dump(path, dict.fromkeys(i * (2**61 - 1) for i in range(1, 1000)))


# ------------------------------------------------------------------------------------------- bombs


@case("x.tar.gz", "it unpacks to more than 5 times its size")
def bomb(path):
    write_tar(path, {"model.pdparams": b"\x80\x04" + bytes(64 * 2**20)})


@case("x.tar.gz", "it unpacks to more than 5 times its size")
def bomb_of_folders(path):
    write_tar(path, {f"{i}/": None for i in range(20_000)})


@case("x.tar.gz", "model.pdparams in it is not a file of PaddlePaddle")
def archive_in_an_archive(path):
    write_tar(path, {"model.pdparams": gzip.compress(paddle_bytes())})


@case("x.tar.gz", "it holds 0 .pdparams files instead of one")
def only_an_archive_in_an_archive(path):
    write_tar(path, {"model.tar.gz": gzip.compress(bytes(2**20))})


@case("x.pth", "its record x/data.pkl is compressed")
def compressed_bomb_in_pth(path):
    records = torch_records({}) | {"x/data.pkl": b"\x80\x02" + b"(" * 2**24}
    write_zip(path, records, zipfile.ZIP_DEFLATED)


@case("x.pth", "its records claim more bytes than it has")
def overlapping_records(path):
    write_zip(path, torch_records({}, [bytes(10**6)]))
    content = path.read_bytes()
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    place = content.index(b"x/data/0", start) - 46
    entry = bytearray(content[place : place + 46])
    more = b""
    for i in range(1, 1000):  # a thousand entries that lead to the same record
        name = b"x/data/%d" % i
        entry[28:30] = struct.pack("<H", len(name))
        more += entry + name
    count, length = 999 + 4, end - start + len(more)
    tail = struct.pack("<4s4xHHIIH", b"PK\x05\x06", count, count, length, start, 0)
    path.write_bytes(content[:end] + more + tail)


# ------------------------------------------------------------------------------------------- names


def record(name):
    return lambda path: write_zip(path, torch_records(ONES, ()) | {name: b"1234"})


for name in ("../x", "/etc/x", "x/../../y", "x\\..\\y", "y/data/0", "x//y", "x/data/"):
    CASES[f"record {name!r}"] = ("x.pth", record(name), "which torch.save does not write")


def member(name, **attributes):
    def write(path):
        info = tarfile.TarInfo(name)
        for attribute, value in attributes.items():
            setattr(info, attribute, value)
        write_tar(path, {"model.pdparams": paddle_bytes(), name: info})

    return write


for name in ("../x", "/etc/x", "x/../../y.pdparams", "..\\x"):
    CASES[f"member {name!r}"] = ("x.tar.gz", member(name), "which leads out of it")
for kind, code in {
    "symbolic link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
    "device": tarfile.CHRTYPE,
    "pipe": tarfile.FIFOTYPE,
    "sparse file": tarfile.GNUTYPE_SPARSE,
}.items():
    write = member("x.pdparams", type=code, linkname="/etc/passwd")
    CASES[f"{kind} in an archive"] = ("x.tar.gz", write, "which is not a plain file")


@case("x.tar.gz", "it holds 2 .pdparams files instead of one")
def two_files_in_an_archive(path):
    write_tar(path, {"a.pdparams": paddle_bytes(), "b.pdparams": paddle_bytes()})


@case("x.tar.gz", "can't read ")
def file_larger_than_its_archive(path):
    info = tarfile.TarInfo("model.pdparams")
    info.size = 2**36
    path.write_bytes(gzip.compress(info.tobuf() + paddle_bytes()))


@case("x.tar.gz", "it holds more than 100 files")
def many_files_in_an_archive(path):
    data = np.random.default_rng(0).bytes(2000)
    write_tar(path, {f"{i}.txt": data for i in range(200)})


# -------------------------------------------------------------------------------------- duplicates


@case("x.pdparams", "it holds weight twice")
def key_twice_in_pdparams(path):
    path.write_bytes(b"\x80\x02}(U\x06weightK\x01U\x06weightK\x02u.")


@case("x.pth", "it holds weight twice")
def key_twice_in_pth(path):
    data = b"\x80\x02}(X\x06\0\0\0weightK\x01X\x06\0\0\0weightK\x02u."
    write_zip(path, torch_records({}) | {"x/data.pkl": data})


@case("x.pth", "it holds weight twice")
def key_twice_in_an_ordered_dictionary(path):
    pairs = [["weight", 1], ["weight", 2]]
    torch.save(Reduced(collections.OrderedDict, (pairs,)), path)


@case("x.safetensors", "it holds weight twice")
def key_twice_in_safetensors(path):
    entry = b'"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    write_safetensors(path, b"{" + entry + b"," + entry + b"}", b"1234")


@case("x.pth", "two of its records have the same name")
def record_twice(path):
    torch.save(ONES, path)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(archive.namelist()[0], b"\x80\x02}.")


@case("x.pth", "two of its records have the same name")
def record_twice_but_for_case(path):
    write_zip(path, torch_records(ONES, ()) | {"x/DATA.pkl": b"\x80\x02}."})


@case("x.pth", "its list of records is damaged")
def list_of_records_with_a_comment(path):
    torch.save(ONES, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\x05\x06" + bytes(18)


@case("x.pth", "it has two lists of records")
def two_archives_in_one_file(path):
    torch.save(ONES, path)
    path.write_bytes(path.read_bytes() * 2)


# ------------------------------------------------------------------------------------------- types


def of_type(value):
    return lambda path: torch.save({"conv.weight": value}, path)


for value, message in (
    (torch.ones(3, dtype=torch.int64), "conv.weight is of type int64, not floating-point"),
    (torch.ones(3, dtype=torch.bool), "conv.weight is of type bool, not floating-point"),
    (torch.ones(3, dtype=torch.complex64), "it holds an object of type torch.ComplexFloatStorage"),
    (torch.ones(3, dtype=torch.uint16), "it holds an object of type torch."),
    ("text", "conv.weight is a str, not a tensor"),
    ([1.5], "conv.weight is a list, not a tensor"),
    (np.ones(3), "conv.weight is a numpy array, not a tensor"),
):
    CASES[f"{type(value).__name__} {value!r:.30} as a weight"] = ("x.pth", of_type(value), message)


def of_array(value):
    return lambda path: dump(path, {"conv.weight": value})


for value, message in (
    (np.array([None]), "it holds an array of type O8, not of real numbers"),
    (np.array(["x"]), "it holds an array of type U1, not of real numbers"),
    (np.array([1j]), "it holds an array of type c16, not of real numbers"),
    (np.array(["2020-01-01"], "M8[D]"), "it holds an array of type M8, not of real numbers"),
    (np.zeros(3, [("a", "f4")]), "it holds an array of type V4, not of real numbers"),
    (np.ones(3, "i4"), "conv.weight is of type int32, not floating-point"),
    (np.ones(3, "u4"), "conv.weight is of type uint32, not floating-point"),
    ("text", "conv.weight is a str, not a tensor"),
):
    CASES[f"array {value!r:.30} as a weight"] = ("x.pdparams", of_array(value), message)


@case("x.safetensors", "weight is of type int32, not floating-point")
def whole_numbers_in_safetensors(path):
    header = {"weight": {"dtype": "I32", "shape": [1], "data_offsets": [0, 4]}}
    write_safetensors(path, header, b"1234")


@case("x.safetensors", "scale is of type float8_e4m3fn, not floating-point")
def bytes_as_numbers_in_safetensors(path):
    header = {"scale": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}
    write_safetensors(path, header, b"1234")


@case("x.pdparams", "1 in it is not the name of a parameter")
def numbers_as_names(path):
    dump(path, {1: np.ones(3)})


@case("x.pdparams", "(\\x1b[31mred\\n has NaN")
def name_that_colours_the_terminal(path):
    dump(path, {"\x1b[31mred\n": np.ones(3, "c8")} | {"\x1b[31mred\n": np.full(3, np.nan)})


@case("x.pdparams", "...")
def name_without_end(path):
    dump(path, {"x" * 10**6: np.full(3, np.nan)})


# --------------------------------------------------------------------------------------------- NaN


for kind in WRITERS:
    for bad in (torch.nan, torch.inf, -torch.inf):

        def write(path, kind=kind, bad=bad):
            tensors = {"a.weight": torch.ones(300), "b.weight": torch.ones(5, 7)}
            tensors["b.weight"][3, 2] = bad
            WRITERS[kind][1](path, tensors)

        message = "b.weight has NaN or infinity among its values"
        CASES[f"{bad} in {kind}"] = ("x", write, message)


@case("x.pth", "b.bias has NaN or infinity among its values, as 1 more have")
def two_broken_parameters(path):
    bad = torch.full((3,), torch.nan)
    torch.save({"a": torch.ones(3), "b.bias": bad, "c": bad.clone().half(), "d": bad}, path)


# ----------------------------------------------------------------------------------------- broken


for kind in WRITERS:
    for part in (0.1, 0.5, 0.9, 0.999):

        def write(path, kind=kind, part=part):
            WRITERS[kind][1](path, {"weight": torch.randn(500)})
            path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])

        CASES[f"{part:.1%} of {kind}"] = ("x", write, "can't read ")


def test_the_odd_writers_write_what_can_be_read(tmp_path):
    # So that it is the trick that is refused in each case, not the way it is written.
    wanted = torch.ones(4)
    write_zip(tmp_path / "zip", torch_records({"weight": claimed_tensor((4,), (1,))}))
    dump(tmp_path / "pickle", {"weight": array((4,), FLOAT32, wanted.numpy().tobytes())})
    header = {"weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    write_safetensors(tmp_path / "safe", header, wanted.numpy().tobytes())
    write_tar(tmp_path / "tar", {"a/": None, "a/model.pdparams": paddle_bytes()})
    for path in tmp_path.iterdir():
        assert torch.equal(read_checkpoint_file(path).tensors["weight"], wanted)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What became of each file when it was read with little memory, and of its folder."""
    paths = {name: tmp_path_factory.mktemp("case") / file for name, (file, *_) in CASES.items()}
    for name, path in paths.items():
        CASES[name][1](path)
    before = {name: set(path.parent.iterdir()) for name, path in paths.items()}
    read = read_apart(list(paths.values()), megabytes=700)
    return {
        name: (path, *messages, before[name] == set(path.parent.iterdir()))
        for (name, path), messages in zip(paths.items(), read, strict=True)
    }


@pytest.mark.parametrize("name", CASES)
def test_refused_in_one_line_and_without_effect(outcomes, name):
    path, text, of_torch, untouched = outcomes[name]
    assert untouched
    assert isinstance(text, str), text
    assert text.startswith(f"can't read {path} (")
    assert CASES[name][2] in text
    assert "MemoryError" not in text
    assert text.isprintable()
    assert len(text) < 500 + len(str(path))
    if path.suffix == ".pth":
        # A training may be resumed from what is no state dict of numbers alone.
        for_weights = ("NaN", "not floating-point", "not a tensor", "its tensors claim")
        assert of_torch == (None if any(part in text for part in for_weights) else text)


@pytest.mark.parametrize("target", ["folder", "empty", "loop"])
def test_no_files(tmp_path, target):
    path = tmp_path / target
    {"folder": path.mkdir, "empty": path.touch, "loop": lambda: path.symlink_to(path)}[target]()
    with pytest.raises(WeightsError, match=re.escape(str(path))) as raised:
        load_weights(torch.nn.Conv2d(1, 1, 1), path)
    assert "\n" not in str(raised.value)
