"""The command compare with a verdict: which models are compared, what is refused, the output and the exit codes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from client.__main__ import main
from client.results.record import Record
from functions.messages.comparison import Comparison, encode_comparison
from functions.messages.contract import Error, Model, Response, Timing
from model.labels import Prediction
from model.registry.registry import Registry
from model.registry.verdicts import find_verdict
from tests.registry_models import push, set_alias
from tests.unit.test_compare import EVIL, Runs, failed, ok

LABELS = ("cat", "dog", "fox", "owl")
DIGESTS = {version: f"sha256:{character * 64}" for version, character in zip("1234", "abcd", strict=True)}


@pytest.fixture
def runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Runs:
    return Runs(tmp_path, capsys)


def side(version: str, count: int = 400, changed: int = 0, first: int = 0, **more: Any) -> list[Record]:
    """Rows of a model; of the first `changed` images it says something else than the other versions."""
    values: dict[str, Any] = {"model_version": version, "model_digest": DIGESTS[version], "predict_ms": 2.0} | more
    return [
        ok(
            f"{number}.png",
            LABELS[(number + (number - first < changed)) % 4],
            request_id=f"{version}-{number}",
            **values,
        )
        for number in range(first, first + count)
    ]


def test_two_files_that_agree_may_be_promoted(runs: Runs) -> None:
    code, out, err = runs.compare(side("1"), side("2", changed=4), "--verdict")
    assert code == 0 and err == ""
    lines = out.splitlines()
    assert lines[0] == "stable: m 1 (sha256:aaaaaaaaaaaa): 400 requests"
    assert "two results files: 400 requests to both models" in lines
    assert "equal labels: 99.00% (97.46% to 99.61%): 396 of 400" in lines
    assert "verdict: no worse" in lines and all(len(line) <= 80 for line in lines)


def test_large_ratios_fit_80_columns(runs: Runs) -> None:
    slow = [replace(row, predict_ms=round(8 + number / 8, 2)) for number, row in enumerate(side("2"))]
    fast = [replace(row, predict_ms=round(0.2 + number / 4000, 2)) for number, row in enumerate(side("1"))]
    _, out, _ = runs.compare(fast, slow, "--verdict")
    [line] = [line for line in out.splitlines() if line.startswith("p50 predict")]
    assert line.endswith(")") and re.search(r" [\d,]+ \([\d,]+ to [\d,]+\)$", line)
    assert max(map(len, out.splitlines())) <= 80


def test_images_that_cannot_be_compared_are_counted(runs: Runs) -> None:
    unsent = [replace(row, status="failed", label="", predictions=()) for row in side("1", 3, first=400)]
    _, out, err = runs.compare([*side("1"), *unsent], side("2", 410), "--verdict")
    assert "two results files: 400 requests to both models" in out and "errors: stable 0.00%, candidate 0.00%" in out
    assert "7 images are in" in err and "3 images were not sent, or without waiting for a response" in err


@pytest.mark.parametrize(
    ("changed", "count", "words", "verdict", "code"),
    [
        (100, 400, [], "worse", 3),
        (100, 400, ["--max-disagreement", "0.5"], "no worse", 0),
        (18, 400, [], "not enough data", 3),
        (0, 100, [], "not enough data", 3),
        (0, 100, ["--min-images", "100", "--max-error-increase", "0.1"], "no worse", 0),
    ],
)
def test_verdicts_and_exit_codes(
    changed: int, count: int, words: list[str], verdict: str, code: int, runs: Runs
) -> None:
    files = side("1", count), side("2", count, changed)
    assert runs.compare(*files, "--verdict", *words)[0] == code
    found = runs.figures(*files, "--verdict", *words)
    assert found["verdict"] == verdict
    assert found["agreement"]["equal"] == count - changed and found["agreement"]["of"] == count
    assert bool(found["more_requests"]) == (verdict == "not enough data")


def test_true_labels_decide_which_model_is_better(runs: Runs, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\n" + "".join(f"{number}.png,{LABELS[number % 4]}\n" for number in range(400)))
    words = "--verdict", "--labels", str(labels)
    better = runs.figures(side("1", changed=40), side("2"), *words)
    assert better["verdict"] == "better" and better["thresholds"]["max_disagreement"] is None
    assert better["accuracy"]["difference"]["value"] == pytest.approx(0.1) and better["accuracy"]["mcnemar_p"] < 1e-9
    assert runs.figures(side("1"), side("2", changed=40), *words)["verdict"] == "worse"
    assert runs.figures(side("1"), side("2", changed=40), *words, "--margin", "0.2")["verdict"] == "no worse"


def test_errors_and_times_are_limited(runs: Runs) -> None:
    lost: dict[str, Any] = {"status": "error", "error_code": "invalid_image", "label": "", "predictions": ()}
    broken = [replace(row, **lost) for row in side("2", 40)]
    found = runs.figures(side("1"), broken + side("2", 360, first=40), "--verdict")
    assert found["verdict"] == "worse" and found["errors"]["candidate"]["value"] == 0.1
    slow = runs.figures(side("1"), side("2", predict_ms=4.0), "--verdict")
    assert slow["verdict"] == "worse" and slow["latency"][1]["ratio"]["value"] == pytest.approx(2.0)
    assert runs.figures(side("1"), side("2", predict_ms=4.0), "--verdict", "--max-latency-ratio", "3")["verdict"] == (
        "no worse"
    )


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        (side("1", 9), side("1", 9), "both files are of m 1"),
        (side("1", 9) + side("3", 9, first=9), side("2", 18), "a.jsonl has responses of 2 models"),
        (side("1", 9), side("2", 9, first=9), "no file and no request id in common; use --canary"),
        ([failed("1.png")], [failed("1.png")], "a.jsonl has responses of 0 models"),
    ],
)
def test_files_without_two_models_are_refused(a: list[Record], b: list[Record], why: str, runs: Runs) -> None:
    code, out, err = runs.compare(a, b, "--verdict")
    assert (code, out) == (2, "") and why in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--margin", "0.1"], "--margin: needs"),
        (["--verdict", "--margin", "0.1"], "--margin: needs --labels"),
        (["--max-disagreement", "0.1", "--save"], "--max-disagreement, --save: needs --verdict"),
        (["--verdict", "--images", "5"], "--images: needs --shadow"),
        (["--verdict", "--save"], "--save: give --registry ADDRESS, or set REGISTRY"),
        (["--shadow", "--canary", "m"], "--shadow and --canary are two comparisons"),
        (["--verdict", "--stable", "3"], "--stable is 3, and its file is of m 1"),
        (["--verdict", "--max-disagreement", "1.1"], "1.1 is not a share from 0 to 1"),
        (["--verdict", "--max-latency-ratio", "0"], "0 is not a number from 0.1 to 100"),
        (["--verdict", "--min-images", "0"], "0 is not a whole number from 1 up"),
        (["--shadow", "--for", "10"], "'10' is no period"),
        (["--shadow", "--output", "x.jsonl"], "nothing is received, because a file is named"),
        (["--canary", "M@x"], "--canary: the model is 'M'"),
    ],
)
def test_options_without_a_meaning_are_refused(words: list[str], why: str, runs: Runs) -> None:
    code, out, err = runs.compare(side("1", 9), side("2", 9), *words)
    assert (code, out) == (2, "") and why in err


class TestCanary:
    """Rows of one run, which are split by digest."""

    def compare(self, runs: Runs, rows: list[Record], *words: str) -> tuple[int, str, str]:
        code = main(["compare", "--canary", "m", runs.write("run.jsonl", rows), *words], {})
        said = runs._capsys.readouterr()
        return code, said.out, said.err

    NAMED = ("--stable", "1", "--candidate", "b" * 12)

    def test_shares_of_labels_are_compared(self, runs: Runs) -> None:
        rows = side("1", 8_000) + side("2", 4_000, first=8_000)
        code, out, err = self.compare(runs, rows, *self.NAMED)
        assert code == 0 and err == ""
        assert "a canary: 8,000 requests to stable and 4,000 others to the candidate" in out
        assert "verdict: no worse" in out and "share of cat" in out
        moved = [*side("1", 8_000), *(replace(row, label="cat") for row in side("2", 4_000, first=8_000))]
        code, out, _ = self.compare(runs, moved, *self.NAMED, "--json")
        found = json.loads(out)
        assert code == 3 and found["verdict"] == "worse" and found["agreement"] is None
        assert found["labels"][0]["label"] == "cat" and found["labels"][0]["p"] < 1e-9

    def test_a_true_label_that_no_model_predicts_is_named(self, runs: Runs, tmp_path: Path) -> None:
        labels = tmp_path / "labels.csv"
        true = ["top" if number % 4 == 0 else LABELS[number % 4] for number in range(400)]
        labels.write_text("file,label\n" + "".join(f"{number}.png,{label}\n" for number, label in enumerate(true)))
        rows = side("1", 200) + side("2", 200, first=200)
        _, _, err = self.compare(runs, rows, *self.NAMED, "--labels", str(labels))
        assert err == "top is never predicted; is it a label of the models?\n"

    def test_a_repeated_response_counts_once(self, runs: Runs) -> None:
        rows = side("1", 300) + side("2", 300, first=300)
        found = json.loads(self.compare(runs, rows + rows, *self.NAMED, "--json")[1])
        assert found["stable"]["requests"] == found["candidate"]["requests"] == 300

    def test_a_third_model_is_left_out_and_named(self, runs: Runs) -> None:
        rows = (
            side("1", 300) + side("2", 300, first=300) + side("3", 7, first=600) + side("4", 2, 0, 700, model_name="n")
        )
        code, _, err = self.compare(runs, rows, *self.NAMED)
        assert code == 3 and "7 rows of other versions of m are left out" in err and "2 rows of other models" in err

    def test_which_model_is_stable_is_not_guessed(self, runs: Runs) -> None:
        rows = side("1", 30) + side("2", 3, first=30)
        code, out, err = self.compare(runs, rows)
        assert (code, out) == (2, "") and "give --registry ADDRESS, or --stable and --candidate" in err
        assert "m 1 (sha256:aaaaaaaaaaaa): 30" in err

    @pytest.mark.parametrize(
        ("candidate", "why"),
        [
            ("9", "no response of the results is of the candidate 9; the results have m 1 (sha256:aaaaaaaaaaaa): 30"),
            ("aaaaaaa", "no response of the results is of the candidate aaaaaaa;"),
            ("1", "stable model and candidate both are m 1"),
            ("2", "the candidate 2 may be 2 models of the results; give more of its digest"),
        ],
    )
    def test_two_models_must_be_there(self, candidate: str, why: str, runs: Runs) -> None:
        rows = side("1", 30) + side("2", 3, first=30) + side("2", 3, first=33, model_digest=DIGESTS["4"])
        code, out, err = self.compare(runs, rows, "--stable", "1", "--candidate", candidate)
        assert (code, out) == (2, "") and why in err

    def test_the_registry_says_which_model_is_stable(self, runs: Runs, tmp_path: Path) -> None:
        registry = Registry.at(str(tmp_path / "registry"))
        stable, candidate = push(registry, tmp_path, "1.0.0", "1.1.0", name="m")
        set_alias(registry, stable, name="m")
        words = "--registry", registry.address, "--save"
        rows = [
            *side("1", 300, model_digest=stable.digest, model_version="1.0.0"),
            *side("2", 300, first=300, model_digest=candidate.digest, model_version="1.1.0"),
        ]
        code, out, err = self.compare(runs, rows, *words)
        assert (code, out) == (2, "") and "has no alias candidate; it has stable" in err
        set_alias(registry, candidate, "candidate", name="m")
        code, _, err = self.compare(runs, rows, *words)
        found = find_verdict(registry, "m", stable, candidate)
        assert code == 3 and found and found.verdict == "not enough data" and "saved: " in err
        assert found.counts == {"stable": 300, "candidate": 300} and found.thresholds["max_error_increase"] == 0.02
        assert found.compared == "a canary: 300 requests to stable and 300 others to the candidate"
        unknown = [replace(row, model_digest=DIGESTS["2"]) if row.model_version == "1.1.0" else row for row in rows]
        code, out, err = self.compare(runs, unknown, *words, "--candidate", "1.1.0")
        assert code == 1 and "verdict: " in out and "the verdict is not saved: m 1.1.0 in " in err

    def test_labels_of_a_multi_label_model_are_compared_one_by_one(self, runs: Runs) -> None:
        both: dict[str, Any] = {
            "labels": ("cat", "dog"),
            "predictions": (Prediction("cat", 0.9), Prediction("dog", 0.8)),
        }
        rows = [replace(row, **both) for row in side("1", 900) + side("2", 900, first=900)]
        rows[1200:] = [replace(row, labels=("cat",)) for row in rows[1200:]]
        found = json.loads(self.compare(runs, rows, *self.NAMED, "--json")[1])
        shares = {each["label"]: each["difference"]["value"] for each in found["labels"]}
        assert shares == {"cat": 0, "dog": pytest.approx(-2 / 3)} and found["verdict"] == "worse"

    def test_requests_without_a_model_leave_the_verdict_open(self, runs: Runs) -> None:
        rows = side("1", 8_000) + side("2", 4_000, first=8_000) + [failed(f"lost{n}") for n in range(200)]
        code, out, err = self.compare(runs, rows, *self.NAMED)
        assert code == 3 and "verdict: not enough data" in out
        assert "200 requests without a response or with an error name no model" in err


def response(version: str, label: str, request_id: str) -> Response:
    return Response(
        request_id,
        (Prediction(label, 0.9), Prediction("other", 0.1)),
        model=Model("m", version, DIGESTS[version], "litert"),
        timing_ms=Timing(predict=2.0),
    )


def comparison(
    number: int, served: str = "1", shadow: str = "2", label: str = "cat", alias: str = "next"
) -> Comparison:
    request_id = f"r{number}"
    return Comparison(request_id, alias, response(served, "cat", request_id), response(shadow, label, request_id))


class TestShadow:
    """Saved comparisons of a shadow."""

    def compare(self, runs: Runs, comparisons: list[Comparison], *words: str, end: bytes = b"") -> tuple[int, str, str]:
        path = runs._folder / "saved.jsonl"
        path.write_bytes(b"".join(encode_comparison(each) + b"\n" for each in comparisons) + end)
        code = main(["compare", "--shadow", str(path), *words], {})
        said = runs._capsys.readouterr()
        return code, said.out, said.err

    def test_the_same_requests_are_compared(self, runs: Runs) -> None:
        code, out, err = self.compare(runs, [comparison(n, label="dog" if n < 2 else "cat") for n in range(300)])
        assert code == 0 and err == "" and "a shadow: 300 requests to both models" in out
        assert "        2  cat -> dog" in out.splitlines() and "verdict: no worse" in out
        assert "p95 predict" in out and "p95 total" not in out and "--max-latency-ratio" not in out

    def test_an_error_of_the_shadow_counts(self, runs: Runs) -> None:
        wrong = [
            replace(each, shadow=replace(each.shadow, predictions=(), error=Error("invalid_image", "no")))
            for each in map(comparison, range(30))
        ]
        code, out, _ = self.compare(runs, wrong + [comparison(n) for n in range(30, 300)])
        assert code == 3 and "beyond: errors +10.00%" in out

    def test_a_repeated_comparison_counts_once(self, runs: Runs) -> None:
        twice = [comparison(n) for n in range(300)] * 2
        _, out, err = self.compare(runs, twice)
        assert "300 requests to both models" in out and "300 comparisons repeat a request" in err

    def test_requests_that_the_shadows_own_model_served_are_left_out(self, runs: Runs) -> None:
        _, out, err = self.compare(runs, [*map(comparison, range(300)), *(comparison(n, "2") for n in range(300, 310))])
        assert "300 requests to both models" in out and "10 requests were served by the shadow's own model" in err

    def test_several_pairs_of_models_need_a_choice(self, runs: Runs) -> None:
        mixed = [*map(comparison, range(250)), *(comparison(n, "1", "3", alias="last") for n in range(250, 260))]
        code, out, err = self.compare(runs, mixed)
        assert (code, out) == (2, "") and "2 pairs of models fit" in err and "m 1 (sha256:aaaaaaaaaaaa) with m 3" in err
        for words in (["--candidate", "2"], ["--only", "m@next"]):
            assert "250 requests to both models" in self.compare(runs, mixed, *words)[1]
        code, _, err = self.compare(runs, mixed, "--only", "m@gone")
        assert code == 2 and "those read are of m@next: 250, m@last: 10" in err

    def test_a_line_that_was_cut_off_is_left_out(self, runs: Runs) -> None:
        _, out, err = self.compare(runs, [*map(comparison, range(300))], end=b'{"schema_version":1,"req')
        assert "300 requests to both models" in out and "the last line is incomplete and was left out" in err

    @pytest.mark.parametrize("end", [b"no JSON\n", b"{}\n", b"\xff\n", b"[" * 100_000 + b"\n"])
    def test_a_wrong_line_is_named(self, end: bytes, runs: Runs) -> None:
        code, out, err = self.compare(runs, [comparison(0)], end=end)
        assert (code, out) == (2, "") and "saved.jsonl line 2 is no comparison" in err and err.count("\n") == 1

    def test_a_missing_file_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", "--shadow", "gone.jsonl"], {}) == 2
        assert "gone.jsonl cannot be read" in capsys.readouterr().err

    def test_receiving_needs_a_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", "--shadow", "--for", "10m"], {}) == 2
        assert "give --output FILE.jsonl" in capsys.readouterr().err

    def test_no_text_of_a_message_reaches_the_terminal_unescaped(self, runs: Runs) -> None:
        out = self.compare(runs, [comparison(n, label=EVIL) for n in range(300)])[1]
        assert all(line.isprintable() for line in out.splitlines()) and "\\x1b" in out
