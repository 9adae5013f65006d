"""`python -m atrous`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import atrous
from atrous import cli, nn, version


def test_info_prints_a_line_a_fact(capsys):
    assert cli.main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line[:13].strip() for line in lines]
    assert names == list(cli.describe())
    assert lines[0].split() == ["atrous", version.__version__]


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"atrous {version.__version__}\n"


def test_an_unknown_command_says_which_there_are(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train"])
    assert stopped.value.code == 2
    assert "invalid choice: 'train'" in capsys.readouterr().err


def explain(capsys, *words):
    """(exit status, what is printed, what is complained) of a call of `explain`."""
    status = cli.main(["explain", *map(str, words)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_a_page_from_a_terminal(tmp_path, capsys):
    page = tmp_path / "page.html"
    words = "conv3d --in-channels 3 --kernel 3 --stride 2 --size 5 -o".split()
    status, out, err = explain(capsys, *words, page)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"{page}: Conv3d(3, 1, kernel_size=3, stride=2)",
        "depth: ⌊(5 + 2·0 − 1·(3 − 1) − 1)/2⌋ + 1 = 2",
        "height: ⌊(5 + 2·0 − 1·(3 − 1) − 1)/2⌋ + 1 = 2",
        "width: ⌊(5 + 2·0 − 1·(3 − 1) − 1)/2⌋ + 1 = 2",
    ]
    assert (
        page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")
    )


def test_every_parameter_from_a_terminal(tmp_path, capsys):
    words = (
        "conv2d --in-channels 4 --out-channels 6 --kernel 3 2 --stride 2 1"
        " --padding 1 0 --dilation 1 2 --groups 2 --no-bias --padding-mode reflect"
        " --size 6 5 --seed 3 --at 5 0 2 -o"
    )
    status, out, _ = explain(capsys, *words.split(), tmp_path / "a.svg")
    assert status == 0
    assert out.splitlines()[0].endswith(
        "a.svg: Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 1), padding=(1, 0),"
        " dilation=(1, 2), groups=2, bias=False, padding_mode='reflect')"
    )
    words = "conv_transpose1d --stride 3 --output-padding 1 --padding 1 -o"
    status, out, _ = explain(capsys, *words.split(), tmp_path / "b.svg")
    assert status == 0
    assert "(4 − 1)·3 − 2·1 + 1·(3 − 1) + 1 + 1 = 11" in out
    words = "conv1d --kernel 4 --padding same --input"
    np.save(tmp_path / "x.npy", np.arange(6.0).reshape(1, 6))
    end = (tmp_path / "x.npy", "-o", tmp_path / "c.svg")
    assert explain(capsys, *words.split(), *end)[0] == 0


def test_a_layer_from_a_file(tmp_path, capsys):
    model = nn.Sequential(
        nn.Conv1d(2, 3, 4), nn.Linear(1, 1), nn.ConvTranspose1d(3, 4, 2)
    )
    file = tmp_path / "net.safetensors"
    atrous.save(model.state_dict(), file)
    words = ("conv1d", "--weights", file, "--name")
    page = tmp_path / "page.html"
    status, out, _ = explain(capsys, *words, "0", "-o", page)
    assert (status, out.splitlines()[0]) == (0, f"{page}: Conv1d(2, 3, kernel_size=4)")
    status, out, err = explain(capsys, *words, "conv", "-o", page)
    assert (status, out) == (1, "")
    assert err == (
        f"atrous explain: {file} has no tensor conv.weight; convolutions in it: 0, 2.\n"
    )
    words = ("conv_transpose1d", "--weights", file, "--name", "2", "-o", page)
    assert "ConvTranspose1d(3, 4, kernel_size=2)" in explain(capsys, *words)[1]
    words = ("conv2d", "--weights", file, "--name", "0", "-o", page)
    assert explain(capsys, *words)[2] == (
        "atrous explain: conv2d needs a weight of 4 axes; 0 has one of 3.\n"
    )


REFUSED = [
    (
        "",
        "name a layer (conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d,"
        " conv_transpose3d) or give --gallery.",
    ),
    (
        "conv1d --kernel 7 --size 5",
        "Conv1d: a kernel of 7 does not fit the 5 cells of"
        " the width. Smallest change: padding=1.",
    ),
    (
        "conv2d --size 5 5 5",
        "Conv2d: the input needs 2 spatial axes (height, width), not 3.",
    ),
    (
        "conv2d --groups 2",
        "Conv2d: groups=2 does not divide both the 1 input and the 1"
        " output channels. Smallest change: groups=1.",
    ),
    ("conv3d --stride 1 2", "--stride takes 1 or 3 numbers, not 2."),
    (
        "conv1d --padding some",
        "--padding takes numbers, 'same' or 'valid', not 'some'.",
    ),
    (
        "conv1d -o page.pdf",
        "a page ends in .html, a picture in .svg or .png, not '.pdf'.",
    ),
    (
        "conv1d -o a.svg --at 1 1",
        "there is no output cell (1, 1): the output is (1, 6).",
    ),
    ("conv1d --input nowhere.npy", "nowhere.npy: no such file or directory."),
    ("conv1d -o nowhere/a.html", "nowhere/a.html: no such file or directory."),
]


@pytest.mark.parametrize("kept", [b"", b"text", "pair"])
def test_an_input_that_holds_no_numbers(kept, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if kept == "pair":
        np.savez("x.npz", a=np.zeros(3), b=np.zeros(2))
        Path("x.npz").rename("x.npy")
    else:
        Path("x.npy").write_bytes(kept)
    said = explain(capsys, *"conv1d --input x.npy".split())
    assert said == (1, "", "atrous explain: x.npy is no .npy file of numbers.\n")


@pytest.mark.parametrize("words, text", REFUSED)
def test_explain_refuses_in_one_sentence(words, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert explain(capsys, *words.split()) == (1, "", f"atrous explain: {text}\n")
    assert not list(tmp_path.iterdir())


def test_the_gallery_from_a_terminal(tmp_path, capsys):
    status, out, _ = explain(capsys, "--gallery", tmp_path)
    assert status == 0
    assert sorted(out.split()) == sorted(str(path) for path in tmp_path.iterdir())


def test_import_draws_nothing():
    """The pictures are loaded when they are asked for."""
    check = "import atrous, sys; print('atrous.explain' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert run.stdout == "False\n"
