"""The command compare: matching of images, figures, what is refused, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from client.__main__ import main
from client.results.record import Record
from client.results.result_files import open_writer

EVIL = "<b>\x1b[31m\u202e\n.png"


def ok(file: str, label: str = "cat", score: float = 0.5, **more: Any) -> Record:
    values: dict[str, Any] = {"request_id": f"r-{file}", "model_name": "m", "model_digest": "sha256:m"}
    return Record(file=file, status="ok", label=label, score=score, **(values | more))


def failed(file: str, code: str = "", **more: Any) -> Record:
    values: dict[str, Any] = {"request_id": f"r-{file}", "status": "error" if code else "missing"}
    return Record(file=file, error_code=code, problem="" if code else "no answer", **(values | more))


class Runs:
    """Writes two runs and compares them."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys

    def write(self, name: str, records: list[Record]) -> str:
        path = self._folder / name
        path.unlink(missing_ok=True)
        writer = open_writer(path, lambda text: None)
        for record in records:
            writer.write(record)
        writer.close()
        return str(path)

    def compare(self, a: list[Record], b: list[Record], *words: str) -> tuple[int, str, str]:
        code = main(["compare", self.write("a.jsonl", a), self.write("b.csv", b), *words], {})
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def figures(self, a: list[Record], b: list[Record], *words: str) -> Any:
        return json.loads(self.compare(a, b, "--json", *words)[1])


@pytest.fixture
def runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runs:
    return Runs(tmp_path, capsys)


BEFORE = [
    *(ok(f"same{n}", score=0.5, client_ms=10 * n, predict_ms=1.0) for n in range(1, 6)),
    ok("new dog 1", "cat"),
    ok("new dog 2", "cat"),
    ok("new cat", "dog"),
    ok("came", "cat"),
    ok("lost", "cat"),
    failed("went", "unavailable"),
    failed("never", "invalid_image"),
    ok("only a"),
]
NOW = [
    failed("never", "image_too_large"),
    *(ok(f"same{n}", score=0.5 + (n - 2) / 10, client_ms=100 * n, request_id=f"n{n}") for n in range(1, 6)),
    ok("new dog 1", "dog"),
    ok("new dog 2", "dog"),
    ok("new cat", "cat"),
    failed("came", "expired"),
    failed("lost"),
    ok("went", "cat"),
    ok("only b 1"),
    ok("only b 2"),
]


def test_figures_of_two_runs(runs: Runs) -> None:
    found = runs.figures(BEFORE, NOW)
    assert found["images"] == {"both": 12, "only_a": 1, "only_b": 2}
    assert found["labels"]["equal"] == 5 and found["labels"]["changed"] == 3
    assert found["labels"]["equal_share"] == 5 / 8
    assert found["labels"]["changes"] == [
        {"from": "cat", "to": "dog", "images": 2},
        {"from": "dog", "to": "cat", "images": 1},
    ]
    assert found["errors"] == {"came": {"expired": 1, "missing": 1}, "went": {"unavailable": 1}, "both": 1}
    change = found["score_change"]
    assert change["mean"] == pytest.approx(0.1) and change["mean_absolute"] == pytest.approx(0.7 / 5)
    assert change["largest"] == pytest.approx(0.3) and change["file"] == "same5"
    assert found["a"]["median_ms"] == {"client": 30, "predict": 1} and found["b"]["median_ms"]["client"] == 300
    assert found["b"]["median_ms"]["predict"] is None and found["accuracy"] is None


def test_the_other_order_turns_every_figure_round(runs: Runs) -> None:
    there, back = runs.figures(BEFORE, NOW), runs.figures(NOW, BEFORE)
    assert (there["errors"]["came"], there["errors"]["went"]) == (back["errors"]["went"], back["errors"]["came"])
    turned = [{"from": each["to"], "to": each["from"], "images": each["images"]} for each in back["labels"]["changes"]]
    assert there["labels"]["changes"] == turned
    assert there["images"]["only_a"] == back["images"]["only_b"]
    assert there["score_change"]["mean_absolute"] == pytest.approx(back["score_change"]["mean_absolute"])


