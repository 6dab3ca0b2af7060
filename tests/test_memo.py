"""What a process makes once."""

from curation_gym.memo import Memo


def test_what_was_made_is_found_again_and_the_first_goes_first() -> None:
    made: list[str] = []
    memo: Memo[str, int] = Memo(2)
    for key in "abaca":
        assert memo.get(key, lambda key=key: made.append(key) or ord(key)) == ord(key)  # type: ignore[misc]
    assert made == ["a", "b", "c", "a"]
