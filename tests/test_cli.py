"""`python -m atrous`."""

import pytest

from atrous import cli, version


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
