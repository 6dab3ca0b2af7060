"""The judge behind an endpoint, against a real server on this machine."""

from typing import Any

import pytest

from curation_gym.evaluation.language_model.endpoint import ChatJudge
from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.preferences import compared
from tests.evaluation.language_model.server import Server, says

KEY = "test-key-4711"


def judge_at(server: Server, **options: Any) -> ChatJudge:
    return ChatJudge(server.url, "judge-1", **{"backoff": 0.01, "timeout": 5.0} | options)


def test_it_asks_and_understands(server: Server) -> None:
    judge = judge_at(server)
    assert judge("Say {x} something", "long answer", "short") == "first"
    assert judge("Say something", "short", "long answer") == "second"
    assert judge("Say something", "equal", "sizes") == "tie"
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert body["model"] == "judge-1"
    assert body["temperature"] == 0
    assert "<request>\nSay {x} something\n</request>" in body["messages"][0]["content"]
    assert "Authorization" not in headers
    assert judge.name == f"judge-1 at {server.url}"


def test_comparisons_run_in_both_orders(server: Server) -> None:
    told = compared(["a", "b", "c"], ["long one", "x", "same"], ["x", "long one", "size"], judge_at(server))
    assert (told.wins, told.ties, told.losses, told.reversed) == (1, 1, 1, 0)
    assert len(server.requests) == 6


def test_what_passes_is_tried_again(server: Server) -> None:
    server.problems = [(503, {}, b"busy"), (429, {"Retry-After": "0"}, b""), (200, {}, b"no JSON"), (200, {}, b"{}")]
    assert judge_at(server)("q", "long answer", "short") == "first"
    assert len(server.requests) == 5


def test_a_silent_server_is_given_up(server: Server) -> None:
    server.problems = [0.5, 0.5]
    with pytest.raises(EvaluationError, match=r"judge judge-1 at http.*: ReadTimeout.* \(attempt 2 of 2\)"):
        judge_at(server, timeout=0.05, attempts=2)("q", "a", "b")
    assert judge_at(server)("q", "long answer", "short") == "first"


def test_an_answer_without_a_verdict_is_asked_again_and_then_an_error(server: Server) -> None:
    server.problems = [(200, {}, says("I like the first one."))]
    assert judge_at(server)("q", "a", "long answer") == "second"
    server.problems = [(200, {}, says("Both are fine."))] * 3
    with pytest.raises(EvaluationError, match=r"an answer of 14 characters holds no verdict \(attempt 3 of 3\)"):
        judge_at(server, attempts=3)("q", "a", "b")


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        ("Verdict: A", "first"),
        ("Both try.\n**Verdict:** b.", "second"),
        ("**Verdict**: [[A]]", "first"),
        ("Final verdict:\n\nAnswer B", "second"),
        ("Verdict: A, since the other one lies", "first"),
        ("Verdict: B is better than A", "second"),
        ("Verdict: A\nTie-breaks were not needed.", "first"),
        ("Verdict: a tie", "tie"),
        ("Verdict: A tie.", "tie"),
        ("Verdict: It's a **tie**", "tie"),
        ("verdict: _Tie_", "tie"),
        ("Verdict: a draw between A and B", "tie"),
        ("Verdict: A\nOn reflection they are the same.\nVerdict: a tie", "tie"),
        ("I end with Verdict: A, Verdict: B or Verdict: tie, as asked.\nVerdict: B", "second"),
        ("Verdict: A or B, who knows", None),
        ("Verdict: A/B", None),
        ("Verdict: a close call", None),
        ("Verdict: A\nVerdict: neither", None),
        ("My verdict is plain: A", None),
    ],
)
def test_the_last_verdict_decides_and_an_unclear_one_is_none(server: Server, content: str, verdict: str | None) -> None:
    server.problems = [(200, {}, says(content))]
    judge = judge_at(server, attempts=1)
    if verdict is not None:
        assert judge("q", "a", "b") == verdict
        return
    with pytest.raises(EvaluationError, match="holds no verdict"):
        judge("q", "a", "b")


def test_what_does_not_pass_is_an_error_at_once(server: Server) -> None:
    server.problems = [(404, {}, b"no such model")]
    with pytest.raises(EvaluationError, match="HTTP status 404: no such model"):
        judge_at(server)("q", "a", "b")
    assert len(server.requests) == 1
    server.http.server_close()
    with pytest.raises(EvaluationError, match=r"refused.* \(attempt 2 of 2\)"):
        ChatJudge("http://127.0.0.1:9/v1", "m", attempts=2, backoff=0.01)("q", "a", "b")


def test_the_key_is_sent_but_never_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    judge = judge_at(server, api_key_variable="JUDGE_KEY", attempts=1)
    judge("q", "a", "b")
    assert server.requests[0][1]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(vars(judge))
    for status in (401, 500):
        server.problems = [(status, {}, f"bad key {KEY}".encode())]
        with pytest.raises(EvaluationError, match=rf"HTTP status {status}: bad key \*\*\*") as caught:
            judge("q", "a", "b")
        assert KEY not in str(caught.value)


def test_the_key_follows_no_redirect(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    server.problems = [(302, {"Location": f"{server.url}/elsewhere"}, b"")]
    with pytest.raises(EvaluationError, match="HTTP status 302"):
        judge_at(server, api_key_variable="JUDGE_KEY")("q", "a", "b")
    assert len(server.requests) == 1


def test_bad_options_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with pytest.raises(EvaluationError, match="environment variable JUDGE_KEY is not set"):
        ChatJudge("http://localhost/v1", "m", api_key_variable="JUDGE_KEY")
    with pytest.raises(EvaluationError, match="must be like http://localhost:8000/v1, actual value: 'file:///etc'"):
        ChatJudge("file:///etc", "m")
