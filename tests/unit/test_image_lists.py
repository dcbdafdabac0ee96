"""Lists of images: lines, NUL-separated names, CSV, results files; wrong rows are named with their line."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from client.gcp import UsageError
from client.images import ImageFile, StoredImage
from client.results.record import Record
from client.results.result_files import open_writer
from client.sources.selection import Selection
from client.sources.source import Source
from functions.messages.contract import ID_LIMIT, ObjectRef

ODD = [b"a.jpg", b" space .jpg", "é.jpg".encode(), b"\xff.jpg", b"#x.jpg", b"[1]*.jpg", b"=x.jpg"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [*ODD, b"line\nbreak.jpg", b"a,b.jpg", b"1.jpg"]:
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "1.jpg").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(
    content: bytes, name: str = "list.txt", column: str = "", id_column: str = "", paths: tuple[str, ...] = ()
) -> Source:
    Path(name).write_bytes(content)
    return Source(Selection(paths, [name], column, id_column), lambda bucket, prefix: ())


def sent(source: Source) -> list[bytes]:
    return [os.fsencode(image.location) for image in source.images()]


def refusal(content: bytes, name: str = "list.csv", column: str = "", id_column: str = "") -> str:
    with pytest.raises(UsageError) as refused:
        listed(content, name, column, id_column)
    assert len(str(refused.value)) <= 300 and str(refused.value).isprintable()
    return str(refused.value)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [True, False])
def test_each_line_is_a_literal_path(end: bytes, mark: bytes, last: bool) -> None:
    source = listed(mark + end.join([ODD[0], b"", b"  ", *ODD[1:]]) + (end if last else b""))
    assert sent(source) == ODD and not source.problems


def test_names_with_line_breaks_come_between_nul() -> None:
    source = listed(b"\0".join([b"./a.jpg", b"line\nbreak.jpg", b"\xff.jpg", b"nope\n.jpg"]) + b"\0")
    assert sent(source) == [b"a.jpg", b"line\nbreak.jpg", b"\xff.jpg"]
    assert source.problems == [r"list.txt entry 4: no file is at nope\n.jpg; an entry is one image file or one object"]


def test_stdin_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.jpg\nnope\n")))
    source = Source(Selection([], ["-"]), lambda bucket, prefix: ())
    assert sent(source) == [b"a.jpg"] and source.problems[0].startswith("- line 2: no file is at nope;")


@pytest.mark.parametrize(
    "path", ["x" * 5000, "x" * 5000 + ".zip/a.jpg", "a\x01b", "a.jpg/b.jpg", "gs://photos/" + "x" * 2000]
)
def test_a_path_that_cannot_exist_is_a_problem(path: str) -> None:
    source = listed(f"file,x\n{path},\na.jpg,\n".encode(), "list.csv", paths=(path,))
    assert sent(source) == [b"a.jpg"] and len(source.problems) == 2
    assert all(problem.isprintable() and len(problem) <= 300 for problem in source.problems)


def test_a_long_name_of_a_list_does_not_hide_the_line() -> None:
    name = "n" * 240 + ".csv"
    assert "n.csv line 2 has 3 cells; the header has 2" in refusal(b"x,file\n1,a.jpg,3\n", name)
    assert refusal(b"id,file\n1,a\n1,b\n", name, id_column="id").count("n.csv line ") == 2
    assert "n.csv line 2: request_id is 300 bytes" in refusal(b"id,file\n" + b"1" * 300 + b",a\n", name, id_column="id")


def test_a_closed_stdin_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="--from - reads stdin, which is closed"):
        Source(Selection([], ["-"]), lambda bucket, prefix: ())


def test_objects_are_named_by_their_address() -> None:
    source = listed(b"gs://photos/a b/*.jpg\ngs://photos/x.jpg#12\ngs://photos/x\ngs://photos/x.jpg#12\n")
    assert list(source.images()) == [
        StoredImage(ObjectRef("photos", "a b/*.jpg"), "*.jpg"),
        StoredImage(ObjectRef("photos", "x.jpg", 12), "x.jpg"),
        StoredImage(ObjectRef("photos", "x"), "x"),
    ]
    assert source.left_out == {"repeated": 1} and not source.is_listing


def test_lines_that_name_no_image_are_problems_with_their_line(folder: Path) -> None:
    (folder / "x.zip").write_bytes(b"PK")
    os.mkfifo("pipe")
    lines = [
        b"nope.jpg",
        b"sub",
        b"gs://NO/x",
        b"gs://photos/",
        b"x.zip",
        b"*.jpg",
        b"pipe",
        b"gs://photos/\xff",
        b"a.jpg",
    ]
    source = listed(b"\n".join(lines))
    assert sent(source) == [b"a.jpg"]
    expected = [
        "no file is at nope.jpg",
        "sub is a folder",
        "image_uri is 'gs://NO/x'",
        "image_uri is 'gs://photos/'",
        "x.zip is an archive",
        "no file is at *.jpg",
        "no file is at pipe",
        r"gs://photos/\udcff is not UTF-8",
    ]
    for number, (problem, why) in enumerate(zip(source.problems, expected, strict=True), 1):
        assert problem.startswith(f"list.txt line {number}: {why}")


def test_paths_and_lists_are_sent_once() -> None:
    source = listed(b"1.jpg\nsub/1.jpg\n./1.jpg\n", paths=("sub",))
    assert [(image.location, image.name) for image in source.images()] == [("sub/1.jpg", "1.jpg"), ("1.jpg", "2-1.jpg")]
    assert source.left_out["repeated"] == 2


@pytest.mark.parametrize("name", ["nope.txt", "sub", "nope.csv"])
def test_a_list_that_cannot_be_read_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} cannot be read"):
        Source(Selection([], [name]), lambda bucket, prefix: ())


def test_utf_16_is_refused() -> None:
    assert "is UTF-16 text; save it as UTF-8" in refusal("a.jpg\n".encode("utf-16"), "list.txt")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_names_files_in_a_column(delimiter: str, mark: bytes, end: str) -> None:
    rows = [
        ["no", "the file", "note"],
        ["1", "a.jpg", '"x\ny"'],
        ["2", '"line\nbreak.jpg"', '""""'],
        [],
        ["3", '"a,b.jpg"', ""],
    ]
    source = listed(mark + end.join(map(delimiter.join, rows)).encode(), column="the file")
    assert sent(source) == [b"a.jpg", b"line\nbreak.jpg", b"a,b.jpg"] and not source.problems


