"""The service in Perspective's format, against a real server on this machine."""

import time
from typing import Any

import numpy as np
import pytest

from curation_gym.signals.scores import ScoreError, score_texts
from curation_gym.signals.service import PerspectiveScorer
from tests.perspective import Service

KEY = "a-key-that-nobody-may-see"


def scorer(service: Service, **options: Any) -> PerspectiveScorer:
    return PerspectiveScorer(service.url, **{"requests_per_second": 1000.0, "pause": 0.01} | options)


def test_texts_are_scored_in_order_and_asked_for_as_the_format_says(service: Service) -> None:
    texts = ["a" * i + "b" * (20 - i) for i in range(20)]
    np.testing.assert_allclose(scorer(service, attribute="INSULT")(texts), np.arange(20) / 20)
    bodies = {body["comment"]["text"]: body for body, *_ in service.requests}
    assert set(bodies) == set(texts)
    assert bodies[texts[0]] == {
        "comment": {"text": texts[0]},
        "requestedAttributes": {"INSULT": {}},
        "languages": ["en"],
        "doNotStore": True,
    }
    scorer(service, languages=())(["a"])
    assert "languages" not in service.requests[-1][0]


def test_the_key_comes_from_the_environment_and_is_only_sent_as_a_header(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(ScoreError, match="set the environment variable SERVICE_KEY"):
        scorer(service, key_variable="SERVICE_KEY")
    monkeypatch.setenv("SERVICE_KEY", KEY)
    keyed = scorer(service, key_variable="SERVICE_KEY", retries=1)
    service.failures = [(503, {})]
    keyed(["ab"])
    _, headers, path, _ = service.requests[-1]
    assert headers["X-Goog-Api-Key"] == KEY
    service.failures = [(400, {})]
    with pytest.raises(ScoreError) as told:
        score_texts(keyed, ["ab"])
    said = " ".join([str(told.value), repr(told.value.__cause__), path, caplog.text, *capfd.readouterr()])
    assert "Retry" in said
    assert KEY not in said


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_fails_for_a_while_is_tried_again(service: Service, status: int) -> None:
    service.failures = [(status, {})] * 3
    start = time.monotonic()
    np.testing.assert_allclose(scorer(service, connections=1)(["ab", "b"]), [0.5, 0])
    assert time.monotonic() - start >= 0.02 + 0.04, "the pauses grow"
    assert len(service.requests) == 5


def test_the_service_says_how_long_to_wait(service: Service) -> None:
    service.failures = [(429, {"Retry-After": "1"})]
    scorer(service)(["ab"])
    [(*_, first), (*_, second)] = service.requests
    assert second - first >= 1


def test_requests_keep_the_rate(service: Service) -> None:
    start = time.monotonic()
    scorer(service, requests_per_second=50.0, connections=8)(["ab"] * 10)
    assert time.monotonic() - start >= 9 / 50


def test_failures_name_the_index_and_never_become_a_score(service: Service) -> None:
    service.failures = [(503, {})] * 9
    with pytest.raises(ScoreError, match=r"text 0: the service at .* status 503: the language is not supported"):
        scorer(service, retries=2)(["ab"])
    assert len(service.requests) == 3
    service.failures = []
    for answer in (b"<html>", b"{}", b'{"attributeScores": {"TOXICITY": {"summaryScore": {"value": null}}}}'):
        service.answer = answer
        with pytest.raises(ScoreError, match=r"text 0: .* gave no score of TOXICITY"):
            scorer(service)(["secret words"])
    service.answer = b'{"attributeScores": {"TOXICITY": {"summaryScore": {"value": 7}}}}'
    with pytest.raises(ScoreError, match="text 0: the scorer gave 7"):
        score_texts(scorer(service), ["secret words"])
    service.failures, service.answer = [(302, {"Location": "http://example.org/"})], None
    with pytest.raises(ScoreError, match="answered with status 302"):
        scorer(service)(["ab"])


def test_a_service_that_is_not_there_or_too_slow(service: Service) -> None:
    absent = PerspectiveScorer("http://127.0.0.1:9/x", retries=1, pause=0.01, requests_per_second=1000.0)
    with pytest.raises(ScoreError, match=r"text 0: the service at http://127.0.0.1:9/x can't be reached: "):
        absent(["secret words"])
    service.delay = 0.5
    with pytest.raises(ScoreError, match="can't be reached: ConnectionError"):
        scorer(service, timeout=0.05, retries=1)(["secret words"])
    assert len(service.requests) == 2


@pytest.mark.parametrize("url", ["https://u:p@host/x", "https://host/x?key=k", "file:///x"])
def test_a_url_holds_nothing_but_an_address(url: str) -> None:
    with pytest.raises(ScoreError, match="without user, key or query") as told:
        PerspectiveScorer(url)
    assert "p@" not in str(told.value)
    assert "key=k" not in str(told.value)
