"""Write ``deploy/grafana/dashboard.json``, by Grafana's own builders, or tell with ``--check`` whether it is current.

Every panel is a row of the tables below. ``$instance`` in a query stands for the governors of the chosen server.
"""

import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TARGET = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboard.json"

# Grafana 10.1's schema is the one that this SDK writes; later versions take it over.
DATA: Final = model.DataSourceRef(type_val="prometheus", uid="$datasource")
ME: Final = 'instance=~"$instance"'
COLOURS: Final = {
    "normal": "green",
    "warning": "yellow",
    "preventive": "orange",
    "emergency": "red",
    "critical": "dark-red",
}
SHARES: Final = {None: "green", 0.6: "yellow", 0.8: "orange", 0.88: "red", 1.0: "dark-red"}
ALARMING: Final = {None: "green", 1: "red"}
YES_OR_NO: Final = {"0": ("no", "green"), "1": ("yes", "orange")}

Steps = dict[float | None, str]
Words = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Panel:
    """One panel: ``queries`` by their legend, ``width`` of 24 columns.

    ``mean`` says what it shows; ``words`` stand in place of numbers, ``empty`` in place of nothing.
    """

    title: str
    queries: dict[str, str]
    mean: str
    unit: str = units.Short
    width: int = 12
    height: int = 8
    steps: Steps = field(default_factory=dict[float | None, str])
    words: Words = field(default_factory=dict[str, tuple[str, str]])
    empty: str = "unknown"
    stacked: bool = False
    dashed: tuple[str, ...] = ()
    colours: dict[str, str] = field(default_factory=dict[str, str])


LEVELS: Final[Words] = {str(number): (name, colour) for number, (name, colour) in enumerate(COLOURS.items())}
GROWTH: Final = "increase({}[$__range])"

