"""The notebook runs from its folder."""

import pytest


@pytest.mark.nightly
def test_the_notebook_runs(root):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("pandas")
    path = root / "hil-tests/python/examples/attacks-and-rules.ipynb"
    notebook = nbformat.read(path, as_version=4)
    done = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": path.parent}}).execute()
    tables = [
        output["data"]["text/plain"]
        for cell in done.cells
        for output in cell.get("outputs", [])
        if "text/plain" in output.get("data", {})
    ]
    assert len(tables) == 3 and "geometric-median" in tables[0] and "partial" in tables[1] and "median" in tables[2]
