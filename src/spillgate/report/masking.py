"""Names of single keys, taken out of what others have reckoned by the names of prefixes. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from spillgate.census.rows import masked, namespace_rows, prefix_rows, tells_a_key
from spillgate.config import Policy
from spillgate.keyspace import Keyspace
from spillgate.model import Estimate, Survey
from spillgate.policy.capacity import Capacity, Projection
from spillgate.policy.ttl import TtlPlan

Rename = Callable[[str], str]


def renaming(policy: Policy, survey: Survey) -> Rename:
    """What to call a prefix: as it is called, unless that would name a key, or a part of one.

    Others put more behind a name, such as its database in brackets.
    """
    prefixes = prefix_rows(survey)
    namespaces = namespace_rows(survey, Keyspace(policy.namespaces).prefixes)
    shared = tuple(row.prefix for row in (*namespaces, *(row for row in prefixes if not tells_a_key(row))))
    names = {row.name: masked(row.name, shared) for row in prefixes if tells_a_key(row)}
    longest = sorted(names, key=len, reverse=True)

    def rename(name: str) -> str:
        if name in names:
            return names[name]
        found = next((one for one in longest if name.startswith((f"{one} (", f"{one}: "))), None)
        return name if found is None else names[found] + name[len(found) :]

    return rename


def without_names(plan: TtlPlan, rename: Rename) -> TtlPlan:
    """What is recommended, of prefixes that name no key."""
    return replace(plan, advices=tuple(replace(advice, name=rename(advice.name)) for advice in plan.advices))


def capacity_without_names(capacity: Capacity, rename: Rename) -> Capacity:
    """The same of what fits."""
    return replace(
        capacity,
        features=tuple(replace(feature, name=rename(feature.name)) for feature in capacity.features),
        projections=tuple(_projection(projection, rename) for projection in capacity.projections),
        assumptions=tuple(dict.fromkeys(map(rename, capacity.assumptions))),
    )


def _projection(one: Projection, rename: Rename) -> Projection:
    scale = Counter[str]()
    for name, count in one.scale.items():
        scale[rename(name)] += count
    parts: dict[str, list[Estimate]] = {}
    for name, size in one.by_feature.items():
        parts.setdefault(rename(name), []).append(size)
    sizes: Mapping[str, Estimate] = {name: Estimate.total(found) for name, found in parts.items()}
    return replace(one, scale=dict(scale), by_feature=sizes)
