"""Writes the conformance vectors: for every rule, stage and attack a file of inputs and of what they lead to.

    python3 hil-tests/peers/conformance.py            writes docs/conformance/{rules,stages,attacks}/NAME.json
    python3 hil-tests/peers/conformance.py --check    fails if they are not what it would write

Needs numpy alone. Results are worked out from the definitions in float64 (defined_rules.py, defined_stages.py, defined_attacks.py),
from inputs that every 32-bit float holds (cases.py), and share no code with Outpost. docs/conformance/README.md explains the files.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

import cases
from defined import Round, length

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs/conformance"

# Linear algebra differs in its last bits from one processor to another.
SAME = 1e-11


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files that there are, and write nothing")
    parser.add_argument("--folder", type=pathlib.Path, default=FOLDER, help="where the files are; docs/conformance by default")
    arguments = parser.parse_args()
    files = {arguments.folder / f"{entry.kind}s" / f"{entry.name}.json": vectors(entry, inputs) for entry, inputs in cases.all_cases()}
    different = 0
    for path, made in files.items():
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text(made) + "\n")
        elif not path.exists():
            different += complain(f"{path} does not exist")
        elif not is_same(json.loads(path.read_text()), made):
            different += complain(f"{path} differs from what its definition gives")
    for path in sorted(set(arguments.folder.glob("*/*.json")) - set(files)):
        different += complain(f"{path} is not a file of any definition")
    print(f"{len(files)} files, {sum(len(made['cases']) for made in files.values())} cases")
    sys.exit(1 if different else 0)


def complain(about):
    print(about, file=sys.stderr)
    return 1


def vectors(entry, inputs):
    """What the file of `entry` holds."""
    made = {"kind": entry.kind, "name": entry.name, "source": entry.source, "definition": entry.definition, "cases": []}
    for one in inputs:
        results = run(entry, one)
        if not one.pop("exact"):
            check_stability(entry, one, results)
        rounds = [dict(round, expected=result) for round, result in zip(one["rounds"], results)]
        made["cases"].append(dict(one, rounds=rounds))
    return made


def run(entry, one, change=None):
    """What is expected of each round of a case, its inputs changed by `change`."""
    state, results = {}, []
    for fields in one["rounds"]:
        if change:
            fields = {key: change(value) if key in ("models", "colluders", "benign", "root") and value else value for key, value in fields.items()}
        round = Round(fields)
        result = entry.compute(round, one["settings"], one["byzantine"], state)
        if entry.kind == "rule":
            results.append(plain(round.origin + result))
        elif entry.kind == "stage":
            devices, updates = result
            results.append({"devices": devices, "models": [plain(round.origin + update) for update in updates]})
        else:
            results.append([plain(round.origin + update) for update in result])
    return results


def plain(vector):
    # No negative zero.
    return (np.asarray(vector, float) + 0.0).tolist()


def check_stability(entry, one, results):
    """Stops if a result hinges on the last bits of its inputs."""
    for seed in range(3):
        random = np.random.default_rng(seed)
        changed = run(entry, one, lambda value: (np.array(value) * (1 + 1e-7 * random.standard_normal(np.shape(value)))).tolist())
        for fields, result, other in zip(one["rounds"], results, changed):
            if entry.kind == "stage":
                if result["devices"] != other["devices"]:
                    raise SystemExit(f"{entry.kind} {entry.name}: {one['about']}: who is left hinges on the last bits")
                result, other = result["models"], other["models"]
            round = Round(fields)
            sizes = [length(update) for update in round.updates + round.colluders + round.benign]
            moved = np.abs(np.array(result) - round.origin).max()
            allowed = 1e-4 * max(moved, float(np.median(sizes)), 1e-2 * np.abs(round.origin).max())
            if np.abs(np.array(result) - np.array(other)).max() > allowed:
                raise SystemExit(f"{entry.kind} {entry.name}: {one['about']}: the result hinges on the last bits")


def is_same(a, b):
    """The same, but for the last bits of numbers."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(is_same(one, other) for one, other in zip(a, b))
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= SAME * max(1.0, abs(a), abs(b))
    return a == b


def text(value, indent=0):
    """JSON with one vector on a line."""
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        members = [f"{inner}{json.dumps(key)}: {text(member, indent + 2)}" for key, member in value.items()]
        return "{\n" + ",\n".join(members) + "\n" + " " * indent + "}" if members else "{}"
    if isinstance(value, list) and any(isinstance(member, (list, dict)) for member in value):
        return "[\n" + ",\n".join(inner + text(member, indent + 2) for member in value) + "\n" + " " * indent + "]"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
