"""Whole runs: starting them, and reading what they recorded."""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from . import _outpost
from ._arrays import _json

Frame = Any
"""A data frame of pandas or polars."""


class Run:
    """A run, finished or not, as its directory `path` holds it. What is read is held against its digests, and nothing is
    written."""

    def __init__(self, path: str | os.PathLike[str], *, frame: str = "pandas") -> None:
        self.path = Path(path)
        self._frame = frame
        self._stored = _outpost.Stored(self.path)

    @property
    def state(self) -> str:
        """`finished`, `in progress` or `interrupted`."""
        return self._stored.state()

    @functools.cached_property
    def scenario(self) -> dict[str, Any]:
        """The scenario, with every key."""
        return json.loads(self._stored.scenario())

    @functools.cached_property
    def manifest(self) -> dict[str, Any]:
        """What the run is made of: `manifest.json`."""
        return json.loads(self._stored.manifest())

    @property
    def summary(self) -> dict[str, Any] | None:
        """What the run came to: `summary.json`; nothing if it is not finished."""
        summary = self._stored.summary()
        return None if summary is None else json.loads(summary)

    @property
    def rounds(self) -> Frame:
        """A row for each round, with the columns of docs/metrics.md."""
        library, (_, columns) = _library(self._frame), self._stored.rounds()
        if self._frame == "polars":
            kinds = {True: library.Int64, False: library.Float64}
            series = [library.Series(name, values, kinds[whole], strict=False) for name, whole, values in columns]
            return library.DataFrame(series)
        # What was not measured is NaN, which is no whole number.
        whole_numbers = {name for name, whole, values in columns if whole and None not in values}
        numbers = {name: numpy.array(values, dtype=float) for name, _, values in columns}
        return library.DataFrame(
            {name: values.astype("int64") if name in whole_numbers else values for name, values in numbers.items()}
        )

    @property
    def records(self) -> list[dict[str, Any]]:
        """All that is recorded of each round: the lines of `rounds.jsonl`."""
        records, _ = self._stored.rounds()
        return json.loads(records)

    @property
    def devices(self) -> Frame:
        """A row for each update that was accepted, with what the device reported: training time, bytes, memory, temperature."""
        rows = [{"round": record["round"], **device} for record in self.records for device in record.get("devices", [])]
        names = dict.fromkeys(name for row in rows for name in row)
        return _library(self._frame).DataFrame({name: [row.get(name) for row in rows] for name in names})

    @property
    def model(self) -> dict[str, NDArray[numpy.float32]]:
        """The global model after the last round, or the best, if the scenario asks for that: its tensors by name."""
        values, tensors, start = self._stored.model(), {}, 0
        for tensor in self.manifest["layout"]:
            end = start + int(numpy.prod(tensor["shape"]))
            tensors[tensor["name"]] = values[start:end].reshape(tensor["shape"])
            start = end
        return tensors

    def __repr__(self) -> str:
        return f"<Run {self.path}: {self.state}>"


class Sweep:
    """A finished sweep: the folder `path` of its cells, and `results`, a row for each."""

    def __init__(self, path: Path, results: Frame) -> None:
        self.path, self.results = path, results

    def __repr__(self) -> str:
        return f"<Sweep {self.path}: {len(self.results)} cells>"


def read_run(path: str | os.PathLike[str], *, frame: str = "pandas") -> Run:
    """The run in the directory `path`. Its tables are data frames of pandas or polars."""
    return Run(path, frame=frame)


