"""A Flask application with Flask-Caching on Spillgate, which governs its Redis while it runs.

Start it, with Flask, Flask-Caching and the ``flask`` extra installed::

    REDIS_URL=redis://127.0.0.1:6379/0 python examples/flask_app.py

and ask ``http://127.0.0.1:8000/products/7`` twice: the number of look-ups stays 1. ``POST /products/7/forget`` makes
the next request look it up again. ``/health/redis-memory`` tells how the server's memory is. Where a server such as
gunicorn forks workers, let ``spillgate run`` govern beside them; the cache can be used on both sides of a fork.
"""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, Response, jsonify, url_for
from flask_caching import Cache

from spillgate import Governor, load_policy
from spillgate.web import views

POLICY = Path(__file__).with_name("web-cache.toml")

app = Flask(__name__)
app.config.from_mapping(
    CACHE_TYPE="spillgate.integrations.flask.SpillgateCache",
    SPILLGATE_CONFIG=str(POLICY),  # or only CACHE_REDIS_URL and CACHE_KEY_PREFIX, and no policy file
    SPILLGATE_NAMESPACE="views",
)
cache = Cache(app)
governor = Governor(load_policy(POLICY, env=os.environ, flags={}))
look_ups = 0
counting = threading.Lock()


@cache.memoize(timeout=600)
def look_up(number: int) -> dict[str, object]:
    """Stands for a query that takes long; what comes back on a hit is of the same types, the time included."""
    global look_ups  # noqa: PLW0603 (an example counts in the simplest way)
    with counting:
        look_ups += 1
    return {"number": number, "price": 9.5, "as_of": datetime.now(UTC)}


@app.get("/products/<int:number>")
@cache.cached(timeout=60)
def product(number: int) -> tuple[Response, int, dict[str, str]]:
    """The whole response is cached, with its status and headers."""
    found = look_up(number)
    assert isinstance(found["as_of"], datetime)  # noqa: S101 (what this example shows)
    return jsonify({**found, "look_ups": look_ups}), 200, {"X-Number": str(number)}


@app.post("/products/<int:number>/forget")
def forget(number: int) -> tuple[str, int]:
    """Something changed."""
    cache.delete_memoized(look_up, number)
    cache.delete(f"view/{url_for('product', number=number)}")
    return "", 204


@app.get("/health/redis-memory")
def health() -> tuple[Response, int]:
    """How the server's memory is."""
    code, document = views.health(governor.state)
    return jsonify(document), code


if __name__ == "__main__":
    with governor:
        app.run(port=int(os.environ.get("PORT", "8000")))
