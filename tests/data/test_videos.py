"""Videos from folders of frames and NPZ files, and the references that stand for them."""

import re

import numpy as np
import pytest

from heedful.data.hashes import hash_array
from heedful.data.moving_digits import MOVING, plan_video
from heedful.data.videos import VideoReference, Videos, evenly, frames_in
from heedful.errors import DataError

VIDEOS = np.arange(2 * 5 * 4 * 4, dtype=np.uint8).reshape(2, 5, 4, 4)


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "v.npz", **arrays)
        return str(tmp_path / "v.npz")

    return write


@pytest.fixture
def folder(tmp_path):
    """Twelve frames, whose grey is ten times their number, of a video each for `cat` and `dog`."""
    image = pytest.importorskip("PIL.Image", reason="the extra images is not installed")
    for label in ("cat", "dog"):
        video = tmp_path / label / "one"
        video.mkdir(parents=True)
        for number in range(12):
            image.new("L", (6, 4), 10 * number + (label == "dog")).save(video / f"f{number}.png")
    return tmp_path


@pytest.mark.parametrize("count, frames", [(12, 3), (5, 5), (2, 5), (1, 4), (100, 7)])
def test_frames_are_the_middles_of_equal_parts(count, frames):
    places = evenly(count, frames)
    for part, place in enumerate(places):
        middle = (part + 0.5) * count / frames
        assert place <= middle < place + 1
    assert places == sorted(places)


def test_a_file_becomes_references_and_frames_again(npz):
    path, videos = npz(videos=VIDEOS, labels=np.array(["b", "a"])), Videos(frames=2)
    first, second = videos.list_file(path)
    assert first == VideoReference(path, 0, "b", hash_array(VIDEOS[0][[1, 3]]))
    loaded = videos.load([second, first])
    assert loaded.shape == (2, 2, 4, 4, 1)
    assert np.array_equal(loaded[0, :, :, :, 0], VIDEOS[1][[1, 3]])
    npz(videos=VIDEOS + 1, labels=np.array([3, 4]))
    assert [each.label for each in videos.list_file(path)] == ["3", "4"]
    with pytest.raises(DataError, match=r"v\.npz, video 1, must be the one that .*, got other fr"):
        videos.load([second])
    with pytest.raises(DataError, match=re.escape("v.npz must hold video 2, got videos 0 to 1")):
        videos.refer(path, 2)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"labels": np.array([1])}, "must hold videos, got labels"),
        ({}, "must hold videos, got nothing"),
        ({"videos": VIDEOS}, "must hold labels, got videos alone"),
        ({"videos": VIDEOS / 255}, "must hold videos as uint8, from 0 to 255, got float64"),
        ({"videos": VIDEOS[0]}, "must hold videos of shape (videos, frames, height, width[, 1 or"),
        ({"videos": np.array([None])}, "must be an NPZ file of plain arrays, got: Object arrays"),
        (
            {"videos": VIDEOS, "labels": np.array([1, 2, 3])},
            "for each of the 2 videos, got int64 of shape (3,)",
        ),
        ({"videos": VIDEOS, "labels": np.array([0.5, 1])}, "got float64 of shape (2,)"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(npz, arrays, message):
    path = npz(**arrays)
    with pytest.raises(DataError, match=re.escape(message)):
        Videos(frames=2).list_file(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    for name, content, message in (
        ("none.npz", None, "none.npz must be an NPZ file, got: No such file"),
        ("folder.npz", "folder", "folder.npz must be an NPZ file, got no ordinary file"),
        ("bad.npz", b"PK\3\4 nothing", "bad.npz must be an NPZ file of plain arrays, got: "),
        ("text.npz", b"1,2,3", "text.npz must be an NPZ file of plain arrays, got: "),
    ):
        path = tmp_path / name
        if content == "folder":
            path.mkdir()
        elif content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=re.escape(message)):
            Videos(frames=2).list_file(str(path))


def test_an_array_alone_is_refused(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, VIDEOS)
    with pytest.raises(DataError, match="must be an NPZ file of plain arrays, got: "):
        Videos(frames=2).list_file(str(tmp_path / "a.npz"))


def test_a_folder_for_each_label_and_video_is_read(folder):
    videos = Videos(frames=3, size=2)
    cat, dog = videos.list_folder(str(folder))
    assert (cat.label, dog.label, cat.file) == ("cat", "dog", str(folder / "cat" / "one"))
    pixels = videos.load([cat, dog])
    assert pixels.shape == (2, 3, 2, 2, 1)
    assert pixels[:, :, 0, 0, 0].tolist() == [[20, 60, 100], [21, 61, 101]]  # f2 before f10


def test_folders_that_cannot_be_used_are_refused(folder):
    from PIL import Image

    videos = Videos(frames=3, size=2)
    for path, message in (
        ("none", "none must be a folder with a folder for each label, got none"),
        ("cat/one", "one must be a folder with a folder for each label, got none"),
    ):
        with pytest.raises(DataError, match=message):
            videos.list_folder(str(folder / path))
    with pytest.raises(DataError, match="none must be a folder of frames, got none"):
        frames_in(folder / "none")
    (folder / "emu").mkdir()
    with pytest.raises(DataError, match="emu must be a folder with a folder for each video, got"):
        videos.list_folder(str(folder))
    (folder / "emu" / "two").mkdir()
    with pytest.raises(DataError, match=re.escape("two must have .png, .jpg, .jpeg files in it")):
        videos.list_folder(str(folder))
    (folder / "emu" / "two" / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a\.png must be a PNG or JPEG image, got: "):
        videos.list_folder(str(folder))
    for name, width in (("a", 3), ("b", 5)):
        Image.new("L", (width, 4)).save(folder / "emu" / "two" / f"{name}.png")
    with pytest.raises(
        DataError, match=re.escape("b.png must be as large as a.png, (3, 4), got (5")
    ):
        videos.list_folder(str(folder))
    for name in ("b.png", "0.png", "c.gif"):  # in the place of one that is no image or another kind
        (folder / "emu" / "two" / "b.png").unlink(missing_ok=True)
        (folder / "emu" / "two" / name).write_bytes(b"no image")
        with pytest.raises(DataError, match=f"two/{name} must be a PNG or JPEG image, got: anot"):
            videos.list_folder(str(folder))
        (folder / "emu" / "two" / name).unlink()
    for name in ("emu/one.mp4", "emu/c.PNG", "one.avi"):
        (folder / name).touch()
        with pytest.raises(DataError, match=f"{name} must be a folder of frames, got a file"):
            videos.list_folder(str(folder))
        (folder / name).unlink()
    assert len(videos.list_folder(str(folder))) == 3


def test_videos_of_other_shapes_do_not_go_together(folder, npz):
    videos = Videos(frames=2, size=3)
    path = npz(videos=VIDEOS, labels=np.array([0, 1]))
    references = [videos.refer(path), videos.refer(str(folder / "cat" / "one"))]
    with pytest.raises(DataError, match=re.escape("(2, 4, 4, 1), got (2, 3, 3, 1)")):
        videos.load([references[0], references[1]])


def test_made_videos_have_the_label_that_is_asked_for():
    pytest.importorskip("sklearn", reason="the extra images is not installed")
    for label in ("digit", "direction", "speed"):
        (found,) = Videos(frames=2, label=label).list_made([70])
        assert (found.file, found.index) == (MOVING, 70)
        assert found.label == getattr(plan_video(70, size=20), label)
