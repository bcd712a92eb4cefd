"""``python -m tests.sim``: plays histories; of one that fails it says the seed and the command that plays it again.

python -m tests.sim --histories 1000 --jobs 2         many, with rising seeds
python -m tests.sim --seed 7 --trace                  one, with all that happens in it
python -m tests.sim --planted --histories 40          with each bug of tests/sim/planted.py, until it is found
python -m tests.sim --histories 40 --fault 'locked by a tool'     each with this accident besides its own
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from tests.sim.history import Result, play, theatre
from tests.sim.plan import ADDED, FAULTS
from tests.sim.planted import PLANTED, SKIPPED, planted

MOST_SHOWN = 5
AT_ONCE = 5
"""Histories that a process is handed at once."""


def main() -> int:
    """:returns: how the process ends: 0 all is well, 1 faults were found (or, of planted bugs, some were not)"""
    chosen = _arguments()
    _same_hashes()
    if chosen.trace:
        return _show(chosen.seed, chosen.plant, _wish(chosen))
    if chosen.planted:
        return _plant_all(chosen.seed, chosen.histories, chosen.jobs)
    return _play_all(chosen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=1, metavar="N", help="how many, with rising seeds")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first")
    parser.add_argument("--trace", action="store_true", help="show all that happens in one history")
    parser.add_argument("--plant", choices=sorted(PLANTED), metavar="BUG", help=f"one of: {', '.join(PLANTED)}")
    parser.add_argument("--planted", action="store_true", help="every bug, each in at most N histories")
    parser.add_argument("--fault", choices=FAULTS + ADDED, metavar="FAULT", help=f"one of: {', '.join(FAULTS + ADDED)}")
    parser.add_argument("--size", type=_size, metavar="NxP", help="so many node pairs and proxies, as 4x3")
    parser.add_argument("--calm", action="store_true", help="no accidents, and no weather")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes that play")
    parser.add_argument("--stop-after", type=int, default=0, metavar="F", help="end after so many failures")
    return parser.parse_args()


def _same_hashes() -> None:
    """A seed is the same history in every process only if sets of strings have the same order in all of them."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]])


# -- many


def _play_all(chosen: argparse.Namespace) -> int:
    began, totals, failed = time.monotonic(), Counter[str](), 0
    for result in _results(range(chosen.seed, chosen.seed + chosen.histories), chosen):
        totals.update(result.counts)
        if result.faults:
            failed += 1
            _report(result, chosen)
            if failed == chosen.stop_after:
                break
    took = time.monotonic() - began
    count = totals["histories"]
    print(", ".join(f"{name} {total}" for name, total in sorted(totals.items())))
    print(f"{failed} of {count} histories failed; {count / took:.1f} histories/s")
    return 1 if failed else 0


def _size(text: str) -> dict[str, int]:
    """:raises ValueError: it is no size"""
    nodes, proxies = map(int, text.split("x"))
    return {"nodes": nodes, "proxies": proxies}


def _wish(chosen: argparse.Namespace) -> dict[str, Any]:
    """What the options make of every history's plan."""
    wish: dict[str, Any] = dict(chosen.size or {})
    if chosen.fault:
        wish["faults"] = (chosen.fault,)
    return {**wish, "calm": True} if chosen.calm else wish


def _results(seeds: range, chosen: argparse.Namespace) -> Iterator[Result]:
    more = _wish(chosen)
    if chosen.jobs == 1:
        with theatre(), planted(chosen.plant) as wish:
            for seed in seeds:
                yield play(seed, {**wish, **more})
        return
    parts = [(seeds[at : at + AT_ONCE], chosen.plant, more) for at in range(0, len(seeds), AT_ONCE)]
    with ProcessPoolExecutor(chosen.jobs) as pool:
        for results in pool.map(_play_some, parts):
            yield from results


def _play_some(given: tuple[range, str | None, dict[str, Any]]) -> list[Result]:
    seeds, plant, more = given
    with theatre(), planted(plant) as wish:
        return [play(seed, {**wish, **more}) for seed in seeds]


def _report(result: Result, chosen: argparse.Namespace) -> None:
    print(f"seed {result.plan.seed} failed: {result.plan}")
    for fault in result.faults[:MOST_SHOWN]:
        print(f"    {fault}")
    size = chosen.size and "{nodes}x{proxies}".format(**chosen.size)
    options = {"plant": chosen.plant, "fault": chosen.fault, "size": size}
    more = "".join(f" --{name} '{value}'" for name, value in options.items() if value) + " --calm" * chosen.calm
    print(f"    again: python -m tests.sim --seed {result.plan.seed} --trace{more}", flush=True)


# -- planted bugs


def _plant_all(seed: int, most: int, jobs: int) -> int:
    missed = 0
    with ProcessPoolExecutor(jobs) as pool:
        for name, caught in zip(PLANTED, pool.map(_catch, [(name, seed, most) for name in PLANTED]), strict=True):
            missed += caught is None
            print(f"{name:<28}{caught or f'NOT CAUGHT in {most} histories'}", flush=True)
    print(f"{len(PLANTED) - missed} of {len(PLANTED)} planted bugs caught")
    return 1 if missed else 0


def _catch(given: tuple[str, int, int]) -> str | None:
    """How a planted bug was found; None: it was not. What is found without it as well does not count, and neither does
    a loop that fails: then it is the bug's own text that does not fit the code any more."""
    name, first, most = given
    first += SKIPPED.get(name, 0)
    for seed in range(first, first + most):
        with theatre(), planted(name) as wish:
            result = play(seed, wish)
        faults = [fault for fault in result.faults if "the loop failed" not in fault]
        if faults and not _play_without(seed, wish).faults:
            return f"{seed - first + 1:>3} histories, seed {seed}: {' '.join(faults[0].split())[:120]}"
    return None


def _play_without(seed: int, wish: dict[str, Any]) -> Result:
    with theatre():
        return play(seed, wish)


# -- one


def _show(seed: int, plant: str | None, more: dict[str, Any]) -> int:
    with theatre(), planted(plant) as wish:
        result = play(seed, {**wish, **more}, traced=True)
    print(result.plan)
    for at, fault in result.plan.accidents:
        print(f"    {at:.6f} {fault}")
    print("\n".join(result.lines))
    print(f"seed {seed}: {len(result.faults)} faults")
    for found in result.faults:
        print(f"    {found}")
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