NOW: Final = (
    Panel(
        "Pressure",
        {"": f"spillgate_pressure_ratio{{{ME}}}"},
        "Used memory as a share of the limit.",
        units.PercentUnit,
        4,
        4,
        SHARES,
    ),
    Panel("Level", {"": f"spillgate_level{{{ME}}}"}, "What the governor does now.", width=4, height=4, words=LEVELS),
    Panel(
        "Time to limit",
        {"": f"spillgate_time_to_limit_seconds{{{ME}}}"},
        "At the high quantile of the latest fill rates.",
        units.Seconds,
        4,
        4,
        {None: "red", 600: "orange", 3600: "green"},
        empty="not filling",
    ),
    Panel(
        "Evicted",
        {"": GROWTH.format(f"spillgate_evicted_keys_total{{{ME}}}")},
        "Keys that the server evicted by itself, in the time shown.",
        width=4,
        height=4,
        steps=ALARMING,
    ),
    Panel(
        "Writes refused",
        {"": GROWTH.format(f"spillgate_refused_writes_total{{{ME}}}")},
        "For want of memory, in the time shown.",
        width=4,
        height=4,
        steps=ALARMING,
    ),
    Panel(
        "Server",
        {"": f"spillgate_up{{{ME}}}"},
        "Whether the governor can read it.",
        width=2,
        height=4,
        words={"0": ("unreadable", "red"), "1": ("read", "green")},
    ),
    Panel(
        "Last look",
        {"": f"time() - spillgate_last_look_timestamp_seconds{{{ME}}}"},
        "How long ago the governor looked.",
        units.Seconds,
        2,
        4,
        {None: "green", 120: "orange", 600: "red"},
        empty="never",
    ),
)
MEMORY: Final = (
    Panel(
        "Memory against the levels",
        {
            "used": f"spillgate_used_bytes{{{ME}}}",
            "forecast": f"spillgate_forecast_ratio{{{ME}}} * spillgate_limit_bytes{{{ME}}}",
            "{{level}}": f"spillgate_level_threshold_bytes{{{ME}}}",
            "ceiling": f"spillgate_ceiling_bytes{{{ME}}}",
        },
        "What counts towards the limit, and what is forecast for when the governor can act again. Critical is the "
        "limit; the ceiling is what may be used.",
        units.BytesIEC,
        16,
        10,
        dashed=("forecast", "warning", "preventive", "emergency", "critical", "ceiling"),
        colours={name: colour for name, colour in COLOURS.items() if name != "normal"} | {"ceiling": "text"},
    ),
    Panel(
        "Fill rate",
        {"filling": f"spillgate_fill_bytes_per_second{{{ME}}}"},
        "A high quantile of the latest rates; 0 where memory does not grow.",
        units.BytesPerSecondIEC,
        8,
        10,
    ),
    Panel(
        "Level",
        {"level": f"spillgate_level{{{ME}}}"},
        "It rises at once and falls one step at a time.",
        width=16,
        height=4,
        words=LEVELS,
    ),
    Panel(
        "Held by what is no data",
        {"{{cause}}": f"spillgate_held_bytes{{{ME}}}"},
        "Deleting keys does not free this.",
        units.BytesIEC,
        8,
        4,
    ),
)
NAMESPACES: Final = (
    Panel(
        "Memory by namespace",
        {
            "{{namespace}}": f"spillgate_namespace_memory_bytes{{{ME}}}",
            "of no namespace": f"clamp_min(spillgate_keyspace_memory_bytes{{{ME}}}"
            f" - on (instance) sum by (instance) (spillgate_namespace_memory_bytes{{{ME}}}), 0)",
        },
        "By census, estimated. Absent where MEMORY USAGE is forbidden.",
        units.BytesIEC,
        12,
        9,
        stacked=True,
    ),
    Panel(
        "Keys by namespace",
        {
            "{{namespace}}": f"spillgate_namespace_keys{{{ME}}}",
            "of no namespace": f"spillgate_unregistered_keys{{{ME}}}",
        },
        "By census, estimated. What is of no namespace is protected.",
        width=12,
        height=9,
        stacked=True,
    ),
    Panel(
        "Namespaces",
        {
            "cleanup": f"max by (namespace, cleanup, priority) (spillgate_namespace_info{{{ME}}})",
            **{
                name: f"sum by (namespace) ({metric})"
                for name, metric in {
                    "bytes": f"spillgate_namespace_memory_bytes{{{ME}}}",
                    "at least": f'spillgate_namespace_memory_bound_bytes{{{ME}, bound="low"}}',
                    "at most": f'spillgate_namespace_memory_bound_bytes{{{ME}, bound="high"}}',
                    "budget": f"spillgate_namespace_budget_bytes{{{ME}}}",
                    "keys": f"spillgate_namespace_keys{{{ME}}}",
                    "without TTL": f"spillgate_namespace_unttl_keys{{{ME}}}",
                    "hit ratio": f"spillgate_library_hit_ratio{{{ME}}}",
                }.items()
            },
        },
        "With the ends of the 95 % interval, and the hit ratio where the cache library reports it.",
        width=24,
        height=8,
    ),
)
CLEANUPS: Final = (
    Panel(
        "Memory freed by cleanups",
        {"freed": f"rate(spillgate_reclaimed_bytes_total{{{ME}}}[$__rate_interval])"},
        "By the server's own counter.",
        units.BytesPerSecondIEC,
        8,
    ),
    Panel(
        "Keys by what became of them",
        {
            "deleted": f"rate(spillgate_deleted_keys_total{{{ME}}}[$__rate_interval])",
            "purged, past their TTL": f"rate(spillgate_purged_keys_total{{{ME}}}[$__rate_interval])",
            "TTL set or capped": f"rate(spillgate_retimed_keys_total{{{ME}}}[$__rate_interval])",
        },
        "By the governor, a second.",
        units.CountsPerSecond,
        8,
    ),
    Panel(
        "Done by the server itself",
        {
            "keys evicted": f"rate(spillgate_evicted_keys_total{{{ME}}}[$__rate_interval])",
            "writes refused": f"rate(spillgate_refused_writes_total{{{ME}}}[$__rate_interval])",
            "keys expired": f"rate(spillgate_expired_keys_total{{{ME}}}[$__rate_interval])",
        },
        "Evictions and refused writes are what a governor is there to prevent.",
        units.CountsPerSecond,
        8,
        colours={"keys evicted": "orange", "writes refused": "red", "keys expired": "green"},
    ),
)
GOVERNOR: Final = (
    Panel(
        "Work",
        {
            "readings": f"rate(spillgate_readings_total{{{ME}}}[$__rate_interval])",
            "commands": f"rate(spillgate_commands_total{{{ME}}}[$__rate_interval])",
            "steps of cleanups": f"rate(spillgate_actions_total{{{ME}}}[$__rate_interval])",
        },
        "What the governor asks of the server, a second.",
        units.CountsPerSecond,
        8,
    ),
    Panel(
        "Processor time of the governor",
        {"share of a core": f"rate(process_cpu_seconds_total{{{ME}}}[$__rate_interval])"},
        "Of the whole process, dashboards included.",
        units.PercentUnit,
        4,
    ),
    Panel(
        "Memory of the governor",
        {"resident": f"process_resident_memory_bytes{{{ME}}}"},
        "Of the whole process, history included.",
        units.BytesIEC,
        4,
    ),
    Panel(
        "Findings of the checkup",
        {"{{severity}}": f"spillgate_findings{{{ME}}}"},
        "By severity, as spillgate doctor has them.",
        width=4,
        steps={None: "green", 1: "orange"},
        empty="not examined",
    ),
    Panel(
        "Alerts of Spillgate's own",
        {"{{severity}}": f"spillgate_alerts_firing{{{ME}}}"},
        "That stand, by severity.",
        width=4,
        steps=ALARMING,
    ),
    Panel(
        "Loop",
        {"": f"spillgate_governor_running{{{ME}}}"},
        "Whether the governor's loop goes on.",
        width=4,
        height=4,
        words={"0": ("ended", "red"), "1": ("goes on", "green")},
    ),
    Panel(
        "Cleanup",
        {"": f"spillgate_cleanup_failing{{{ME}}}"},
        "Whether the server lets the governor do what it wants to.",
        width=4,
        height=4,
        words={"0": ("allowed", "green"), "1": ("fails", "red")},
    ),
    Panel(
        "Dry run",
        {"": f"spillgate_dry_run{{{ME}}}"},
        "Only tells, deletes nothing.",
        width=4,
        height=4,
        words=YES_OR_NO,
    ),
    Panel(
        "May evict what is protected",
        {"": f"spillgate_protected_evictable{{{ME}}}"},
        "Whether the server's own eviction policy can take protected keys.",
        width=4,
        height=4,
        words=YES_OR_NO,
    ),
    Panel(
        "Receivers that fail",
        {"": f"sum by (instance) (spillgate_alerts_receiver_failing{{{ME}}})"},
        "Of Spillgate's own alerts.",
        width=4,
        height=4,
        steps=ALARMING,
        empty="none set",
    ),
    Panel(
        "History",
        {"": f"spillgate_history_writable{{{ME}}}"},
        "Whether its file can be written.",
        width=4,
        height=4,
        words={"0": ("fails", "red"), "1": ("written", "green")},
        empty="in memory",
    ),
)
ROWS: Final = {
    "Now": NOW,
    "Memory": MEMORY,
    "Namespaces": NAMESPACES,
    "Cleanups": CLEANUPS,
    "The governor and what stands beside it": GOVERNOR,
}


