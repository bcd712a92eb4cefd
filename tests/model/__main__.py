"""``python -m tests.model``: walks a node and the plain model side by side; of a walk that fails it says the seed.

python -m tests.model --walks 1000 --seed 5000        many, with rising seeds
python -m tests.model --seed 152 --trace              one, with what happened last in it
python -m tests.model --planted --walks 60            with each bug of tests/model/planted.py, until it is found
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from tests.model.planted import PLANTED, planted
from tests.model.requests.catalogue import DRAWN
from tests.model.walks import STEPS, Walked, walk

MOST_LINES = 120


def main() -> int:
    """:returns: how the process ends: 0 all is well, 1 faults were found (or, of planted bugs, some were not)"""
    chosen = _arguments()
    _same_hashes()
    if chosen.planted:
        return _plant_all(chosen)
    if chosen.trace:
        return _show(chosen.seed, chosen.plant)
    return _walk_all(chosen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--walks", type=int, default=1, metavar="N", help="how many, with rising seeds")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first")
    parser.add_argument("--trace", action="store_true", help="show what happened last in one walk")
    parser.add_argument("--plant", choices=sorted(PLANTED), metavar="BUG", help=f"one of: {', '.join(PLANTED)}")
    parser.add_argument("--all-done", action="store_true", help="it is a fault if a request was never acked")
    parser.add_argument("--planted", action="store_true", help="every bug, each in at most N walks")
    parser.add_argument("--quick", action="store_true", help="of the bugs those that name a walk which finds them")
    return parser.parse_args()


def _same_hashes() -> None:
    """A seed is the same walk in every process only if sets of strings have the same order in all of them."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.model", *sys.argv[1:]])


def _walk_all(chosen: argparse.Namespace) -> int:
    began, steps, failed, done, plant, walks = time.monotonic(), 0, 0, Counter[str](), chosen.plant, chosen.walks
    with planted(plant):
        for one in range(chosen.seed, chosen.seed + walks):
            walked = walk(one)
            steps += walked.steps
            done += walked.done
            if walked.fault:
                failed += 1
                _report(walked, plant)
    print(
        f"{sum(done.values())} requests judged, {sum(done[name] for name in done if name[-1] == '!')} of them refused"
    )
    print(f"{failed} of {walks} walks failed; {steps} steps, {steps / (time.monotonic() - began):.0f}/s")
    undone = sorted(DRAWN.keys() - done.keys()) if chosen.all_done else []
    if undone:
        print(f"never acked: {', '.join(undone)}")
    return 1 if failed or undone else 0


def _report(walked: Walked, plant: str | None) -> None:
    print(f"seed {walked.seed} failed in step {walked.steps} of {STEPS}: {walked.fault}")
    more = f" --plant '{plant}'" if plant else ""
    print(f"    again: python -m tests.model --seed {walked.seed} --trace{more}", flush=True)


def _plant_all(chosen: argparse.Namespace) -> int:
    missed, most = 0, chosen.walks
    bugs = [name for name, bug in PLANTED.items() if bug.seed or not chosen.quick]
    for name in bugs:
        caught = _catch(name, chosen.seed, most)
        missed += caught is None
        print(f"{name:<44}{caught or f'NOT CAUGHT in {most} walks'}", flush=True)
    print(f"{len(bugs) - missed} of {len(bugs)} planted bugs caught")
    return 1 if missed else 0


def _catch(name: str, seed: int, most: int) -> str | None:
    """How a planted bug was found; None: it was not. The walk that has found it before comes first. What is found
    without it as well does not count."""
    for count, one in enumerate((PLANTED[name].seed, *range(seed, seed + most - 1)), start=1):
        with planted(name):
            walked = walk(one)
        if walked.fault and not walk(one).fault:
            return f"{count:>3} walks, step {walked.steps:>3}: {' '.join(walked.fault.split())[:110]}"
    return None


def _show(seed: int, plant: str | None) -> int:
    with planted(plant):
        walked = walk(seed)
    print("\n".join(walked.lines[-MOST_LINES:]))
    print(f"seed {seed}, step {walked.steps}: {walked.fault or 'all is well'}")
    return 1 if walked.fault else 0


if __name__ == "__main__":
    sys.exit(main())
