"""Files that appear complete or not at all."""

from pathlib import Path

import pytest

from curation_gym.files import replace_directory, replace_file, write_text


def test_a_file_is_replaced_whole_and_directories_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_text(path, "old")
    write_text(path, "néw")
    assert path.read_text(encoding="utf-8") == "néw"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_attempt_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    write_text(path, "old")

    def half(scratch: Path) -> None:
        scratch.write_text("ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        replace_file(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_is_replaced_whole_or_kept(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    for name in ("old", "new"):
        replace_directory(path, lambda scratch, name=name: (scratch / name).touch())
        assert [file.name for file in path.iterdir()] == [name]
    replace_directory(path, lambda scratch: (scratch / "late").touch(), keep_existing=True)

    def half(scratch: Path) -> None:
        (scratch / "half").touch()
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        replace_directory(path, half)
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(path.parent.iterdir()) == [path]