def test_the_figures_as_text(runs: Runs) -> None:
    code, out, err = runs.compare(BEFORE, NOW)
    assert code == 1 and err == ""
    for line in (
        "12 images are in both, 1 only in A, 2 only in B",
        "62.50% equal labels: 5 of 8 images with predictions in both",
        "        2  cat -> dog",
        "score of equal labels: +0.1000 on average, 0.1400 without regard to the sign",
        "  the largest, +0.3000, is that of same5",
        "2 with predictions only in A; in B: expired 1, missing 1",
        "1 with predictions only in B; in A: unavailable 1",
        "1 without predictions in both",
        "median client_ms: A 30.0 ms, B 300.0 ms",
        "median predict_ms: A 1.0 ms, B -",
    ):
        assert line in out.splitlines(), line


def test_ten_changes_are_listed_and_the_others_counted(runs: Runs) -> None:
    before = [ok(str(n), f"from{n:02}") for n in range(13)] + [ok("x", "from12")]
    out = runs.compare(before, [ok(record.file, "to") for record in before])[1]
    listed = [line for line in out.splitlines() if "->" in line]
    assert listed[0] == "        2  from12 -> to" and len(listed) == 10
    assert "  and 3 other changes; --json lists all" in out.splitlines()


@pytest.mark.parametrize(
    ("now", "code"),
    [
        ([ok("1", score=0.9), ok("2", "dog"), failed("3", "expired")], 0),
        ([ok("2", "dog"), failed("3", "unavailable"), ok("1", request_id="other", model_digest="sha256:n")], 0),
        ([ok("1"), ok("2"), failed("3", "expired")], 1),
        ([ok("1"), failed("2", "expired"), failed("3", "expired")], 1),
        ([ok("1"), ok("2", "dog"), ok("3")], 1),
        ([ok("1"), ok("2", "dog")], 1),
        ([ok("1"), ok("2", "dog"), failed("3", "expired"), ok("4")], 1),
    ],
)
def test_the_exit_code_says_whether_all_labels_are_equal(now: list[Record], code: int, runs: Runs) -> None:
    assert runs.compare([ok("1"), ok("2", "dog"), failed("3", "expired")], now)[0] == code


def test_rows_without_a_common_file_are_matched_by_request_id(runs: Runs) -> None:
    before = [ok("photos/1.png", request_id="one"), ok("", "cat", request_id="two"), ok("3.png", request_id="three")]
    now = [ok("1.png", "dog", request_id="one"), ok("", "dog", request_id="two"), ok("3.png", request_id="one b")]
    found = runs.figures(before, now)
    assert found["images"] == {"both": 3, "only_a": 0, "only_b": 0} and found["labels"]["changed"] == 2


def test_a_later_attempt_replaces_an_error(runs: Runs) -> None:
    attempts = [failed("1", "unavailable", request_id="a"), ok("1", request_id="b"), failed("1", request_id="c")]
    assert runs.compare(attempts, [ok("1")])[0] == 0 == runs.compare([ok("1")], attempts)[0]


@pytest.mark.parametrize("twice", ["a.jsonl", "b.csv"])
def test_two_predictions_for_an_image_are_refused(twice: str, runs: Runs) -> None:
    several = [ok("1", request_id="a"), ok("1", "dog", request_id="b")]
    code, out, err = runs.compare(*((several, [ok("1")]) if twice == "a.jsonl" else ([ok("1")], several)))
    assert code == 2 and out == "" and err.count("\n") == 1
    assert f"1 has several rows with predictions in {runs._folder / twice}; give the results of one run" in err


def test_a_repeated_response_counts_once(runs: Runs) -> None:
    code, _, err = runs.compare([ok("1"), ok("1")], [ok("1")])
    assert code == 0 and "1 rows repeat a request id" in err


