"""A FastAPI application that caches responses and what they are made from, and governs its Redis while it runs.

Start it, with FastAPI and the ``web`` extra installed::

    REDIS_URL=redis://127.0.0.1:6379/0 uvicorn --app-dir examples fastapi_app:app

and ask ``/products/7`` twice: the second time the header ``X-Cache`` says HIT, and for a minute the handler is not even
called. ``PUT /products/7?price=5`` makes that unreachable for everybody. ``/basket`` is each visitor's own and never
cached. ``/health/redis-memory`` tells how the server's memory is, and ``/counts`` what the cache did.
"""

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import Cookie, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel

from spillgate import AsyncCache
from spillgate.integrations.asgi import governed, health_route, with_cache
from spillgate.integrations.responses import ResponseCache, Responses

POLICY = Path(__file__).with_name("web-cache.toml")

cache = AsyncCache.from_url(config=POLICY)
pages = Responses(cache, "pages")

app = FastAPI(routes=[health_route()], lifespan=with_cache(cache, lifespan=governed(POLICY)))
app.add_middleware(ResponseCache, responses=pages)


class Product(BaseModel):
    """What the shop sells."""

    number: int
    price: float
    looked_up: int
    """How often the database was asked."""


database = {number: Product(number=number, price=9.5, looked_up=0) for number in range(100)}
products = cache.namespace("products", type=Product)


@products.cached("{number}")
async def load(number: int) -> Product:
    """Stands for a query that takes long: many who want the same product at once wait for one of these."""
    await asyncio.sleep(0.1)
    if number not in database:
        raise HTTPException(404, f"there is no product {number}")  # raised for all who wait, and not cached
    database[number].looked_up += 1
    return database[number]


@app.get("/products/{number}")
async def product(number: int, response: Response) -> Product:
    """The same for everybody: fresh for a minute, and for half a minute more served while it is made anew."""
    response.headers["Cache-Control"] = "public, max-age=60, stale-while-revalidate=30"
    return await load(number)


@app.put("/products/{number}")
async def change(number: int, price: float) -> None:
    """That a change succeeded makes the responses of its own path unreachable; what they were made from is our part."""
    if number not in database:
        raise HTTPException(404, f"there is no product {number}")
    database[number] = database[number].model_copy(update={"price": price})
    await load.invalidate(number)


@app.get("/basket")
async def basket(response: Response, visitor: Annotated[str, Cookie()] = "nobody") -> dict[str, str]:
    """Each visitor's own."""
    response.headers["Cache-Control"] = "private"
    return {"visitor": visitor}


@app.get("/counts")
async def counts(request: Request) -> dict[str, dict[str, float]]:
    """What the cache did since the start."""
    return {name: dict(events) for name, events in request.state.cache.counts().items()}