@pytest.mark.parametrize(
    "content", [b"file\na.jpg\n", b"file;x\na.jpg;1\n", b'"file";"a,b"\na.jpg;1\n', b"\n\nfile,x\na.jpg,\n"]
)
def test_the_column_file_needs_no_option(content: bytes) -> None:
    assert sent(listed(content, "LIST.CSV")) == [b"a.jpg"]


def test_rows_without_a_file_are_problems_with_the_line_where_they_begin() -> None:
    source = listed(b'file,note\n"nope\n.jpg",1\na.jpg,"\n\n"\n,2\n', "list.csv")
    assert sent(source) == [b"a.jpg"]
    assert [problem.partition(";")[0] for problem in source.problems] == [
        r"list.csv line 2: no file is at nope\n.jpg",
        "list.csv line 7: the path is empty",
    ]


@pytest.mark.parametrize(
    ("content", "column", "why"),
    [
        (b"path,label\na.jpg,x\n", "", "list.csv has no column 'file'; --column must name one of: path, label"),
        (b"path,label\na.jpg,x\n", "Path", "list.csv has no column 'Path'; --column must name one of: path, label"),
        (b"file,file\na.jpg,x\n", "", "list.csv has two columns 'file'; --column must name one of: file"),
        (b"file,x\na.jpg,1\na.jpg\n", "", "list.csv line 3 has 1 cells; the header has 2"),
        (b'file,x\n"a\n.jpg",1\na.jpg,1,2\n', "", "list.csv line 4 has 3 cells; the header has 2"),
        (b"file\na,b.jpg\n", "", "list.csv line 2 has 2 cells; the header has 1"),
        (b'file,x\na.jpg,1\n"a.jpg,2\n', "", "list.csv line 3 is no row of a CSV: unexpected end of data"),
        (b'file,x\n"a.jpg"y,2\n', "", "list.csv line 2 is no row of a CSV"),
        (b"path,a;label\nx,y\n", "", "commas, semicolons or tabs may separate the header 'path,a;label'"),
        (b"", "", "list.csv has no column 'file'"),
    ],
)
def test_a_csv_that_is_not_understood_is_refused(content: bytes, column: str, why: str) -> None:
    assert refusal(content, column=column).startswith(why) or why in refusal(content, column=column)


