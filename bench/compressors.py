"""What a value takes compressed, and how long that takes: Spillgate's zstd beside other modules, on the same bytes."""

import importlib
import statistics
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import msgspec

from bench.corpora import load
from bench.dictionaries import trained
from bench.goals import Report, number, table
from spillgate.compression import LEVEL, Zstd

_MOST_BYTES = 1 << 20
_MOST_VALUES = 500
# A dictionary is trained for so many.
_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Compressor:
    """One module, set up in one way."""

    name: str
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Speed:
    """What it made of the values of a corpus: averages of a value."""

    corpus: str
    who: str
    plain_bytes: float
    packed_bytes: float
    compress_us: float
    decompress_us: float


def measure_speed(corpora: Sequence[str], report: Report, rounds: int) -> None:
    """Have each compressor pack and unpack each corpus's values, as MessagePack, ``rounds`` times in turn.

    One round more, the first, is not counted.
    """
    for name in corpora:
        corpus = load(name)
        encode = msgspec.msgpack.encode
        values = [encode(value) for value in corpus.to_store[:_MOST_VALUES]]
        content, _ = trained(corpus.to_learn, _KEYS)
        compressors = list(_compressors(content))
        times = [list(_timed(one, values)) for _ in range(rounds + 1) for one in compressors]
        speeds: list[Speed] = []
        for place, one in enumerate(compressors):
            mine = times[place :: len(compressors)][1:]
            packed = statistics.mean(len(one.compress(value)) for value in values)
            micros = [statistics.median(taken[which] for taken in mine) * 1e6 / len(values) for which in (0, 1)]
            speeds.append(Speed(name, one.name, statistics.mean(map(len, values)), packed, *micros))
        print(f"\n{name}, compressed\n\n{_as_table(speeds)}", flush=True)
        report.numbers += [asdict(speed) for speed in speeds]


def _timed(one: Compressor, values: Sequence[bytes]) -> Iterator[float]:
    """The seconds to compress all values, and to decompress them."""
    started_s = time.perf_counter()
    packed = [one.compress(value) for value in values]
    packed_s = time.perf_counter()
    unpacked = [one.decompress(frame) for frame in packed]
    ended_s = time.perf_counter()
    assert unpacked == list(values)
    yield packed_s - started_s
    yield ended_s - packed_s


def _compressors(content: bytes) -> Iterator[Compressor]:
    ours, learnt = Zstd(), Zstd(content)
    yield Compressor("spillgate", ours.compress, lambda frame: ours.decompress(frame, _MOST_BYTES))
    yield Compressor("spillgate, dictionary", learnt.compress, lambda frame: learnt.decompress(frame, _MOST_BYTES))
    zstd = importlib.import_module("backports.zstd")
    yield Compressor("backports.zstd", lambda data: zstd.compress(data, LEVEL), zstd.decompress)
    known = zstd.ZstdDict(content)
    packer, unpacker = known.as_digested_dict, known.as_digested_dict
    yield Compressor(
        "backports.zstd, dictionary",
        lambda data: zstd.compress(data, LEVEL, zstd_dict=packer),
        lambda frame: zstd.decompress(frame, zstd_dict=unpacker),
    )
    yield Compressor("zlib", lambda data: zlib.compress(data, 6), zlib.decompress)
    lz4 = importlib.import_module("lz4.frame")
    yield Compressor("lz4", lz4.compress, lz4.decompress)


def _as_table(speeds: Sequence[Speed]) -> str:
    heads = ("", "plain bytes", "compressed", "µs to compress", "µs to decompress")
    return table(heads, [_cells(one) for one in speeds])


def _cells(one: Speed) -> tuple[str, ...]:
    figures = (one.plain_bytes, one.packed_bytes, one.compress_us, one.decompress_us)
    return (one.who, *(number(round(figure, 1)) for figure in figures))
