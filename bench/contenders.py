"""Who takes part: Spillgate, and each peer in each way that it can be set up to write values."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.async_stores import aiocache, cashews
from bench.goals import Report
from bench.stores import DogpileStore, RawStore, SpillgateStore, Store, django_cachex, django_redis, policy_for
from spillgate import Cache

SPILLGATE = "spillgate"
# What a peer is imported as, and where it comes from.
_PACKAGES = {
    "django-redis": ("django_redis", "make setup installs it"),
    "django-cachex": ("django_cachex", "make setup installs it where Python is 3.12 or newer"),
    "pyzstd": ("pyzstd", "django-redis needs it for zstd"),
    "cashews": ("cashews", "make setup installs it"),
    "aiocache": ("aiocache", "make setup installs it"),
    "dogpile.cache": ("dogpile", "make setup installs it"),
    "redis-py": ("orjson", "make setup installs it"),
}
_SERIALIZERS = {"pickle": "PickleSerializer", "json": "JSONSerializer", "msgpack": "MSGPackSerializer"}
_CACHEX_SERIALIZERS = _SERIALIZERS | {"msgpack": "MessagePackSerializer"}
_COMPRESSORS = {
    "zlib": "ZlibCompressor",
    "gzip": "GzipCompressor",
    "lz4": "Lz4Compressor",
    "lzma": "LzmaCompressor",
    "zstd": "ZStdCompressor",
}


@dataclass(frozen=True, slots=True)
class Contender:
    """One library, set up in one way; ``make`` opens its store on a server."""

    library: str
    variant: str
    make: Callable[[str], Store]
    dictionary: bool = False

    @property
    def name(self) -> str:
        """Both."""
        return f"{self.library}, {self.variant}" if self.variant else self.library

    @property
    def is_ours(self) -> bool:
        """Whether it is Spillgate."""
        return self.library == SPILLGATE


WITH_DICTIONARY = Contender(
    SPILLGATE, "dictionary", lambda url: SpillgateStore(Cache(policy_for(url, dictionary=True))), dictionary=True
)
DEFAULT = Contender(SPILLGATE, "", lambda url: SpillgateStore(Cache(policy_for(url))))
_JSON = Contender(SPILLGATE, "codec json", lambda url: SpillgateStore(Cache(policy_for(url, codec='"json"'))))
OURS = (WITH_DICTIONARY, DEFAULT, _JSON)
RAW = Contender("redis-py", "orjson", RawStore)
DOGPILE = Contender("dogpile.cache", "pickle", lambda url: DogpileStore(url, as_json=False))


def peers(report: Report, *, quick: bool = False) -> Iterator[Contender]:
    """The peers that are installed; one that is not is a goal not reached. The quick ones are the few that matter."""
    if quick:
        yield from (RAW, *(one for one in _django_redis() if one.variant in {"pickle", "msgpack, zlib"}))
        return
    missing = {name: why for name, (package, why) in _PACKAGES.items() if not importlib.util.find_spec(package)}
    for name, why in missing.items():
        report.judge(f"{name} is not installed: {why}", (), 0)
    for contender in (*_django_redis(), *_django_cachex(), *_others()):
        needs_pyzstd = contender.library == "django-redis" and "zstd" in contender.variant
        if contender.library not in missing and not (needs_pyzstd and "pyzstd" in missing):
            yield contender


def _django_redis() -> Iterator[Contender]:
    for form, serializer in _SERIALIZERS.items():
        written_as = f"django_redis.serializers.{form}.{serializer}"
        for name, compressor in {"": "", **_COMPRESSORS}.items():
            packed_by = f"django_redis.compressors.{name}.{compressor}" if name else ""
            yield Contender(
                "django-redis",
                f"{form}, {name}" if name else form,
                lambda url, form=written_as, packer=packed_by: django_redis(url, form, packer),
            )


def _django_cachex() -> Iterator[Contender]:
    for form, serializer in _CACHEX_SERIALIZERS.items():
        written_as = f"django_cachex.serializers.{form}.{serializer}"
        for name, compressor in {"": "", **_COMPRESSORS}.items():
            packed_by = f"django_cachex.compressors.{name}.{compressor}" if name else ""
            yield Contender(
                "django-cachex",
                f"{form}, {name}" if name else form,
                lambda url, form=written_as, packer=packed_by: django_cachex(url, form, packer),
            )


def _others() -> Iterator[Contender]:
    for form in ("default", "json"):
        for packer in ("null", "gzip", "zlib"):
            variant = ("pickle" if form == "default" else form) + ("" if packer == "null" else f", {packer}")
            yield Contender("cashews", variant, lambda url, form=form, packer=packer: cashews(url, form, packer))
    # Its MessagePack cannot be read back from Redis: it decodes the bytes as text first.
    for form, serializer in {"json": "Json", "pickle": "Pickle"}.items():
        yield Contender("aiocache", form, lambda url, name=f"{serializer}Serializer": aiocache(url, name))
    yield DOGPILE
    yield Contender("dogpile.cache", "json", lambda url: DogpileStore(url, as_json=True))
    yield RAW
