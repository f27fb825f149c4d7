"""Whole runs from Python: the same as `hil`'s."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy
import outpost
import pytest

pandas = pytest.importorskip("pandas")


def run(scenario, datasets, out, **more):
    return outpost.run(scenario, datasets=datasets, out=out, progress=False, **more)


def test_a_run_is_read_as_frames_and_plain_python(scenario, datasets, tmp_path):
    run_ = run(scenario, datasets, tmp_path / "run")
    assert run_.state == "finished" and "finished" in repr(run_)
    assert run_.summary["rounds"] == 20 and 0 <= run_.summary["final_test_error"] <= 1
    assert run_.scenario["fleet"]["devices"] == 5
    rounds = run_.rounds
    assert list(rounds["round"]) == list(range(1, 21)) and rounds["round"].dtype == "int64"
    assert rounds["test_error"].notna().sum() == 4, "evaluated every 5 rounds"
    stored = pandas.read_csv(tmp_path / "run/metrics.csv")
    assert list(rounds.columns) == list(stored.columns)
    numpy.testing.assert_allclose(rounds.to_numpy(float), stored.to_numpy(float))
    assert len(run_.devices) == 0, "devices of a simulation report nothing"
    assert run_.records[-1]["confusion"]
    shapes = {name: tensor.shape for name, tensor in run_.model.items()}
    assert len(shapes) == 2 and sum(tensor.size for tensor in run_.model.values()) == sum(map(numpy.prod, shapes.values()))


def test_file_text_and_mapping_are_the_same_run(scenario, datasets, tmp_path):
    text = outpost._outpost.to_toml(json.dumps(scenario))
    file = tmp_path / "scenario.toml"
    file.write_text(text)
    given = {"mapping": scenario, "text": text, "file": file, "name": str(file)}
    ends = {name: run(one, datasets, tmp_path / name).summary["model_sha256"] for name, one in given.items()}
    assert len(set(ends.values())) == 1


def test_settings_override_keys_of_every_kind(scenario, datasets, tmp_path):
    settings = {
        "rounds": numpy.int64(3),
        "aggregation.rule": "median",
        "attack.kind": "none",
        "defense": [{"kind": "clip", "norm": 2.5}],
    }
    changed = run(scenario, datasets, tmp_path / "run", settings=settings)
    assert len(changed.rounds) == 3
    assert changed.scenario["aggregation"]["rule"] == "median" and "attack" not in changed.scenario
    assert changed.scenario["defense"][0]["norm"] == 2.5


def test_the_batched_bench_runs_too(scenario, datasets, tmp_path):
    assert run(scenario, datasets, tmp_path / "run", on="batched").summary["bench"] == "batched"


def test_a_finished_run_is_only_read(scenario, datasets, tmp_path):
    first = run(scenario, datasets, tmp_path / "run")
    written = (tmp_path / "run/summary.json").stat().st_mtime_ns
    again = run(scenario, datasets, tmp_path / "run")
    assert again.summary == first.summary
    assert (tmp_path / "run/summary.json").stat().st_mtime_ns == written


def test_without_out_a_run_goes_where_hil_puts_it(scenario, datasets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(outpost.run(scenario, datasets=datasets, progress=False).path) == "runs/from-python-software"


def test_polars_frames(scenario, datasets, tmp_path):
    polars = pytest.importorskip("polars")
    run(scenario, datasets, tmp_path / "run")
    read = outpost.read_run(tmp_path / "run", frame="polars")
    assert read.rounds["round"].dtype == polars.Int64 and read.rounds["test_error"].null_count() == 16
    assert isinstance(read.devices, polars.DataFrame)


def test_what_devices_reported_in_a_run_of_hil_is_a_frame(root, scenario, datasets, tmp_path):
    hil = root / "target/debug/hil"
    if not hil.exists():
        pytest.skip("no target/debug/hil: cargo build --workspace")
    file = tmp_path / "scenario.toml"
    file.write_text(outpost._outpost.to_toml(json.dumps({**scenario, "rounds": 3})))
    command = [hil, "run", file, "--on", "processes", "--datasets", datasets, "--out", tmp_path / "run"]
    subprocess.run(command, check=True, capture_output=True)
    devices = outpost.read_run(tmp_path / "run").devices
    assert len(devices) == 15 and {"round", "device", "train_seconds", "rss_kib"} <= set(devices.columns)


def test_errors_are_the_programs_words(scenario, datasets, tmp_path):
    def fails(words, **changes):
        with pytest.raises(outpost.Error, match=words) as caught:
            run({**scenario, **changes}, datasets, tmp_path / "run")
        assert "\n" not in str(caught.value) and not str(caught.value).startswith("hil")

    fails("unknown field `round`", round=3)
    fails("unknown data set `plants`", dataset="plants")
    with pytest.raises(outpost.Error, match="use `hil` for all that starts programs"):
        run(scenario, datasets, tmp_path / "run", on="processes")
    with pytest.raises(outpost.Error, match="nothing-there.toml"):
        run("nothing-there.toml", datasets, tmp_path / "run")
    with pytest.raises(outpost.Error, match="no run|not a run|is no"):
        outpost.read_run(tmp_path)
    run(scenario, datasets, tmp_path / "other")
    with pytest.raises(outpost.Error, match="another scenario"):
        run(scenario, datasets, tmp_path / "other", settings={"fleet.devices": 6})


def test_a_damaged_run_is_refused(scenario, datasets, tmp_path):
    run(scenario, datasets, tmp_path / "run")
    rounds = tmp_path / "run/rounds.jsonl"
    rounds.write_text(rounds.read_text().replace('"accepted":5', '"accepted":4', 1))
    with pytest.raises(outpost.Error, match="rounds.jsonl"):
        outpost.read_run(tmp_path / "run").rounds


def test_a_frame_that_is_not_there_is_named(scenario, datasets, tmp_path, monkeypatch):
    run_ = run(scenario, datasets, tmp_path / "run")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        run_.rounds
    with pytest.raises(ValueError, match="known are 'pandas' and 'polars'"):
        outpost.read_run(tmp_path / "run", frame="excel").rounds


# What a shell starts in the background ignores Ctrl-C, and hands that down.
LONG = """
import json, signal, sys, outpost
signal.signal(signal.SIGINT, signal.default_int_handler)
scenario, datasets, out = json.loads(sys.argv[1]), *sys.argv[2:]
outpost.run(scenario, datasets=datasets, out=out, settings={"rounds": 100_000_000, "evaluation.every": 1000})
"""


def start(scenario, datasets, out):
    """A process that runs for ever, once it has recorded some rounds; and the process that it has started."""
    command = [sys.executable, "-c", LONG, json.dumps(scenario), str(datasets), str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: (out / "rounds.jsonl").exists() and (out / "rounds.jsonl").stat().st_size > 5000)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(children.read_text)
    return process, int(children.read_text())


def wait_until(holds):
    deadline = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return ") Z " in stat.read()
    except FileNotFoundError:
        return True


def test_ctrl_c_stops_a_run_gently_and_the_run_goes_on(scenario, datasets, tmp_path):
    out = tmp_path / "run"
    process, child = start(scenario, datasets, out)
    # To the whole group, as a terminal does.
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=90)
    assert "KeyboardInterrupt" in said and "stopping as soon as nothing is lost" in said
    assert is_gone(child)
    stored = outpost.read_run(out)
    assert stored.state == "interrupted" and stored.summary is None
    rounds = len(stored.rounds)
    assert rounds > 0
    manifest = json.loads((out / "manifest.json").read_text())["run"]
    process, child = start(scenario, datasets, out)
    wait_until(lambda: outpost.read_run(out).state == "in progress" and len(outpost.read_run(out).records) > rounds)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=90)
    assert json.loads((out / "manifest.json").read_text())["run"] == manifest
    assert len(outpost.read_run(out).records) > rounds


def test_a_run_does_not_outlive_the_python_that_is_killed(scenario, datasets, tmp_path):
    process, child = start(scenario, datasets, tmp_path / "run")
    process.kill()
    process.communicate()
    wait_until(lambda: is_gone(child))
    assert outpost.read_run(tmp_path / "run").state == "interrupted"


def test_a_sweep_is_a_frame_of_its_cells(scenario, datasets, tmp_path):
    grid = {"scenario": scenario, "seeds": [1, 2], "axes": [{"key": "aggregation.rule", "values": ["mean", "median"]}]}
    swept = outpost.sweep(grid, out=tmp_path / "sweep", datasets=datasets, jobs=1, progress=False)
    assert len(swept.results) == 4 and "4 cells" in repr(swept)
    assert set(swept.results["aggregation.rule"]) == {"mean", "median"}
    assert swept.results["final_test_error"].between(0, 1).all()
    with pytest.raises(TypeError, match="give out"):
        outpost.sweep(grid, datasets=datasets)
    with pytest.raises(outpost.Error, match="cell `"):
        axes = [{"key": "aggregation.rule", "values": ["nothing"]}]
        outpost.sweep({**grid, "axes": axes}, out=tmp_path / "other", datasets=datasets, progress=False)


def test_the_module_is_the_program_hil(tmp_path):
    hil = [sys.executable, "-m", "outpost"]
    listed = subprocess.run([*hil, "list", "rules"], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert "geometric-median" in listed
    wrong = subprocess.run([*hil, "aggregate", "krum"], capture_output=True, text=True, cwd=tmp_path)
    assert wrong.returncode == 2 and "required arguments" in wrong.stderr