def test_ids_come_from_a_column() -> None:
    content = "key;file\né-1;a.jpg\n 2 ;a.jpg\n3;gs://photos/x\n".encode()
    source = listed(content, "list.txt", id_column="key")
    assert list(source.images()) == [
        ImageFile(Path("a.jpg"), "a.jpg", "é-1"),
        ImageFile(Path("a.jpg"), "2-a.jpg", " 2 "),  # another request about the same file
        StoredImage(ObjectRef("photos", "x"), "x", "3"),
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"id,file\n1,a.jpg\n2,nope\n1,1.jpg\n", "line 2 and list.csv line 4 have the request id '1'"),
        (b"id,file\n1,a.jpg\n1,a.jpg\n", "line 2 and list.csv line 3 have the request id '1'"),
        (b"id,file\n,a.jpg\n", "line 2: the request id is empty"),
        (b"id,file\n\xff,a.jpg\n", r"line 2: the request id is '\udcff', which is not UTF-8"),
        (
            b"id,file\n" + b"x" * (ID_LIMIT + 1) + b",a.jpg\n",
            "line 2: request_id is 257 bytes; at most 256 are allowed: 'xxx",
        ),
        (b"file\na.jpg\n", "list.csv has no column 'id'; --id-column must name one of: file"),
    ],
)
def test_wrong_ids_are_refused_before_the_first_image(content: bytes, why: str) -> None:
    assert why in refusal(content, id_column="id")


def test_an_id_in_two_lists_is_refused() -> None:
    for name in ("x.csv", "y.csv"):
        Path(name).write_bytes(b"id,file\n7,a.jpg\n")
    with pytest.raises(UsageError, match=r"x\.csv line 2 and y.csv line 2 have the request id '7'"):
        Source(Selection([], ["x.csv", "y.csv"], id_column="id"), lambda bucket, prefix: ())


def test_a_list_that_is_named_twice_counts_once() -> None:
    Path("x.csv").write_bytes(b"id,file\n7,a.jpg\n")
    source = Source(Selection([], ["x.csv", "x.csv"], id_column="id"), lambda bucket, prefix: ())
    assert sent(source) == [b"a.jpg"] and not source.left_out


def test_the_longest_id_is_accepted() -> None:
    [image] = listed(b"id,file\n" + "é".encode() * 128 + b",a.jpg\n", "list.csv", id_column="id").images()
    assert len(image.request_id.encode()) == ID_LIMIT


@pytest.mark.parametrize("name", ["run.csv", "run.jsonl", "run.sqlite"])
def test_results_files_are_lists(name: str) -> None:
    writer = open_writer(Path(name), lambda text: None)
    for number, file in enumerate(["a.jpg", "=x.jpg", "nope", "gs://photos/x#3"]):
        writer.write(Record(file=file, request_id=f"r{number}", status="missing"))
    writer.close()
    source = Source(Selection([], [name], id_column="request_id"), lambda bucket, prefix: ())
    assert [(image.location, image.request_id) for image in source.images()] == [
        ("a.jpg", "r0"),
        ("=x.jpg", "r1"),
        ("gs://photos/x", "r3"),
    ]
    assert [problem.partition(":")[0] for problem in source.problems] == [f"{name} row 3"]
    with pytest.raises(UsageError, match="has no column 'path'; --column must name one of: file, request_id"):
        Source(Selection([], [name], "path"), lambda bucket, prefix: ())


def test_an_incomplete_row_of_a_results_file_is_a_problem() -> None:
    writer = open_writer(Path("run.csv"), lambda text: None)
    writer.write(Record(file="a.jpg", request_id="1", status="missing"))
    writer.close()
    with Path("run.csv").open("ab") as file:
        file.write(b"1.jpg,2,mis")
    source = Source(Selection([], ["run.csv"]), lambda bucket, prefix: ())
    assert sent(source) == [b"a.jpg"] and source.problems == ["run.csv: the last row is incomplete and was left out"]


def test_a_results_file_may_grow_while_its_images_are_sent() -> None:
    writer = open_writer(Path("run.csv"), lambda text: None)
    writer.write(Record(file="a.jpg", request_id="1", status="missing"))
    for _ in Source(Selection([], ["run.csv"]), lambda bucket, prefix: ()).images():
        writer.write(Record(file="1.jpg", request_id="2"))
    writer.close()
    assert Path("run.csv").read_bytes().count(b"1.jpg") == 1
