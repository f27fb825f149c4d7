"""Running programs, Outpost's among them, and what they use."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}


def run(command, **environment):
    """Runs `command`: what it printed, and seconds of wall and of CPU time and peak MiB of resident memory."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, text=True, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed")
    cpu = usage.ru_utime + usage.ru_stime
    return output, dict(wall=time.perf_counter() - begun, cpu=cpu, memory=usage.ru_maxrss / 1024)


def installed(peers, arguments):
    """Those of `peers`, names with the packages that each needs, that can be measured here; says which are left out and why."""
    if arguments.ours:
        return []
    there = []
    for peer, packages in peers.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if missing:
            print(f"{peer} is left out: not installed: {', '.join(missing)} (pip install)", file=sys.stderr, flush=True)
        else:
            there.append(peer)
    return there


def build():
    """The `hil` program, built together with the programs of a fleet."""
    command = ["cargo", "build", "--release", "--quiet", "--bins", "-p", "hil-tests", "-p", "edge-client", "-p", "aggregator-node"]
    subprocess.run(command, cwd=ROOT, check=True)
    return ROOT / "target/release/hil"


def build_bench():
    """The bench `performance`."""
    command = ["cargo", "bench", "--quiet", "-p", "scenario", "--bench", "performance", "--no-run", "--message-format=json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
    built = [json.loads(line) for line in lines]
    return next(one["executable"] for one in built if one.get("executable") and one["target"]["name"] == "performance")


def bench(program, *words):
    """Rows of the bench that have all `words`: words and numbers, and the process's peak MiB."""
    output, usage = run([program, *words], CANDLE_NUM_THREADS="1")
    rows = []
    for line in output.splitlines()[1:]:
        rows.append((line[:56].split(), [float(number) for number in line[56:].split()]))
    return rows, usage["memory"]


def row(*cells):
    """Prints a line of a Markdown table."""
    print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def head(*cells):
    """Prints the head of a Markdown table."""
    row(*cells)
    print("|---" * len(cells) + "|", flush=True)