def run(
    scenario: str | os.PathLike[str] | Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    on: str = "software",
    settings: Mapping[str, Any] | None = None,
    datasets: str | os.PathLike[str] | None = None,
    progress: bool = True,
    frame: str = "pandas",
) -> Run:
    """Runs a scenario to its end, in a process of its own.

    `scenario` is a file, a mapping of its keys, or its text if it has more than one line. `settings` override keys, as in
    `{"fleet.devices": 20}`. `on` is `software` or `batched`; the other benches start programs, and belong to `hil`. The run goes
    to the directory `out`, or `runs/NAME-BENCH`; `datasets` is the folder of data sets, else `OUTPOST_DATASETS` or `datasets`.

    Ctrl-C (KeyboardInterrupt) stops it after the current round; a second one at once. The same call goes on from there, and on
    a finished run it only reads the result. Raises `Error` with the program's words.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = ["run", _file(scenario, folder, "scenario.toml"), "--on", on, "--format", "json"]
        words += _option("--out", out) + _option("--datasets", datasets)
        for key, value in (settings or {}).items():
            words += ["--set", f"{key}={_outpost.inline_toml(_json(value))}"]
        summary = json.loads(_hil(words, progress))
    return Run(f"runs/{summary['name']}-{on}" if out is None else out, frame=frame)


def sweep(
    grid: str | os.PathLike[str] | Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    batched: bool = False,
    shard: str | None = None,
    datasets: str | os.PathLike[str] | None = None,
    progress: bool = True,
    frame: str = "pandas",
) -> Sweep:
    """Runs every cell of a grid, in a process of its own.

    `grid` is a file, or a mapping of its keys, whose `scenario` is a file or a mapping, and which needs `out`. The cells go to
    the folder `out`, or `runs/sweep-NAME` after the grid's file. `jobs` cells run at a time, or as many as there are cores;
    `shard="3/8"` is one part of them. Ctrl-C and errors are as for `run`; the same call keeps what is finished.
    """
    library = _library(frame)
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(grid, Mapping):
            if out is None:
                raise TypeError("sweep: give out, the folder of the cells, for a grid that is no file")
            of = _file(grid["scenario"], folder, "scenario.toml")
            grid = {**grid, "scenario": os.path.abspath(of)}
        file = _file(grid, folder, "grid.toml")
        words = ["sweep", file, *_option("--out", out), *_option("--datasets", datasets)]
        words += _option("--jobs", jobs) + _option("--shard", shard) + (["--batched"] if batched else [])
        _hil(words, progress)
    path = Path(f"runs/sweep-{Path(file).stem}" if out is None else out)
    return Sweep(path, library.read_csv(path / "results.csv"))


def names(kind: str) -> dict[str, str]:
    """The names that a scenario may use, with a line about each: of `models`, `rules`, `optimizers`, `stages`, `attacks`,
    `datasets` or `partitions`."""
    return dict(_outpost.names(kind))


def _file(given: Any, folder: str, name: str) -> str:
    """The file that is given, or one of that name in `folder` with what is given."""
    if isinstance(given, Mapping):
        given = _outpost.to_toml(_json(dict(given)))
    elif not (isinstance(given, str) and "\n" in given):
        return os.fspath(given)
    path = os.path.join(folder, name)
    Path(path).write_text(given, encoding="utf-8")
    return path


def _option(name: str, value: Any) -> list[str]:
    return [] if value is None else [name, os.fspath(value) if isinstance(value, os.PathLike) else str(value)]


def _hil(words: list[str], progress: bool) -> str:
    """What `hil` prints with these words. What it says meanwhile goes to standard error, where `progress` is to be seen."""
    package = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    # Devices train in parallel, a thread each; and a folder called `outpost` where this runs is not the package.
    environment = {"CANDLE_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", "from outpost._child import main; main()", *words]
    said: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        with subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            # Ctrl-C is for this process, which passes it on once.
            start_new_session=True,
        ) as process:
            assert process.stdin is not None
            try:
                _listen(process, said, progress)
            except KeyboardInterrupt:
                try:
                    process.stdin.close()
                    _listen(process, said, progress)
                except KeyboardInterrupt:
                    process.kill()
                raise
            except BaseException:
                process.kill()
                raise
        if process.returncode == 0:
            output.seek(0)
            return output.read()
    errors = [line.removeprefix("hil: ") for line in said if line.startswith("hil: ")]
    raise _outpost.Error((errors or said or [f"the process ended with {process.returncode}"])[-1].strip())


def _listen(process: subprocess.Popen[str], said: list[str], progress: bool) -> None:
    """Takes down what a process says until it ends."""
    for line in process.stderr or ():
        said.append(line)
        if progress:
            sys.stderr.write(line)
    process.wait()


def _library(frame: str) -> Any:
    if frame not in ("pandas", "polars"):
        raise ValueError(f"frame = {frame!r}: known are 'pandas' and 'polars'")
    try:
        return importlib.import_module(frame)
    except ImportError as cause:
        raise ImportError(f"tables are data frames of {frame}, which is not installed: pip install {frame}") from cause
