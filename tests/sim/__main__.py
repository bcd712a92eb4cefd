"""``python -m tests.sim``: plays histories; of one that fails it prints the seed and the command that plays it again."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.sim.history import Result, play, theatre
from tests.sim.planted import PLANTED, planted

MOST_SHOWN = 5


def main() -> int:
    """:returns: how the process ends: 0 all is well, 1 faults were found"""
    chosen = _arguments()
    _same_hashes()
    seeds = range(chosen.seed, chosen.seed + chosen.histories)
    if chosen.trace:
        return _show(chosen.seed, chosen.plant)
    began, totals, failed = time.monotonic(), Counter[str](), 0
    for result in _results(list(seeds), chosen.plant, chosen.jobs):
        totals.update(result.counts)
        if result.faults:
            failed += 1
            _report(result, chosen.plant)
            if failed == chosen.stop_after:
                break
    totals["histories"] = chosen.histories
    took = time.monotonic() - began
    print(", ".join(f"{name} {count}" for name, count in sorted(totals.items())))
    print(f"{failed} of {chosen.histories} histories failed; {chosen.histories / took:.1f} histories/s")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--histories", type=int, default=1, help="how many, with rising seeds")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("--trace", action="store_true", help="show all that happens in one history")
    parser.add_argument("--plant", choices=sorted(PLANTED), help="with this bug in the product")
    parser.add_argument("--jobs", type=int, default=1, help="processes that play")
    parser.add_argument("--stop-after", type=int, default=0, help="end after so many failures")
    return parser.parse_args()


def _same_hashes() -> None:
    """A seed is the same history in every process only if sets of strings have the same order in all of them."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]])


def _results(seeds, plant, jobs):
    if jobs == 1:
        with theatre(), planted(plant):
            for seed in seeds:
                yield play(seed)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for results in pool.map(_play_some, [(seeds[at : at + 10], plant) for at in range(0, len(seeds), 10)]):
            yield from results


def _play_some(given: tuple[list[int], str | None]) -> list[Result]:
    seeds, plant = given
    with theatre(), planted(plant):
        return [play(seed) for seed in seeds]


def _report(result: Result, plant: str | None) -> None:
    print(f"seed {result.plan.seed} failed: {result.plan}")
    for fault in result.faults[:MOST_SHOWN]:
        print(f"    {fault}")
    more = f" --plant '{plant}'" if plant else ""
    print(f"    again: python -m tests.sim --seed {result.plan.seed} --trace{more}", flush=True)


def _show(seed: int, plant: str | None) -> int:
    with theatre(), planted(plant):
        result = play(seed, traced=True)
    print(result.plan)
    for accident in result.plan.accidents:
        print(f"    {accident}")
    print("\n".join(result.lines))
    print(f"seed {seed}: {len(result.faults)} faults")
    for fault in result.faults:
        print(f"    {fault}")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