def queries(panel: Panel, *, as_table: bool = False) -> list[Any]:
    """The panel's queries; a table, and a panel of one moment, ask for that alone."""
    made: list[Any] = []
    for number, (legend, expression) in enumerate(panel.queries.items()):
        query = prometheus.Dataquery().expr(expression).ref_id(chr(ord("A") + number))
        if as_table:
            query = query.format(PromQueryFormat.TABLE).instant()
        made.append(query.legend_format(legend) if legend else query)
    return made


def dressed(builder: Any, panel: Panel) -> Any:
    """What all kinds of panels have."""
    builder = (
        builder.title(panel.title)
        .description(panel.mean)
        .datasource(DATA)
        .unit(panel.unit)
        .span(panel.width)
        .height(panel.height)
        .no_value(panel.empty)
    )
    if panel.steps:
        steps = [model.Threshold(value=value, color=colour) for value, colour in panel.steps.items()]
        builder = builder.thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    if panel.words:
        options = {
            value: model.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, (text, colour)) in enumerate(panel.words.items())
        }
        builder = builder.mappings([model.ValueMap(options=options)])
    return builder


def number(panel: Panel) -> Any:
    """One number, in large."""
    latest = common.ReduceDataOptions().calcs(["lastNotNull"])
    colour = looks.BigValueColorMode.BACKGROUND if panel.steps or panel.words else looks.BigValueColorMode.NONE
    return (
        dressed(stat.Panel(), panel)
        .reduce_options(latest)
        .color_mode(colour)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .text_mode(looks.BigValueTextMode.VALUE)
        .targets([query.instant() for query in queries(panel)])
    )


