"""The document of a capacity."""

from spillgate.model import Estimate
from spillgate.policy.capacity import Capacity, Projection


def document(found: Capacity) -> dict[str, object]:
    """What ``spillgate capacity --json`` prints; docs/capacity.md has its fields."""
    return {
        "used_memory": found.used_bytes,
        "limit_bytes": found.limit_bytes,
        "ceiling_bytes": found.ceiling_bytes,
        "risk": found.risk,
        "reason": found.reason,
        "growth_bytes_day": _ends(found.growth_bytes_day),
        "growth_reason": found.growth_reason,
        "time_to": {
            level.label: {"seconds": _ends(one), "reason": found.time_to_reason[level]}
            for level, one in found.time_to.items()
        },
        "features": [
            {
                "name": one.name,
                "keys": _ends(one.keys),
                "bytes": _ends(one.bytes),
                "bytes_per_object": _ends(one.bytes_per_object, 1),
                "growth_keys_day": _ends(one.growth_keys_day, 1),
                "growth_bytes_day": _ends(one.growth_bytes_day),
                "growth_reason": one.growth_reason,
                "more_fit": _ends(one.more_fit),
                "more_fit_ceiling": _ends(one.more_fit_ceiling),
            }
            for one in found.features
        ],
        "overhead": {cause: round(size) for cause, size in found.overhead.items()},
        "doublings": [
            {"database": one.database, "keys_left": round(one.keys_left), "bytes": one.bytes} for one in found.doublings
        ],
        "projections": [_projected(one) for one in found.projections],
        "assumptions": list(found.assumptions),
    }


def _projected(one: Projection) -> dict[str, object]:
    return {
        "name": one.name,
        "scale": dict(one.scale),
        "bytes": _ends(one.bytes),
        "by_feature": {name: _ends(size) for name, size in one.by_feature.items()},
        "overhead_bytes": round(one.overhead_bytes),
        "overhead": {cause: round(size) for cause, size in one.overhead.items()},
        "doubling_bytes": round(one.doubling_bytes),
        "level": one.level.label if one.level is not None else None,
        "risk": one.risk,
        "reason": one.reason,
        "plan_bytes": one.plan_bytes,
    }


def _ends(number: Estimate | None, digits: int = 0) -> dict[str, float | None] | None:
    return None if number is None else number.ends(digits)
