"""What the README shows works as it stands."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert names["codes"].shape == (1797, 10)
    assert (tmp_path / "run" / "params.json").exists()


@pytest.mark.parametrize("name", re.findall(r"^sfumato (\w+)", README, re.MULTILINE))
def test_the_readmes_commands_exist(name):
    from sfumato.cli.main import sfumato

    assert name in sfumato.commands
