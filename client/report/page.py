"""Writes the report as one HTML file without scripts and without requests. Every text is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from client.report import svg
from client.report.comparison import Comparison
from client.report.comparison_output import equal_labels, score_change
from client.report.summary import PERCENTILES, Summary, least_certain, slowest
from client.report.thumbnails import Thumbnails
from client.results.record import Record
from model.drift import STRONG, Assessment, Share
from model.text import printable

_SLOWEST, _UNCERTAIN, _MAX_LINES, _MAX_CHANGED = 10, 24, 10, 50
"""Rows of the lists, lines of the plot."""

_MAX_COLUMNS = 12
"""Labels up to which the table by date has a column for each."""

_NUMBER = re.compile(r"-|[+-]?[\d,]+(\.\d+)?(e-?\d+)?%?( \([\d,]+\))?")
_STYLE = Path(__file__).with_name("page.css")


@dataclass(frozen=True, slots=True)
class DriftSection:
    """The assessment against the reference of `model`; `other` answered rows are of other models."""

    model: str
    assessment: Assessment
    other: int


@dataclass(frozen=True, slots=True)
class OtherRun:
    """Another run, notes about rows that are left out, and what changed since."""

    name: str
    notes: Sequence[str]
    summary: Summary
    comparison: Comparison


def render(
    title: str,
    notes: Sequence[str],
    found: Summary,
    drift: DriftSection | None,
    compared: OtherRun | None,
    thumbnails: Thumbnails | None,
) -> str:
    """Return the report as HTML."""
    sections = [
        _overview(found, notes),
        _drift(drift) if drift else "",
        _labels(found),
        _by_date(found),
        _times(found),
        _errors(found),
        _comparison(found, compared) if compared else "",
        _uncertain(found, thumbnails),
        _slowest(found),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        f"<title>{_text(title)}</title><style>{_STYLE.read_text('utf-8')}</style></head>\n<body><main>"
        f"<h1>{_text(title)}</h1>\n" + "\n".join(filter(None, sections)) + "\n</main></body></html>\n"
    )


def _overview(found: Summary, notes: Sequence[str]) -> str:
    latency = found.percentiles.get("total")
    tiles = {
        "images": f"{len(found.records):,}",
        "with a label": f"{found.statuses.get('ok', 0) - sum(record.labels == () for record in found.records):,}",
        "errors": f"{found.statuses.get('error', 0):,}",
        "no response": f"{found.statuses.get('missing', 0) + found.statuses.get('failed', 0):,}",
        "processing time": _period(found.process_s) if found.process_s is not None else "-",
        "time per prediction": _period(found.prediction_ms / 1000) if found.prediction_ms is not None else "-",
        "median time in the worker": f"{latency[0]:,.1f} ms" if latency else "-",
    }
    body = "".join(f"<div><b>{_text(value)}</b><span>{_text(name)}</span></div>" for name, value in tiles.items())
    period = f"{found.first:%Y-%m-%d %H:%M:%S} to {found.last:%Y-%m-%d %H:%M:%S} UTC" if found.first else "no times"
    models = "; ".join(f"{model}: {count:,}" for model, count in found.models.items())
    several = "The model is multi-label: an image counts for each label that it has." if found.multi_label else ""
    lines = [period, f"Models: {models}" if models else "", several, *notes]
    text = "".join(f"<p>{_text(line)}</p>" for line in lines if line)
    return f'<div class="tiles">{body}</div>{text}'


def _drift(section: DriftSection) -> str:
    found = section.assessment
    verdict = "The predictions drifted" if found.reasons else "No drift"
    why = "".join(f"<li>{_text(reason)}</li>" for reason in found.reasons)
    rows = [
        (test.label, f"{test.expected:.1%}", f"{test.found:.1%}", f"{test.p:.2g}", "drift" if test.significant else "")
        for test in found.classes
    ]
    text = (
        f"Compared with the reference of {section.model}: {found.drift.images:,} predictions"
        + (f"; {section.other:,} of other models are left out" if section.other else "")
        + f". Stability index of labels {found.drift.labels:.3f}, of scores {found.drift.scores:.3f}; "
        f"above {STRONG:g} is drift. Expected accuracy without labels: {_share(found.accuracy)}, if the scores are "
        f"calibrated for such images. Refused images: {_share(found.refused)}."
    )
    table = _table(("label", "reference", "now", "p", ""), rows)
    mark = "bad" if found.reasons else "good"
    return (
        f'<section><h2>Drift</h2><p class="verdict {mark}">{verdict}</p><ul>{why}</ul><p>{_text(text)}</p>'
        f"{table}</section>"
    )


def _labels(found: Summary) -> str:
    if not found.labels:
        return ""
    total = len(found.answered)
    texts = {label: f"{count:,} ({count / total:.1%})" for label, count in found.labels.items()}
    shown = {printable(label): float(count) for label, count in list(found.labels.items())[:50]}
    named = {printable(label): text for label, text in texts.items()}
    return f"<section><h2>Labels</h2>{svg.bars(shown, named, 'Images by label')}</section>"


def _by_date(found: Summary) -> str:
    if not found.by_date:
        return ""
    dates, most = [date for date in found.by_date if date != "unknown"], list(found.labels)[:_MAX_LINES]
    chart = ""
    if len(dates) > 1:
        series = {printable(label): [_mean(found, date, label) for date in dates] for label in most}
        chart = svg.lines(dates, series, "Mean score of each label by date")
    return f"<section><h2>Mean score by date</h2>{chart}{_date_table(found)}</section>"


def _date_table(found: Summary) -> str:
    """Return mean scores with the number of images: a column for each label, or a row where there are many."""
    labels = sorted(found.labels)
    if len(labels) > _MAX_COLUMNS:
        listed = [
            (date, label, f"{count:,}", f"{mean:.4f}")
            for date, of_label in found.by_date.items()
            for label, (count, mean) in of_label.items()
        ]
        return _table(("date", "label", "images", "mean score"), listed)
    cells = {date: [of_label.get(label) for label in labels] for date, of_label in found.by_date.items()}
    rows = [(date, *(f"{each[1]:.3f} ({each[0]:,})" if each else "-" for each in row)) for date, row in cells.items()]
    return f'<p>In parentheses: the number of images.</p><div class="dense">{_table(("date", *labels), rows)}</div>'


def _times(found: Summary) -> str:
    if not found.percentiles:
        return ""
    heads = ("ms", *(f"p{p}" if p < 100 else "max" for p in PERCENTILES))
    rows = [(stage, *(f"{value:,.1f}" for value in values)) for stage, values in found.percentiles.items()]
    medians = {stage: values[2] for stage, values in found.percentiles.items()}
    texts = {stage: f"{value:,.1f} ms" for stage, value in medians.items()}
    chart = svg.bars(medians, texts, "95th percentile of each stage")
    return (
        f"<section><h2>Latency by stage</h2><p>95th percentile; the client's time includes all others.</p>{chart}"
        f"{_table(heads, rows)}</section>"
    )


def _errors(found: Summary) -> str:
    if not found.errors:
        return ""
    examples: dict[str, Record] = {}
    for record in found.records:
        examples.setdefault(record.error_code or record.problem, record)
    rows = [
        (code, f"{count:,}", examples[code].file or examples[code].request_id, examples[code].error_message)
        for code, count in found.errors.items()
    ]
    return f"<section><h2>Errors</h2>{_table(('code', 'images', 'for example', 'message'), rows)}</section>"


def _comparison(found: Summary, other: OtherRun) -> str:
    compared, labels = other.comparison, list(dict.fromkeys([*found.labels, *other.summary.labels]))
    totals = [max(1, len(summary.answered)) for summary in (other.summary, found)]
    rows = []
    for label in labels:
        before, now = other.summary.labels.get(label, 0) / totals[0], found.labels.get(label, 0) / totals[1]
        rows.append((label, f"{before:.1%}", f"{now:.1%}", f"{100 * (now - before):+.1f}"))
    stages = [stage for stage in found.percentiles if stage in other.summary.percentiles]
    runs = [summary.percentiles for summary in (other.summary, found)]
    times = [(stage, *(f"{run[stage][place]:,.1f}" for place in (0, 2) for run in runs)) for stage in stages]
    changed = [(new.file, _answer(old), _answer(new)) for old, new in compared.changed[:_MAX_CHANGED]]
    transitions = [(old, new, f"{count:,}") for old, new, count in compared.transitions[:_MAX_CHANGED]]
    repeated = len(set.union(*compared.repeated))
    sentences = [
        *other.notes,
        f"{len(compared.pairs):,} images are in both runs; {len(compared.changed):,} of them have another label",
        equal_labels(compared),
        score_change(compared),
        f"{repeated:,} images that a run has several times are left out" if repeated else "",
    ]
    text = "".join(f"<p>{_text(sentence)}.</p>" for sentence in sentences if sentence)
    return (
        f"<section><h2>Compared with {_text(other.name)}</h2>{text}"
        f"{_table(('label', 'before', 'now', 'points'), rows)}"
        f"{_table(('ms', 'p50 before', 'p50 now', 'p95 before', 'p95 now'), times)}"
        f"{_table(('label before', 'label now', 'images'), transitions)}"
        f"{_table(('file', 'before', 'now'), changed)}</section>"
    )


def _uncertain(found: Summary, thumbnails: Thumbnails | None) -> str:
    cards = []
    for record in least_certain(found, _UNCERTAIN):
        uri = thumbnails.uri(record.file) if thumbnails else ""
        image = f'<img alt="" src="{escape(uri)}">' if uri else ""
        second = record.predictions[1] if len(record.predictions) > 1 else None
        rest = f" or {second.label} {second.score:.2f}" if second else ""
        cards.append(
            f"<figure>{image}<figcaption>{_text(record.file or record.request_id)}<br>"
            f"<b>{_text(f'{record.label} {record.score or 0:.2f}')}</b>{_text(rest)}</figcaption></figure>"
        )
    return f'<section><h2>Least certain</h2><div class="cards">{"".join(cards)}</div></section>' if cards else ""


def _slowest(found: Summary) -> str:
    rows = [
        (
            record.file or record.request_id,
            record.answer,
            *(
                f"{value or 0:,.1f}"
                for value in (record.total_ms, record.queue_ms, record.decode_ms, record.predict_ms)
            ),
        )
        for record in slowest(found, _SLOWEST)
    ]
    heads = ("file", "label", "total ms", "queue ms", "decode ms", "predict ms")
    return f"<section><h2>Slowest</h2>{_table(heads, rows)}</section>" if rows else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; columns of numbers are to the right. Nothing without rows."""
    lines = list(rows)
    if not lines:
        return ""
    right = [all(_numeric(line[column]) for line in lines) for column in range(len(heads))]
    marks = ['class="number"' if each else "" for each in right]
    head = "".join(f"<th {mark}>{_text(name)}</th>" for name, mark in zip(heads, marks, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td {mark}>{_text(cell)}</td>" for cell, mark in zip(line, marks, strict=True)) + "</tr>"
        for line in lines
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _answer(record: Record) -> str:
    return record.answer if record.labels is not None else f"{record.label} {record.score or 0:.4f}"


def _mean(found: Summary, date: str, label: str) -> float | None:
    figures = found.by_date[date].get(label)
    return figures[1] if figures else None


def _period(value: float) -> str:
    """Format seconds: 7.5 ms, 0.25 s, 42 s, 20 min, 8 h."""
    if value < 0.1:
        return f"{1000 * value:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 7200 else f"{value / 3600:,.4g} h"


def _numeric(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell))


def _share(share: Share) -> str:
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _text(text: str) -> str:
    """Return text for HTML: escaped, control characters and direction marks as escapes."""
    return escape(printable(text))
