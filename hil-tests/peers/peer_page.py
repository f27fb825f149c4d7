"""The page docs/who-computes-what.md: what the packages of peer_calls.py give for the conformance vectors, beside what is expected."""

import importlib.metadata
import json

import numpy as np

import peer_calls
from defined import Round

NAMES = {"Nothing": "without a result", "TimeoutError": f"not ended after {peer_calls.PATIENCE} s", "IndexError": "refused with an IndexError"}

# Relative to the largest value of the update that is expected, or of what came in.
SAME = 1e-6

HEAD = """# Who computes what

What public packages give for Outpost's [conformance vectors](conformance/README.md): the same, or something else, by how much, and why.
`python3 hil-tests/peers/who_computes_what.py` installs them, runs them and writes this page. It ran with {versions}.

"Same in 7 of 9" means that the result of 7 of the 9 cases which the package can be asked is that of the definition, to a millionth of its largest value.
Otherwise "up to" gives the largest difference, in multiples of the largest value of the expected update; a case that was refused, or came out as not
a number, is counted by itself. Packages get float64 where they take it. They are asked with the parameters of the case, not with their defaults.
Different is not wrong: where papers leave something open, or a package documents another convention, the reason says so. "Checked" means that the
variant that the reason names was worked out as well; the number is in how many of the package's finite results it is met.

ByzFL and byzpy are asked for updates, as their documentation has it; Flower's functions get whole models, as its strategies do.

"""


class Nothing(Exception):
    """A package returned nothing."""


def page(folder, with_cases):
    versions = []
    for package in ("byzfl", "byzpy", "flwr", "torch", "numpy"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package).split('+')[0]}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} not installed")
    lines = [HEAD.format(versions=", ".join(versions))]
    calls = peer_calls.calls()
    for kind, title in (("rule", "Rules"), ("stage", "Before the rule"), ("attack", "Attacks")):
        lines.append(f"## {title}\n\n| | package | what it gives | why |\n|---|---|---|---|\n")
        asked = [call for call in calls if call.kind == kind]
        for call in asked:
            vectors = json.loads((folder / f"{kind}s" / f"{call.name}.json").read_text())
            lines.append(f"| `{call.name}` | {call.package} | {outcome(call, vectors, with_cases)} |\n")
        names = {path.stem for path in (folder / f"{kind}s").glob("*.json")} - {call.name for call in asked}
        if names:
            listed = ", ".join(f"`{name}`" for name in sorted(names))
            lines.append(f"\nNone of these packages has, or has as a function that can be called by itself: {listed}.\n")
        lines.append("\n")
    cases = json.loads((folder / "rules/caf.json").read_text())["cases"]
    endless = sum(peer_calls.steps_of_caf_over_all(Round(case["rounds"][0]), case["byzantine"]) is None for case in cases)
    lines.append(peer_calls.NOTES.format(endless=endless, cases=len(cases)))
    return "".join(lines)


def outcome(call, vectors, with_cases):
    """The cells on what a package gives, and why."""
    same = asked = met = finite = 0
    failed, worst = {}, 0.0
    for case in vectors["cases"]:
        if not call.takes(case):
            continue
        asked += 1
        try:
            got, expected, variant = results(call, case)
        except Exception as error:
            word = NAMES.get(type(error).__name__, type(error).__name__)
            failed[word] = failed.get(word, 0) + 1
            report(with_cases, call, case, f"{word}: {error}")
            continue
        if not all(np.isfinite(one).all() for one in got):
            failed["not a number"] = failed.get("not a number", 0) + 1
            report(with_cases, call, case, "not a number")
            continue
        finite += 1
        difference = max(apart(one, other) for one, other in zip(got, expected))
        same += difference <= SAME
        if variant is not None:
            variants = max(apart(one, other) for one, other in zip(got, variant))
            met += variants <= SAME
            if variants > SAME:
                report(with_cases, call, case, f"variant differs by {variants:.2g}")
        if difference > SAME:
            worst = max(worst, difference)
            report(with_cases, call, case, f"differs by {difference:.2g}")
    words = f"same in all {asked}" if same == asked else f"same in {same} of {asked}"
    if worst:
        words += f", else up to {worst:.2g}"
    words += "".join(f"; {count} {word}" for word, count in failed.items())
    why = call.why
    if call.variant:
        why += f" Checked: {met} of {finite}."
    return f"{words} | {why}"


def report(wanted, call, case, words):
    if wanted:
        print(f"{call.package} {call.name}: {case['about']}: {words}", flush=True)


def results(call, case):
    """Of each round what the package gives, what is expected, and what the variant gives, as updates."""
    state, variant_state, got, expected, variant = {}, {}, [], [], []
    for fields in case["rounds"]:
        round = Round(fields)
        sent = fields["expected"]["models"] if call.kind == "stage" else fields["expected"]
        expected.append(np.array(sent) - round.origin)
        given = call.run(round, case["settings"], case["byzantine"], state)
        if given is None:
            raise Nothing("it returns nothing")
        given = np.asarray(given, float)
        got.append(given.reshape(expected[-1].shape) if call.kind != "attack" else np.broadcast_to(given, expected[-1].shape))
        if call.variant:
            made = call.variant(round, case["settings"], case["byzantine"], variant_state)
            made = np.asarray(made[1] if call.kind == "stage" else made, float)
            variant.append(np.broadcast_to(made, expected[-1].shape))
    return got, expected, variant if call.variant else None


def apart(one, other):
    """Their largest difference, in multiples of the largest value of the second."""
    largest = np.abs(other).max()
    return float(np.abs(one - other).max() / (largest if largest > 0 else 1.0))
