"""Every address that is served, in one table: the routes are made from it, and so is the reference."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something that a request may say; ``where`` is "query", "header" or "body"."""

    name: str
    where: str
    help: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address. ``statuses`` are its status codes with their meaning; ``auth`` says that it asks for the token."""

    method: str
    path: str
    summary: str
    statuses: tuple[tuple[int, str], ...]
    parameters: tuple[Parameter, ...] = ()
    auth: bool = False


_FINE = (200, "the document")
_NO_NUMBER = (422, "a parameter that cannot be read")

HEALTH = Endpoint(
    "GET",
    "/health/redis-memory",
    "Usage, keys by namespace, and a status, from the latest look.",
    ((200, "below critical"), (503, "at critical, or the server cannot be read")),
    (
        Parameter(
            "Accept", "header", "`application/health+json` for the document of draft-inadarei-api-health-check instead."
        ),
    ),
)
LIVENESS = Endpoint("GET", "/livez", "Whether the governor's loop goes on.", ((200, "it does"), (503, "it has ended")))
READINESS = Endpoint(
    "GET", "/readyz", "Whether the server is being read.", ((200, "it is"), (503, "it is not; `error` says why"))
)
METRICS = Endpoint(
    "GET",
    "/metrics",
    "Metrics for Prometheus, as text or OpenMetrics.",
    ((200, "the metrics"),),
    (Parameter("Accept", "header", "`application/openmetrics-text` for OpenMetrics."),),
)
PAGE = Endpoint("GET", "/", "The dashboard.", ((200, "the page"), (503, "it has not been built: `make page`")))
STATE = Endpoint("GET", "/api/state", "Everything that was last seen, decided and done.", (_FINE,))
CENSUS = Endpoint("GET", "/api/census", "Keys and bytes by namespace, each with its 95 % interval.", (_FINE,))
HISTORY = Endpoint(
    "GET",
    "/api/history",
    "Memory over time.",
    (_FINE, _NO_NUMBER),
    (
        Parameter(
            "span", "query", "`hour` (by seconds; the default), `day` or `week` (by minutes), `year` (by hours)."
        ),
        Parameter("since", "query", "Only points from this time on, in seconds since 1970."),
    ),
)
JOURNAL = Endpoint(
    "GET",
    "/api/journal",
    "What happened and why, the newest first.",
    (_FINE, _NO_NUMBER),
    (
        Parameter("after", "query", "Only entries with a higher number."),
        Parameter("before", "query", "Only entries with a lower number."),
        Parameter("limit", "query", "At most so many, 1 to 500; 100 where it is left out."),
        Parameter("event", "query", "Only these kinds of entry, with commas between them."),
        Parameter("level", "query", "Only entries written at these levels, with commas between them."),
        Parameter("text", "query", "Only entries with these words in their message."),
    ),
)
ALERTS = Endpoint("GET", "/api/alerts", "Alerts that stand, receivers, and what was delivered to them.", (_FINE,))
EVENTS = Endpoint(
    "GET",
    "/api/events",
    "What happens, as server-sent events: `state`, `point`, `journal`, `beat`, `reset`.",
    ((200, "the stream"), (503, "too many listen already")),
    (
        Parameter(
            "Last-Event-ID", "header", "The id of the last event that was received: what came since is sent first."
        ),
    ),
)
CLEANUP = Endpoint(
    "POST",
    "/api/cleanup",
    "A cleanup by hand, or what it would do.",
    (
        (200, "how it ended; the document of `spillgate cleanup --json`"),
        (401, "no token, or a wrong one"),
        (403, "no token is set on the server, so this is off; or the request comes from a page of another origin"),
        (408, "the body did not come within 10 seconds"),
        (
            409,
            "another cleanup by hand is under way, `--dry-run` is in force, or a preview on a metered plan",
        ),
        (413, "a body of more than 64 KB"),
        (415, "the body is not `application/json`"),
        (422, "a body that cannot be meant"),
        (429, "too many wrong tokens; `Retry-After` says how long to wait"),
        (503, "the Redis server failed"),
    ),
    (
        Parameter("Authorization", "header", "`Bearer` and the token, for a dry run too: it walks the keys."),
        Parameter("level", "body", '"preventive", "emergency" (the default) or "critical".'),
        Parameter("namespaces", "body", "Names of the namespaces to clean; by priority to the target where empty."),
        Parameter("dry_run", "body", "Whether only to tell what would go; true where it is left out."),
    ),
    auth=True,
)

ENDPOINTS = (HEALTH, LIVENESS, READINESS, METRICS, PAGE, STATE, CENSUS, HISTORY, JOURNAL, ALERTS, EVENTS, CLEANUP)
"""The table. The page's own files, under ``/assets/``, stand beside it."""
