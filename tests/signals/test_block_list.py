"""The block list: whole words, whole entries, whatever their case."""

from pathlib import Path

import pytest

from curation_gym.signals.block_list import BlockList, read_words


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("a plain sentence", 1),
        ("what a Turnip", 0),
        ("turnips are more than one", 1),
        ("so_turnip_so", 1),
        ("a turnip!", 0),
        ("Green\n  beans, cooked", 0),
        ("green and beans", 1),
        ("c++ is marked", 0),
        ("", 1),
    ],
)
def test_words_are_found_whole(text: str, score: float) -> None:
    assert BlockList(["turnip", "Green  Beans", "c++", ""])([text]).tolist() == [score]


def test_a_file_holds_an_entry_per_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# a comment\nturnip\n\n  green beans \n", encoding="utf-8")
    assert read_words(path) == ["turnip", "green beans"]
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ValueError, match=r"list\.txt can't be read"):
        read_words(path)
    with pytest.raises(ValueError, match="at least one word"):
        BlockList([" "])
