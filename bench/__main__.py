"""``python -m bench``: run all benchmarks, or those that are named, and judge them."""

import argparse
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path

from bench.goals import Report, verdicts
from bench.options import Options

BENCHMARKS = {
    "flood": "25 MB in floods, with Spillgate and under each stock policy",
    "idle": "what a governor costs that has nothing to do",
    "census": "a million keys: what fills the memory, sampled and exact, beside other tools",
    "values": "what real values take in the server, beside other libraries",
    "web": "health documents at a thousand a second, and ten pages that look on",
    "page": "how soon the dashboard is painted, and how much of it there is to send",
    "history": "what keeping a history takes of time, CPU and disk",
    "cache": "how fast and how calm the cache library is, beside other libraries",
    "foresight": "TTLs: what was predicted, beside what a replay measures, and what the advice is worth",
    "capacity": "projections of 2 to 20 times today's objects, loaded and held against what they take",
    "sweep": "a million keys: the worst call on the server, beside another library",
}


def main() -> int:
    """Exit status 0 if every goal was reached, else 1."""
    listed = "\n".join(f"  {name:6} {text}" for name, text in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, epilog=listed, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    parser.add_argument("--quick", action="store_true", help="once each and Spillgate alone: a smoke test")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="how often (default: 3)")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="scenarios, by part of their name")
    parser.add_argument("--kinds", nargs="+", default=[], metavar="PART", help="servers, by part of their name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - BENCHMARKS.keys()):
        parser.error(f"no benchmark {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}")
    repetitions = 1 if arguments.quick else arguments.repetitions
    options = Options(arguments.quick, repetitions, tuple(arguments.only), tuple(arguments.kinds))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started_s = time.monotonic()
    try:
        reports = [_run(name, options) for name in arguments.names or BENCHMARKS]
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    if arguments.json:
        arguments.json.write_text(json.dumps([report.document() for report in reports], indent=1))
    goals = [goal for report in reports for goal in report.goals]
    missed = sum(not goal.reached for goal in goals)
    print(f"\n{verdicts(goals)}\n")
    print(f"{len(goals) - missed} of {len(goals)} goals reached, in {time.monotonic() - started_s:.0f} s")
    return 1 if missed or not goals else 0


def _run(name: str, options: Options) -> Report:
    print(f"== {name}: {BENCHMARKS[name]} ({os.cpu_count()} cores)", flush=True)
    report: Report = importlib.import_module(f"bench.{name}").run(options)
    return report


if __name__ == "__main__":
    sys.exit(main())
