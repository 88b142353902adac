"""Writing a report down: Markdown, one HTML file, or a document for programs."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from spillgate.census.rows import shown
from spillgate.errors import MissingExtra
from spillgate.report import figures, markdown, wording
from spillgate.report.model import (
    Block,
    Cards,
    Cell,
    Commands,
    Facts,
    Format,
    Paragraph,
    Points,
    Report,
    Section,
    Table,
    Tank,
    Timeline,
    text_of,
)

if TYPE_CHECKING:
    from jinja2 import Environment


def _harmless(value: object) -> object:
    """A text without characters that would do something to a terminal; lines stay lines."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return value if value.isprintable() else "\n".join(map(shown, value.split("\n")))


def _kind(block: object) -> str:
    return type(block).__name__


_FILTERS: Mapping[str, Any] = {
    "kind": _kind,
    "when": wording.when,
    "iso": wording.iso,
    "plain": text_of,
    "curve": figures.curve,
    "shares": figures.shares,
    "slices": figures.slices,
    "mark_labels": figures.mark_labels,
    "text_bar": figures.text_bar,
    "text_tank": figures.text_tank,
    "text_timeline": figures.text_timeline,
    "md": markdown.escaped,
    "md_begun": markdown.begun,
    "md_words": markdown.words,
    "md_cell": markdown.cell,
    "md_fact": markdown.fact,
    "md_code": markdown.code_span,
    "md_fenced": markdown.fenced,
}


def environment() -> "Environment":
    """What fills the templates; HTML is escaped by itself, Markdown by filters.

    Raises:
        MissingExtra: Jinja is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape  # noqa: PLC0415 - an optional part
    except ImportError as error:
        raise MissingExtra("report") from error
    made = Environment(
        loader=PackageLoader("spillgate.report"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),  # Markdown has its own filters
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_harmless,
    )
    made.filters.update(_FILTERS)
    return made


def render(report: Report, form: Format, made: "Environment | None" = None) -> str:
    """The report as text.

    Raises:
        MissingExtra: Jinja is not installed.
    """
    template = (made or environment()).get_template(f"report.{form.value}.j2")
    return template.render(report=report)


def document(report: Report) -> dict[str, object]:
    """What ``spillgate report --json`` prints; docs/report.md has its fields."""
    return {
        "generated_at": wording.iso(report.at_unix_s),
        "version": report.version,
        "server": report.server,
        "level": report.level,
        "alarmed": report.alarmed,
        **{fact.key: fact.cell.value for fact in report.headline},
        "sections": {section.id: _section(section) for section in report.sections},
    }


def _section(section: Section) -> dict[str, object]:
    told: dict[str, object] = {"title": section.title}
    text = [text_of(block.words) for block in section.blocks if isinstance(block, Paragraph)]
    if text:
        told["text"] = text
    for block in section.blocks:
        told |= dict(_block(block))
    return told


def _block(block: Block) -> Iterator[tuple[str, object]]:
    match block:
        case Facts():
            yield block.key, {fact.key: _value(fact.cell) for fact in block.rows}
        case Table():
            keyed = [(number, column) for number, column in enumerate(block.columns) if column.label]
            yield block.key, [{column.key: _value(row[number]) for number, column in keyed} for row in block.rows]
        case Points():
            yield block.key, [text_of(item) for item in block.items]
        case Commands():
            yield block.key, block.text.split("\n")
        case Cards():
            yield block.key, [card.value for card in block.cards]
        case Timeline():
            yield (
                block.key,
                {
                    "every_s": round(block.every_s),
                    "samples": [[round(one.at_s), one.used, one.high] for one in block.samples],
                },
            )
        case Tank():
            yield (
                block.key,
                [{"name": part.label, "bytes": round(part.bytes), "stays": part.stays} for part in block.parts],
            )
        case Paragraph():
            pass


def _value(cell: Cell) -> object:
    """The value of a cell; where it has a reason, or was assumed, with that."""
    value = cell.value if cell.value is not None or not cell.words else _said(cell)
    extra = ({"assumed": True} if cell.assumed else {}) | ({"note": cell.note} if cell.note else {})
    if not extra:
        return value
    if isinstance(value, Mapping):
        return {**cast("Mapping[str, object]", value), **extra}
    return {"value": value, **extra}


def _said(cell: Cell) -> object:
    """What is said instead of a value; what is unknown is None."""
    text = text_of(cell.words)
    return None if text in {"unknown", wording.DASH, "none", "not given"} else text
