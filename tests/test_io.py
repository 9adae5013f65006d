"""Saving and loading: what goes in comes out; what is damaged is refused in words."""

import io
import json
import os
import pickle
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

from atrous import dtypes
from atrous.io import load, metadata, save
from atrous.tensor import Tensor

ARRAYS = {
    "bool": np.array([[True, False]]),
    "uint8": np.arange(3, dtype=np.uint8),
    "int8": np.arange(3, dtype=np.int8),
    "int16": np.arange(3, dtype=np.int16),
    "int32": np.arange(3, dtype=np.int32),
    "int64": np.arange(3, dtype=np.int64),
    "float16": np.arange(3, dtype=np.float16),
    "bfloat16": np.array([0x3F80, 0x4000], np.uint16),
    "float32": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "float64": np.array(2.5),
    "no elements": np.empty((2, 0, 3), np.float32),
    "strided": np.arange(12, dtype=np.float32).reshape(3, 4).T[::2],
}


def tensor(array, dtype=None):
    return Tensor._of(np.array(array), dtype)


def tensors():
    return OrderedDict(
        (name, tensor(array, dtypes.bfloat16 if name == "bfloat16" else None))
        for name, array in ARRAYS.items()
    )


def check(loaded):
    assert list(loaded) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name]._array, array)
        assert loaded[name]._array.dtype == array.dtype
        assert loaded[name].shape == array.shape
    assert loaded["bfloat16"].dtype is dtypes.bfloat16


def test_state_dict_through_a_path(tmp_path):
    path = tmp_path / "weights.safetensors"
    save(tensors(), path, metadata={"note": "größer"})
    check(load(path))
    check(load(str(path), map_location="cpu", weights_only=True))
    assert metadata(path) == {"note": "größer"}
    assert os.listdir(tmp_path) == ["weights.safetensors"]


def test_state_dict_through_a_file_object():
    file = io.BytesIO()
    save(tensors(), file)
    file.seek(0)
    check(load(file))


def test_other_readers_and_writers_agree():
    theirs = pytest.importorskip("safetensors.numpy")
    file = io.BytesIO()
    ours = tensors()
    del ours["bfloat16"]  # NumPy has no such type
    save(ours, file)
    read = theirs.load(file.getvalue())
    assert set(read) == set(ours)
    for name, value in ours.items():
        np.testing.assert_array_equal(read[name], value._array)
    loaded = load(io.BytesIO(theirs.save(read, {"by": "them"})))
    assert set(loaded) == set(ours)
    for name, value in ours.items():
        np.testing.assert_array_equal(loaded[name]._array, value._array)


def test_the_library_is_imported_at_the_first_use():
    code = "import atrous, sys; assert 'safetensors' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_loaded_can_be_written_to():
    file = io.BytesIO()
    save(tensors(), file)
    file.seek(0)
    for value in load(file).values():
        value._array[...] = 1


def test_bfloat16_as_torch_writes_it(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    path = tmp_path / "b.safetensors"
    save_file({"b": torch.tensor([1.0, -2.5], dtype=torch.bfloat16)}, path)
    loaded = load(path)["b"]
    assert loaded.dtype is dtypes.bfloat16
    assert loaded._array.tolist() == [0x3F80, 0xC020]
    save({"b": loaded}, path)
    assert load_file(path)["b"].tolist() == [1.0, -2.5]


def test_a_checkpoint_is_a_nest(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    checkpoint = {
        "model": {"weight": tensor([1.0, 2.0]), "bias": tensor([3.0])},
        "optimizer": {
            "state": {0: {"step": tensor(4.0)}},
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0]}],
        },
        "epoch": 7,
        "best": float("inf"),
        "note": None,
        "model.weight": tensor([9]),  # a path that another tensor's path equals
    }
    save(checkpoint, path)
    loaded = load(path)
    assert list(loaded) == list(checkpoint)
    assert loaded["model"]["weight"]._array.tolist() == [1.0, 2.0]
    assert loaded["model.weight"]._array.tolist() == [9]
    assert loaded["optimizer"]["state"][0]["step"]._array == 4.0
    assert (
        loaded["optimizer"]["param_groups"] == checkpoint["optimizer"]["param_groups"]
    )
    assert (loaded["epoch"], loaded["best"], loaded["note"]) == (7, float("inf"), None)
    assert metadata(path) == {}


@pytest.mark.parametrize("alone", [tensor([1, 2]), [tensor([1, 2])], {}, 3])
def test_what_is_not_a_dict(alone):
    file = io.BytesIO()
    save(alone, file)
    file.seek(0)
    assert repr(load(file)) == repr(alone)


def test_saving_replaces_and_failing_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.safetensors"
    save({"a": tensor([1])}, path)
    save({"a": tensor([2])}, path)
    assert load(path)["a"]._array.tolist() == [2]
    with pytest.raises(TypeError):
        save({"a": tensor([3]), "b": object()}, path)
    with pytest.raises(TypeError):
        save({"a": tensor([3])}, path, metadata={"epoch": 3})
    assert load(path)["a"]._array.tolist() == [2]
    assert os.listdir(tmp_path) == ["w.safetensors"]


class Model:
    def state_dict(self):
        return {}


