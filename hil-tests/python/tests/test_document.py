"""What docs/python.md and the README show runs as it stands there."""

import importlib.util
import re
import shlex
import subprocess
import sys

import pytest

pytest.importorskip("pandas")


@pytest.fixture
def checkout(root, tmp_path, monkeypatch):
    """A folder that looks like the repository, whose `runs` are another's."""
    for name in ("datasets", "hil-tests"):
        (tmp_path / name).symlink_to(root / name)
    monkeypatch.chdir(tmp_path)


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_each_block_of_python_in_the_document_runs(root, checkout, capfd):
    names = {}
    shown = blocks((root / "docs/python.md").read_text(), "python")
    if importlib.util.find_spec("flwr") is None:
        shown = [block for block in shown if "flower" not in block]
    for block in shown:
        exec(compile(block, "docs/python.md", "exec"), names)
    assert len(shown) >= 7
    printed = capfd.readouterr().out
    assert "byzantine" in printed, "the refusal that the document shows"
    assert names["again"].summary == names["run"].summary
    assert names["later"].state["round"] == 3


def test_each_command_of_the_module_in_the_document_runs(root, checkout):
    commands = [
        line
        for block in blocks((root / "docs/python.md").read_text(), "sh")
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("python -m outpost")
    ]
    assert len(commands) == 2
    for command in commands:
        subprocess.run([sys.executable, *shlex.split(command)[1:]], check=True, capture_output=True)


@pytest.mark.parametrize("document", ["README.md", "hil-tests/python/README.md"])
def test_the_examples_of_the_readmes_run(root, checkout, document):
    shown = [block for block in blocks((root / document).read_text(), "python") if "import outpost\n" in block]
    assert len(shown) == 1
    exec(compile(shown[0], document, "exec"), {})


def test_the_table_of_the_package_beside_others_is_printed(root):
    command = [sys.executable, root / "hil-tests/peers", "package", "--shapes", "12x100", "--patience", "5"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [line for line in printed.splitlines() if line.startswith("| 12 x 100")]
    assert "| m x d | rule | Outpost, np.sum | numpy |" in printed
    assert len(rows) == 5 and all(re.search(r"\| \*\*\d+\.\d\*\* \|", row) for row in rows)