def test_runs_without_a_common_image_are_refused(runs: Runs) -> None:
    code, out, err = runs.compare([ok("1")], [ok("2")])
    assert code == 2 and out == "" and "have no file and no request id in common" in err


def test_no_text_of_a_row_reaches_the_terminal_unescaped(runs: Runs) -> None:
    before = [ok(EVIL, EVIL, model_name=EVIL), ok("2", EVIL, 0.1), failed("3", EVIL), ok("4")]
    now = [ok(EVIL, "cat"), ok("2", EVIL, 0.2, model_name=EVIL), ok("3", EVIL), failed("4", EVIL)]
    out = runs.compare(before, now)[1]
    assert all(line.isprintable() for line in out.splitlines()) and "\\x1b" in out


class TestLabels:
    """With true labels."""

    RIGHT = ("a cat", "b cat", "only a", "only b", "neither")

    @pytest.fixture
    def labels(self, tmp_path: Path) -> str:
        listed = tmp_path / "labels.csv"
        listed.write_text("file,label\n" + "".join(f"{name}.png,cat\n" for name in (*self.RIGHT, "lost")))
        return str(listed)

    def test_which_run_is_right(self, labels: str, runs: Runs) -> None:
        before = [ok(f"{name}.png", "dog" if name in ("only b", "neither") else "cat") for name in self.RIGHT]
        now = [ok(f"{name}.png", "dog" if name in ("only a", "neither") else "cat") for name in self.RIGHT]
        now[2] = ok("only a.png", "dog")
        now += [failed("lost.png", "expired"), ok("unlabelled.png")]
        before += [ok("lost.png"), ok("unlabelled.png")]
        found = runs.figures(before, now, "--labels", labels)["accuracy"]
        assert found == {
            "images": 5,
            "a": 3 / 5,
            "b": 3 / 5,
            "both_right": 2,
            "only_a_right": 1,
            "only_b_right": 1,
            "neither_right": 1,
            "unmeasured": 1,
        }
        code, out, err = runs.compare(before, now, "--labels", labels)
        assert code == 1 and "1 labelled images have no predictions in both files and are not measured" in err
        assert "accuracy on 5 labelled images: A 60.00%, B 60.00%" in out.splitlines()
        assert "  right: both 2, only A 1, only B 1, neither 1" in out.splitlines()

    def test_accuracy_is_that_of_evaluate(self, labels: str, runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
        before = [ok(f"{name}.png", "dog" if name == "neither" else "cat") for name in (*self.RIGHT, "lost")]
        now = [ok(record.file, "dog") for record in before]
        found = runs.figures(before, now, "--labels", labels)["accuracy"]
        for side, records in (("a", before), ("b", now)):
            main(["evaluate", runs.write(f"{side}.jsonl", records), "--labels", labels, "--json"], {})
            assert json.loads(capsys.readouterr().out)["accuracy"] == found[side]

    def test_a_true_label_that_no_model_has_is_named(self, labels: str, runs: Runs) -> None:
        err = runs.compare([ok("a cat.png", "Cat")], [ok("a cat.png", "Cat")], "--labels", labels)[2]
        assert "cat is never predicted; is it a label of the models?" in err

    def test_labels_of_other_images_are_refused(self, labels: str, runs: Runs) -> None:
        code, out, err = runs.compare([ok("x.png")], [ok("x.png")], "--labels", labels)
        assert code == 2 and out == "" and "none of the 6 labelled files has predictions in both files" in err

    def test_two_rows_of_one_labelled_file_are_refused(self, labels: str, runs: Runs) -> None:
        names = ("a cat.png", str(runs._folder / "a cat.png"))
        code, _, err = runs.compare([ok(name) for name in names], [ok(name) for name in names], "--labels", labels)
        assert code == 2 and "a cat.png has several rows with predictions" in err