@pytest.mark.parametrize(
    "wrong, text",
    [
        (
            {"optimizer": {"state": [object()]}},
            "save: cannot store a object at 'optimizer.state.0'; only tensors, "
            "numbers, strings, None and dicts, lists and tuples of them.",
        ),
        (
            Model(),
            "save: cannot store a Model; only tensors, numbers, strings, None and "
            "dicts, lists and tuples of them. Save its state_dict().",
        ),
        (
            {"state": {1.5: 0}},
            "save: the key 1.5 at 'state' is a float; keys can be strings or "
            "whole numbers.",
        ),
    ],
)
def test_what_cannot_be_saved(wrong, text):
    with pytest.raises(TypeError) as caught:
        save(wrong, io.BytesIO())
    assert str(caught.value) == text


def test_metadata_must_be_text():
    with pytest.raises(TypeError, match="must be text by name, not 'epoch': 3"):
        save({}, io.BytesIO(), metadata={"epoch": 3})
    with pytest.raises(ValueError, match="is Atrous's own"):
        save({}, io.BytesIO(), metadata={"atrous.nest": ""})


def refused(file, kind):
    with pytest.raises(kind) as caught:
        load(file)
    return str(caught.value)


def damaged(name, size, why):
    return (
        f"load: {name} ({size} bytes) is cut short, damaged or no safetensors file: "
        f"Error while deserializing header: {why}."
    )


def test_a_file_cut_short_is_refused_with_its_size(tmp_path):
    path = tmp_path / "w.safetensors"
    save({"a": tensor(np.arange(8.0))}, path)
    whole = path.read_bytes()
    for size, why in (
        (len(whole) - 10, "incomplete metadata, file not fully covered"),
        (20, "invalid header length"),
        (5, "header too small"),
    ):
        path.write_bytes(whole[:size])
        assert refused(path, RuntimeError) == damaged(path, size, why)
    path.write_bytes(b"")
    assert refused(path, EOFError) == f"load: {path} is empty."


def test_a_header_that_begins_as_a_pickle_does_is_none(tmp_path):
    path = tmp_path / "w.safetensors"
    save({"a": tensor([7])}, path)
    missing = 640 - int.from_bytes(path.read_bytes()[:8], "little")
    save({"a": tensor([7])}, path, metadata={"pad": "-" * (missing - len(',"pad":""'))})
    whole = path.read_bytes()
    assert whole.startswith(b"\x80\x02")  # 640 bytes; and a pickle's second protocol
    assert load(path)["a"]._array.tolist() == [7]
    path.write_bytes(whole[:-1])
    assert "is cut short" in refused(path, RuntimeError)


def file_of(header, values=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(len(text).to_bytes(8, "little") + text + values)


@pytest.mark.parametrize(
    "header, why",
    [
        (b"{nonsense", "invalid JSON in header: key must be a string"),
        ([1], "invalid type: sequence"),
        ({"a": 3}, "invalid type: integer `3`"),
        (
            {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
            "invalid shape, data type, or offset",
        ),
        (
            {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
            "invalid value: integer `-1`",
        ),
        (
            {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
            "invalid offset for tensor `a`",
        ),
        (
            {n: {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]} for n in "ab"},
            "invalid offset for tensor",
        ),
        (
            {"a": {"dtype": "U8", "shape": [1 << 62, 8], "data_offsets": [0, 8]}},
            "overflow computing buffer size",
        ),
        ({"__metadata__": {"a": 1}}, "invalid type: integer `1`, expected a string"),
        ({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}, "incomplete"),
    ],
)
def test_a_damaged_header_is_refused(header, why):
    file = file_of(header, bytes(8))
    text = refused(file, RuntimeError)
    begin = damaged("BytesIO", len(file.getvalue()), "").split("Error")[0]
    assert text.startswith(begin) and why in text


def test_damage_that_the_library_does_not_find():
    odd = {"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}
    assert refused(file_of(odd, bytes(4)), RuntimeError) == (
        "load: BytesIO holds types that there are not here: 'a' (F8_E4M3)."
    )
    deep = {"a": {"dtype": "U8", "shape": [1] * 70, "data_offsets": [0, 1]}}
    assert "maximum supported dimension" in refused(file_of(deep, b"1"), RuntimeError)
    for described in ('{"tensor": "b"}', '{"set": []}', "{", '{"tensor": []}'):
        with pytest.raises(RuntimeError, match="does not fit its 0 tensors"):
            load(file_of({"__metadata__": {"atrous.nest": described}}))
    more = {
        "__metadata__": {"atrous.nest": '{"dict": []}'},
        "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
    }
    assert refused(file_of(more, b"1"), RuntimeError) == (
        "load: BytesIO is damaged: its description does not fit its 1 tensors "
        "(ValueError: it lacks 'a')."
    )


def test_a_pickle_is_refused_unread(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trap"),)

    path = tmp_path / "model.pt"
    for content in (pickle.dumps(Trap()), b"PK\x03\x04 as torch.save begins"):
        path.write_bytes(content)
        assert refused(path, pickle.UnpicklingError) == (
            f"load: {path} is a pickle (torch's .pt or .pth). Reading a pickle can run "
            "code from the file, so Atrous does not read it. Where it came from, write "
            "safetensors.torch.save_file(model.state_dict(), 'model.safetensors') and "
            "load that."
        )
    assert os.listdir(tmp_path) == ["model.pt"]


def test_there_is_no_other_device():
    with pytest.raises(RuntimeError, match="map_location is 'cuda', but tensors"):
        load(io.BytesIO(), map_location="cuda")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.safetensors")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(RuntimeError) as caught:
        save({}, tmp_path / "missing" / "a.safetensors")
    assert str(caught.value) == f"save: the folder {tmp_path}/missing does not exist."
