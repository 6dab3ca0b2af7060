"""A safety service over HTTP, in the request format of Perspective API.

Perspective itself ends on 2026-12-31; servers that speak its format take its place, on one's own machine too.
"""

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import requests
from numpy.typing import NDArray
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from curation_gym.signals.scores import ScoreError

RETRIED = (408, 429, 500, 502, 503, 504)


class PerspectiveScorer:
    """One attribute of a service in Perspective's format: ``comments:analyze``, a text per request.

    Requests that fail for a while (no connection, a timeout, too many requests, a server's error) are repeated with
    growing pauses, or after the pause that the service asks for; another answer than a score raises.

    Args:
        url: that requests are posted to, with ``comments:analyze``.
        attribute: which score is asked for, for example ``"TOXICITY"`` or ``"IDENTITY_ATTACK"``.
        languages: of the texts, or () for the service to guess.
        key_variable: environment variable that holds the key; None sends none. The key is sent as a header, where no
            log of addresses shows it, and is kept nowhere.
        key_header: that header.
        requests_per_second: > 0; Perspective grants 1 unless more is agreed.
        connections: requests that wait for their answers at once, ≥ 1.
        timeout: seconds until a request counts as failed.
        retries: of a request, ≥ 0.
        pause: seconds before the second retry (the first is made at once); doubles each time.

    Raises:
        ScoreError: when the environment variable isn't set, or the url holds more than an address.
    """

    def __init__(
        self,
        url: str,
        attribute: str = "TOXICITY",
        *,
        languages: Sequence[str] = ("en",),
        key_variable: str | None = None,
        key_header: str = "X-Goog-Api-Key",
        requests_per_second: float = 1.0,
        connections: int = 4,
        timeout: float = 30.0,
        retries: int = 5,
        pause: float = 1.0,
    ) -> None:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or address.query or address.username:
            raise ScoreError(
                "a service's url must be http(s)://HOST/PATH without user, key or query; name the environment variable "
                f"that holds the key as key_variable, actual host: {address.hostname!r}"
            )
        self._url, self._attribute, self._languages = url, attribute, list(languages)
        self._connections, self._timeout = connections, timeout
        self._interval, self._next, self._turn = 1 / requests_per_second, 0.0, threading.Lock()
        self._session = requests.Session()
        patience = Retry(
            retries, backoff_factor=pause, status_forcelist=RETRIED, allowed_methods=("POST",), raise_on_status=False
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=connections, max_retries=patience))
        if key_variable is not None:
            key = os.environ.get(key_variable)
            if not key:
                raise ScoreError(f"the service at {url} needs a key: set the environment variable {key_variable}")
            self._session.headers[key_header] = key

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Scores, float32 (n,) in [0, 1].

        Raises:
            ScoreError: when the service can't be reached or answers something else; it names the index within
                ``texts``, never the text.
        """
        with ThreadPoolExecutor(self._connections) as pool:
            pending = [pool.submit(self._score, index, text) for index, text in enumerate(texts)]
            try:
                return np.array([future.result() for future in pending], np.float32)
            finally:
                for future in pending:
                    future.cancel()

    def _score(self, index: int, text: str) -> float:
        self._wait()
        body: Any = {
            "comment": {"text": text},
            "requestedAttributes": {self._attribute: {}},
            "doNotStore": True,
        } | ({"languages": self._languages} if self._languages else {})
        where = f"text {index}: the service at {self._url}"
        try:
            answer = self._session.post(self._url, json=body, timeout=self._timeout, allow_redirects=False)
        except requests.RequestException as error:
            raise ScoreError(f"{where} can't be reached: {type(error).__name__}") from error
        if answer.status_code != requests.codes.ok:
            raise ScoreError(f"{where} answered with status {answer.status_code}{_reason(answer)}")
        try:
            return float(answer.json()["attributeScores"][self._attribute]["summaryScore"]["value"])
        except (ValueError, KeyError, TypeError) as error:
            raise ScoreError(f"{where} gave no score of {self._attribute}") from error

    def _wait(self) -> None:
        """Until it is this request's turn."""
        with self._turn:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + self._interval
        time.sleep(start - now)


def _reason(answer: requests.Response) -> str:
    """The service's own message, where the answer has Perspective's form of an error; a page of HTML says nothing."""
    try:
        return f": {answer.json()['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return ""
