"""The frames of videos: which are taken, how they are named and encoded, and videos that are damaged."""

from __future__ import annotations

import io
import sys
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image

from client.gcp import UsageError
from client.sources.video import Cut, Video, clock
from tests.videos import SIZE, brightness, library, write_video

SALT = "0123456789abcdef"


def names(video: Video) -> list[str]:
    return [frame.name for frame in video.images()]


def at(*times: str, video: str = "film.mp4", ending: str = "jpg") -> list[str]:
    return [f"{video}@00:00:{time}.{ending}" for time in times]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Four seconds at 25 frames a second."""
    return write_video(tmp_path / "film.mp4", range(0, 4000, 40))


@pytest.mark.parametrize(
    ("cut", "times"),
    [
        (Cut(1000), ("00.000", "01.000", "02.000", "03.000")),
        (Cut(1500), ("00.000", "01.520", "03.000")),
        (Cut(1000, 500), ("00.520", "01.520", "02.520", "03.520")),
        (Cut(1000, 0, 2000), ("00.000", "01.000")),
        (Cut(10, 0, None, 3), ("00.000", "00.040", "00.080")),
    ],
)
def test_the_first_frame_at_or_after_each_multiple(film: Path, cut: Cut, times: tuple[str, ...]) -> None:
    video = Video(film, cut, SALT)
    assert names(video) == at(*times) and not video.problems
    assert names(Video(film, cut, SALT)) == at(*times)  # also the next time


def test_a_variable_frame_rate(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mkv", [0, 500, 900, 1700, 1800, 5200, 5300, 6000])
    assert names(Video(path, Cut(1000), SALT)) == at("00.000", "01.700", "05.200", "06.000", video="film.mkv")


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mkv", range(10_000, 12_000, 40))
    assert names(Video(path, Cut(1000), SALT)) == at("00.000", "01.000", video="film.mkv")


@pytest.mark.parametrize(("form", "ending", "kind"), [("jpeg", "jpg", "JPEG"), ("png", "png", "PNG")])
def test_a_frame_is_the_image_of_its_time(film: Path, form: str, ending: str, kind: str) -> None:
    for number, frame in enumerate(Video(film, Cut(120, limit=4, form=form), SALT).images()):
        with frame.open() as file, Image.open(file) as image:
            assert (image.format, image.size) == (kind, SIZE)
            red = image.convert("RGB").getpixel((60, 40))
            assert isinstance(red, tuple) and abs(red[0] - brightness(3 * number)) < 8
        assert frame.name.endswith(ending) and frame.size() == len(frame.read())
        assert frame.location == str(film.with_name(frame.name))


def test_request_ids_are_those_of_name_and_time_in_one_job(film: Path) -> None:
    ids = [frame.request_id for frame in Video(film, Cut(1000), SALT).images()]
    assert ids[1] == "film.mp4@00:00:01.000-01234567"
    assert ids == [frame.request_id for frame in Video(film, Cut(1000), SALT).images()]
    assert not {*ids} & {frame.request_id for frame in Video(film, Cut(1000), "other").images()}
    long = film.rename(film.with_name("é" * 100 + ".mp4"))
    assert all(len(frame.request_id.encode()) <= 256 for frame in Video(long, Cut(1000), SALT).images())


def test_a_frame_loses_its_bytes_when_the_next_is_decoded(film: Path) -> None:
    frames = Video(film, Cut(1000), SALT).images()
    first = next(frames)
    assert first.read()
    next(frames)
    with pytest.raises(OSError, match="no longer in memory"):
        first.read()
    tracemalloc.start()
    kept = list(Video(film, Cut(40), SALT).images())
    assert len(kept) == 100 and tracemalloc.get_traced_memory()[0] < 200_000
    tracemalloc.stop()


@pytest.mark.parametrize(("angle", "corner"), [(90, (40, 10)), (180, (55, 40)), (270, (10, 55))])
def test_a_rotated_video_is_sent_as_it_is_shown(film: Path, angle: int, corner: tuple[int, int]) -> None:
    """The display matrix of a phone: clockwise turns, written to the track's header."""
    one = 1 << 16
    matrix = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[angle]
    data = bytearray(film.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    for offset, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[place + offset : place + offset + 4] = value.to_bytes(4, "big", signed=True)
    film.write_bytes(data)
    frame = next(Video(film, Cut(1000), SALT).images())
    with Image.open(io.BytesIO(frame.read())) as image:
        assert image.size == (SIZE if angle == 180 else SIZE[::-1])
        bright = image.convert("L").getpixel(corner)
        assert isinstance(bright, int) and bright > 200


def test_a_video_that_breaks_off(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4", range(0, 20_000, 40), movflags="faststart")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    video = Video(path, Cut(1000), SALT)
    found = names(video)
    assert found[:3] == at("00.000", "01.000", "02.000") and 5 <= len(found) <= 18
    [problem] = video.problems
    assert "film.mp4 breaks off at 00:00:" in problem and problem.endswith("; the frames before are sent")


def test_a_decoder_that_fails(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = Video._decoded

    def fails(self: Video) -> object:
        for number, each in enumerate(decode(self)):
            if number == 60:
                self._note_break(each[0], "invalid data found when processing input")
                return
            yield each

    monkeypatch.setattr(Video, "_decoded", fails)
    video = Video(film, Cut(1000), SALT)
    assert names(video) == at("00.000", "01.000", "02.000")
    assert video.problems[0].endswith(
        "film.mp4 breaks off at 00:00:02.400: invalid data found when processing input; the frames before are sent"
    )


def test_what_is_no_video(tmp_path: Path, root: Path) -> None:
    library()
    (tmp_path / "text.txt").write_text("a text, which FFmpeg would draw\n" * 99)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    for path in [*sorted(tmp_path.iterdir()), tmp_path, tmp_path / "none.mp4", root / "client/samples/dress.png"]:
        with pytest.raises(UsageError, match=r" is no (video|file)") as raised:
            Video(path, Cut(1000), SALT)
        assert "\n" not in str(raised.value) and len(str(raised.value)) <= 300 and "Errno" not in str(raised.value)


def test_sound_without_images_is_no_video(tmp_path: Path) -> None:
    av = library()
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="stereo", samples=800)
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UsageError, match="is no video"):
        Video(tmp_path / "sound.wav", Cut(1000), SALT)


def test_a_time_without_frames_is_reported(film: Path) -> None:
    video = Video(film, Cut(1000, 60_000), SALT)
    assert names(video) == [] and video.problems == [f"{film} has no frame in this time"]


def test_without_pyav_the_remedy_is_named(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UsageError, match=r"PyAV, which is not installed: pip install av$"):
        Video(film, Cut(1000), SALT)


def test_times_have_hours_minutes_and_seconds() -> None:
    assert clock(0) == "00:00:00.000" and clock(65_000) == "00:01:05.000" and clock(360_000_001) == "100:00:00.001"
