"""The command report: figures, escaping, drift and its exit code, thumbnails, and comparison of two runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from client.__main__ import main
from client.gcp import UsageError
from client.report.summary import TimeRange, parse_time, percentiles, summarize
from client.report.thumbnails import Thumbnails
from client.results.record import Record
from client.results.result_files import open_writer
from model.artifact.load import read_artifact
from model.drift import read_reference
from model.labels import Prediction

ARTIFACT = Path("model/artifacts/fashion-mnist")
EVIL = "<script>alert(1)</script>\"'&\u202e\x1b[31m.png"


def record(number: int, label: str = "Bag", day: int = 20, **more: Any) -> Record:
    values: dict[str, Any] = {
        "file": f"{number}.png",
        "request_id": f"r{number}",
        "status": "ok",
        "label": label,
        "score": 0.5,
        "predictions": (Prediction(label, 0.5), Prediction("Coat", 0.25)),
        "total_ms": 10.0 + number,
        "completed_at": f"2026-11-{day}T10:00:{number % 60:02}.000Z",
        "model_name": "fashion-mnist",
        "model_digest": "sha256:x",
    }
    return Record(**(values | more))


def written(path: Path, records: list[Record]) -> str:
    writer = open_writer(path, lambda text: None)
    for each in records:
        writer.write(each)
    writer.close()
    return str(path)


def like_the_reference(root: Path, odd: int = 0) -> list[Record]:
    """Records with the labels and scores of the shipped reference; `odd` of its bags are shirts."""
    artifact, reference = read_artifact(root / ARTIFACT), read_reference(root / ARTIFACT)
    labels = [label for label, count in reference.counts.items() for _ in range(count)]
    scores = [
        (low + high) / 2
        for low, high, count in zip(reference.edges, reference.edges[1:], reference.histogram, strict=False)
        for _ in range(count)
    ]
    bags = [number for number, label in enumerate(labels) if label == "Bag"][:odd]
    made: dict[str, Any] = {"model_digest": artifact.digest}
    return [
        record(n, "Shirt" if n in bags else label, score=score, **made)
        for n, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]


def test_figures_of_rows() -> None:
    rows = [record(n, "Bag" if n % 2 else "Coat", 20 + n // 2, score=n / 4) for n in range(4)]
    found = summarize([*rows, record(9, status="error", label="", score=None, error_code="expired")])
    assert found.statuses == {"ok": 4, "error": 1} and found.errors == {"expired": 1}
    assert found.by_date == {
        "2026-11-20": {"Bag": (1, 0.25), "Coat": (1, 0.0)},
        "2026-11-21": {"Bag": (1, 0.75), "Coat": (1, 0.5)},
    }
    assert found.process_s == pytest.approx(86400 + 3 + 0.01) and found.percentiles["total"][-1] == 13
    assert percentiles(range(1, 101)) == [50, 90, 95, 99, 100] and percentiles([7]) == [7] * 5


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]


def test_no_text_of_a_row_becomes_markup_and_nothing_is_loaded(tmp_path: Path) -> None:
    texts: dict[str, Any] = dict.fromkeys(("file", "label", "request_id", "model_name", "engine"), EVIL)
    rows = [record(1, **texts), record(2, day=21, **(texts | {"request_id": "2"}))]
    rows.append(Record(file=EVIL, status="error", error_code=EVIL, error_message=EVIL, request_id="3"))
    run, out = written(tmp_path / "<b>.csv", rows), tmp_path / "out.html"
    assert main(["report", run, "--out", str(out), "--compare", run], {}) == 0
    text = out.read_text("utf-8")
    page = _Page()
    page.feed(text)
    assert not {"script", "b>", "link", "iframe"} & {*page.tags} and page.links == []
    assert "\u202e" not in text and "\x1b" not in text and "url(" not in text and "@import" not in text
    assert not re.search(r"https?://", text)
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize("missing", [{"completed_at": ""}, {"completed_at": "yesterday"}, {"total_ms": None}])
def test_rows_without_times_have_a_report(missing: dict[str, Any], tmp_path: Path) -> None:
    run = written(tmp_path / "run.csv", [record(1, **missing)])
    assert main(["report", run, "--out", str(tmp_path / "out.html")], {}) == 0


def test_predictions_like_the_reference_are_no_drift(root: Path, tmp_path: Path) -> None:
    run = written(tmp_path / "run.jsonl", like_the_reference(root))
    out = str(tmp_path / "out.html")
    assert main(["report", run, "--out", out, "--reference", str(root / ARTIFACT)], {}) == 0
    assert "No drift" in Path(out).read_text("utf-8")


def test_one_class_that_drifts_gives_the_exit_code(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = written(tmp_path / "run.jsonl", like_the_reference(root, odd=300))
    assert main(["report", run, "--out", str(tmp_path / "o"), "--reference", str(root / ARTIFACT)], {}) == 3
    err = capsys.readouterr().err
    bags = read_reference(root / ARTIFACT).counts["Bag"]
    shares = f"{(bags - 300) / 5000:.1%} of the images, and for {bags / 5000:.1%} of the reference"
    assert f"drift: Bag is predicted for {shares}" in err


def test_predictions_of_another_model_are_not_compared(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = written(tmp_path / "run.jsonl", [record(1)])
    assert main(["report", run, "--out", str(tmp_path / "o"), "--reference", str(root / ARTIFACT)], {}) == 2
    assert "no prediction is of fashion-mnist" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_since_counts_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = Record(file="x.png", status="failed", problem="gone")
    run = written(tmp_path / "run.csv", [record(1, day=20), record(2, day=22), lost])
    assert main(["report", run, "--out", str(tmp_path / "o"), "--since", "2026-11-21"], {}) == 0
    said = capsys.readouterr()
    assert "1 rows without a time" in said.err and said.out.endswith(": 1 rows\n")
    assert main(["report", run, "--out", str(tmp_path / "o"), "--since", "2026-12-01"], {}) == 2


def test_a_time_is_a_period_a_date_or_a_moment() -> None:
    now = datetime(2026, 11, 28, tzinfo=UTC)
    week = datetime(2026, 11, 21, tzinfo=UTC)
    for text in ("7d", "168h", "2026-11-21", "2026-11-21T02:00:00+02:00"):
        assert parse_time(text, now, "--since") == week, text
    assert parse_time("999999d", now, "--since") == datetime.min.replace(tzinfo=UTC)
    assert str(TimeRange.parse("2026-11-21T02:00:00+02:00", None, now)) == "since 2026-11-21 00:00:00 UTC"
    for text in ("soon", "0001-01-01T00:00:00+02:00", "2026-13-01", "1w"):
        with pytest.raises(UsageError, match=r"^--until is .*; it must be a period such as"):
            parse_time(text, now, "--until")


WEEK = [record(day, "Coat" if day == 24 else "Bag", day) for day in range(20, 27)]


def reported(folder: Path, *words: str) -> str:
    """The text of the report about WEEK."""
    run, out = folder / "week.csv", folder / "out.html"
    if not run.exists():
        written(run, WEEK)
    code = main(["report", str(run), "--out", str(out), *(word.replace("WEEK", str(run)) for word in words)], {})
    return out.read_text("utf-8") if code == 0 else f"exit code {code}"


@pytest.mark.parametrize(
    ("words", "days"),
    [
        (("--since", "2026-11-24"), 3),
        (("--until", "2026-11-24"), 4),
        (("--since", "2026-11-21", "--until", "2026-11-24"), 3),
        (
            ("--since", "2026-11-21T10:00:21Z", "--until", "2026-11-24T10:00:24Z"),
            3,
        ),  # the second of the first day's row
    ],
)
def test_a_range_of_time_has_its_first_moment_and_not_its_last(
    words: tuple[str, ...], days: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = reported(tmp_path, *words)
    assert capsys.readouterr().out.endswith(f": {days} rows\n") and "Only responses " in text


def test_two_ranges_of_one_file_are_compared(tmp_path: Path) -> None:
    limits = ("--since", "2026-11-24", "--compare", "WEEK")
    assert "3 images are in both runs" in reported(tmp_path, *limits), "without limits the other run is the whole file"
    text = reported(tmp_path, *limits, "--compare-since", "2026-11-21", "--compare-until", "2026-11-24")
    assert "<p>Only responses since 2026-11-21 00:00:00 UTC and before 2026-11-24 00:00:00 UTC.</p>" in text
    assert "0 images are in both runs" in text and "no image has predictions in both" in text
    cells = [re.sub("<[^>]+>", " ", row).split() for row in text.split(">points<")[1].split("<tr>")[1:3]]
    assert cells == [["Bag", "100.0%", "66.7%", "-33.3"], ["Coat", "0.0%", "33.3%", "+33.3"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "1d", "--until", "7d"), "--since must be before --until; they are 20"),
        (("--since", "2026-11-21", "--until", "2026-11-21"), "--since must be before --until"),
        (("--compare", "WEEK", "--compare-since", "1d", "--compare-until", "2d"), "--compare-since must be before"),
        (("--compare-since", "1d"), "--compare-since and --compare-until need --compare OTHER"),
        (("--until", "soon"), "--until is soon; it must be a period"),
        (("--compare", "WEEK", "--compare-until", "soon"), "--compare-until is soon; it must be a period"),
        (("--until", "2026-11-20"), "week.csv holds no row to report before 2026-11-20 00:00:00 UTC"),
        (
            ("--compare", "WEEK", "--compare-since", "2027-01-01"),
            "holds no row to report since 2027-01-01 00:00:00 UTC",
        ),
    ],
)
def test_a_range_without_a_meaning_is_refused(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reported(tmp_path, *words) == "exit code 2"
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1 and len(err) <= 300


def test_thumbnails_come_from_inside_the_folder_alone(tmp_path: Path) -> None:
    folder, outside = tmp_path / "photos", tmp_path / "secret.png"
    folder.mkdir()
    Image.new("RGB", (500, 300), "red").save(folder / "a.png")
    Image.new("RGB", (500, 300), "red").save(outside)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n")
    (folder / "link.png").symlink_to(outside)
    found = Thumbnails(folder)
    assert found.uri("a.png").startswith("data:image/jpeg;base64,")
    assert found.uri("a.png") == found.uri(str(folder / "a.png"))
    for name in (
        "../secret.png",
        str(outside),
        "link.png",
        str(folder / "link.png"),
        "broken.png",
        "b/a.png",
        "",
        "\0",
    ):
        assert found.uri(name) == "", name


def test_two_runs_are_compared_by_file(tmp_path: Path) -> None:
    before = written(tmp_path / "before.csv", [record(1), record(2), record(3, file="1.png"), record(4)])
    now = written(tmp_path / "now.csv", [record(1), record(2, "Coat"), record(4)])
    assert main(["report", now, "--out", str(tmp_path / "o"), "--compare", before], {}) == 0
    text = (tmp_path / "o").read_text("utf-8")
    assert (
        "2 images are in both runs; 1 of them have another label" in text and "1 images that a run has several" in text
    )
    assert "50.00% equal labels: 1 of 2 images with predictions in both" in text
    assert '<td >Bag</td><td >Coat</td><td class="number">1</td>' in text, "which labels changed, and how often"
