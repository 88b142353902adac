"""The cache library at work: how fast it is beside its peers, and how calm where the server is down, slow or cold."""

import logging

from bench.asynchronous import measure_async
from bench.calm import measure_down, measure_slow, measure_stampede
from bench.contenders import peers
from bench.goals import Report
from bench.options import Options
from bench.overhead import measure_cached
from bench.recording import measure_recorder
from bench.throughput import Trial, measure_batches, measure_single
from tests.servers import ServerKind

_ROUNDS = 40
_QUICK_ROUNDS = 5


def run(options: Options) -> Report:
    """Measure each part on each kind of server, print it, and judge it."""
    report = Report("cache")
    logging.getLogger("spillgate.cache").setLevel(logging.ERROR)  # it warns of the servers that are killed here
    contenders = list(peers(report, quick=options.quick))
    rounds = _QUICK_ROUNDS if options.quick else _ROUNDS
    if options.wants("recorder"):
        measure_recorder(report, options.repetitions, rounds)
    for kind in options.kinds_of(report, *ServerKind):
        trial = Trial(kind, report, options.repetitions, rounds)
        if options.wants("single"):
            measure_single(trial, contenders)
        if options.wants("batch"):
            measure_batches(trial, contenders)
        if options.wants("async"):
            measure_async(trial)
        if options.wants("cached"):
            measure_cached(trial)
        if options.wants("down"):
            measure_down(trial)
        if options.wants("slow"):
            measure_slow(trial)
        if options.wants("stampede"):
            measure_stampede(trial)
    return report