def bars(panel: Panel) -> Any:
    """A few numbers beside each other."""
    latest = common.ReduceDataOptions().calcs(["lastNotNull"])
    return (
        dressed(bargauge.Panel(), panel)
        .reduce_options(latest)
        .orientation(looks.VizOrientation.HORIZONTAL)
        .targets([query.instant() for query in queries(panel)])
    )


def states(panel: Panel) -> Any:
    """One state after the other."""
    return dressed(statetimeline.Panel(), panel).merge_values(merge_values=True).targets(queries(panel))


def lines(panel: Panel) -> Any:
    """Numbers over time; gaps stay gaps."""
    stacking = looks.StackingMode.NORMAL if panel.stacked else looks.StackingMode.NONE
    builder = (
        dressed(timeseries.Panel(), panel)
        .min(0)
        .fill_opacity(30 if panel.stacked else 8)
        .show_points(looks.VisibilityMode.NEVER)
        .stacking(common.StackingConfig().mode(stacking))
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI))
        .targets(queries(panel))
    )
    dash = [
        model.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
        model.DynamicConfigValue("custom.fillOpacity", 0),
    ]
    for name in panel.dashed:
        builder = builder.override_by_name(name, dash)
    for name, colour in panel.colours.items():
        builder = builder.override_by_name(
            name, [model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})]
        )
    return builder


def rows(panel: Panel) -> Any:
    """A table, a line for each namespace, in which the queries are the columns."""
    columns = {f"Value #{chr(ord('A') + place)}": name for place, name in enumerate(panel.queries)}
    organised = {"excludeByName": {"Time": True, "Value #A": True}, "indexByName": {}, "renameByName": columns}
    builder = (
        dressed(table.Panel(), panel)
        .show_header(show_header=True)
        .with_transformation(model.DataTransformerConfig("merge", options={}))
        .with_transformation(model.DataTransformerConfig("organize", options=organised))
        .targets(queries(panel, as_table=True))
    )
    for name in ("bytes", "at least", "at most", "budget"):
        builder = builder.override_by_name(name, [model.DynamicConfigValue("unit", units.BytesIEC)])
    return builder.override_by_name("hit ratio", [model.DynamicConfigValue("unit", units.PercentUnit)])


def kind(panel: Panel) -> Any:
    """The panel by what its table row says."""
    if panel.title == "Namespaces":
        return rows(panel)
    if list(panel.queries) == [""]:
        return number(panel)
    if panel.words:
        return states(panel)
    return bars(panel) if panel.steps else lines(panel)


def variables() -> tuple[Any, ...]:
    """Which Prometheus, which server, and, hidden, which governors that means."""
    latest = model.VariableRefresh.ON_TIME_RANGE_CHANGED
    source = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    server = (
        dashboard.QueryVariable("server")
        .label("Server")
        .datasource(DATA)
        .query("label_values(spillgate_server_info, server)")
        .refresh(latest)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
    instance = (
        dashboard.QueryVariable("instance")
        .datasource(DATA)
        .query('label_values(spillgate_server_info{server="$server"}, instance)')
        .refresh(latest)
        .include_all(include_all=True)
        .multi(multi=True)
        .current(model.VariableOption(text="All", value="$__all"))
        .hide(model.VariableHide.HIDE_VARIABLE)
    )
    return source, server, instance


def build() -> str:
    """The dashboard as JSON."""
    alerts = (
        dashboard.AnnotationQuery()
        .name("Alerts")
        .datasource(DATA)
        .enable(enable=True)
        .icon_color("red")
        .expr(f'ALERTS{{alertname=~"Spillgate.+", alertstate="firing", {ME}}}')
    )
    made = (
        dashboard.Dashboard("Spillgate")
        .uid("spillgate")
        .description("The memory of a Redis or Valkey, and the governor that keeps it below its limit.")
        .tags(["redis", "valkey", "spillgate"])
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .annotation(alerts)
    )
    for variable in variables():
        made = made.with_variable(variable)
    numbers = count(1)
    for title, panels in ROWS.items():
        made = made.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels:
            made = made.with_panel(kind(panel).id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def main() -> int:
    """Write, or compare; the exit code is 1 where they differ."""
    wanted = build()
    if sys.argv[1:] == ["--check"]:
        current = TARGET.exists() and TARGET.read_text(encoding="utf-8") == wanted
        if not current:
            print(f"{TARGET} is not what it would be now: run scripts/grafana_dashboard.py", file=sys.stderr)
        return int(not current)
    TARGET.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
