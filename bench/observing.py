"""What a recorder notes of a workload, in its virtual time: no server, no waiting."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from spillgate.cache.recorder import Recorder
from spillgate.cache.recording import Recording
from spillgate.cache.reuse import Sample
from spillgate.replay import Op, Request, Workload

_COST_S = 0.001


@dataclass(slots=True)
class _Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass(slots=True)
class _Application:
    """A process that reads through a cache of endless memory, and writes down nothing but what the library does."""

    recorder: Recorder
    lives_s: Callable[[Request], float]
    gone_at_s: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])

    def take(self, request: Request) -> None:
        """Carry one request out."""
        track = self.recorder.track(request.namespace)
        place = request.namespace, request.key
        if request.op is Op.DELETE:
            track.delete(request.key)
            self.gone_at_s.pop(place, None)
            return
        if request.op is Op.GET:
            if self.gone_at_s.get(place, -1.0) > request.at_s:
                track.read(request.key, request.size)
                return
            track.read(request.key, 0)
        track.write(request.key, request.size, _COST_S if request.op is Op.GET else None)
        self.gone_at_s[place] = request.at_s + self.lives_s(request)


def observe(workload: Workload, ttls: Mapping[str, float]) -> Recording:
    """The recording of one process that makes all the requests; ``ttls`` are today's, by namespace, in seconds."""
    clock = _Clock()
    recorder = Recorder(Sample(clock), clock, clock)
    application = _Application(recorder, lambda request: request.ttl_s or ttls[request.namespace])
    for request in workload.requests():
        clock.now_s = request.at_s
        application.take(request)
    clock.now_s = workload.duration_s
    return recorder.snapshot()


def simulate(requests: Iterable[Request], ttl_s: float) -> float:
    """The hit ratio of all reads if every value lived that long, counted exactly and without a server."""
    gone_at_s: dict[tuple[str, str], float] = {}
    reads = hits = 0
    for request in requests:
        place = request.namespace, request.key
        if request.op is Op.DELETE:
            gone_at_s.pop(place, None)
            continue
        if request.op is Op.GET:
            reads += 1
            if gone_at_s.get(place, -1.0) > request.at_s:
                hits += 1
                continue
        gone_at_s[place] = request.at_s + ttl_s
    return hits / reads if reads else 0.0
