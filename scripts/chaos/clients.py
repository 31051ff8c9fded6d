"""Clients of every kind, good and bad.  Each request's audio is heard and compared with what was asked for."""

import io
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
import soundfile

from scripts.chaos import poison_voices
from scripts.chaos.coded_audio import SAMPLE_RATE, codes_in
from scripts.chaos.coded_text import CRASH, HANG, SNAG, clip_of, expected, text_of
from scripts.chaos.ledger import Entry, Ledger

VOICES = 8
SHARED_TEXTS = 6  # texts that many clients ask for, in every voice: joined jobs and cached audio
SHARED_FROM = 100
SYNC_TIMEOUT_S = 175.0
SNAGGED = 6  # sentences of a text that is poison where it is joined
TERMINAL = {"done", "failed", "cancelled"}
CLEAN = {409, 429, 503, 504, 507}  # a plain no, to be asked again
PAUSE_S = 0.3
GONE = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)

# What a client does next, and how often; poison is dealt out by the conductor instead.
MIX = {"job": 38, "speak": 30, "shared": 10, "twice": 8, "cancel": 7, "vanish": 7}


def voice_id(voice: int) -> str:
    return f"coded_{voice}"


class Clients:
    """All clients and what they share."""

    def __init__(self, url: str, ledger: Ledger, *, seed: int) -> None:
        self.url, self.ledger = url, ledger
        self.stop = threading.Event()  # nothing new is begun
        self.give_up = threading.Event()  # what is still open is lost
        self._seed = seed
        self._threads: list[threading.Thread] = []

    def upload_voices(self) -> None:
        for voice in range(1, VOICES + 1):
            buffer = io.BytesIO()
            soundfile.write(buffer, clip_of(voice), SAMPLE_RATE, format="WAV")
            answer = requests.post(
                f"{self.url}/api/v1/voices",
                files={"voice_file": buffer.getvalue()},
                data={"voice_id": voice_id(voice), "replace": "true"},
                timeout=60,
            )
            answer.raise_for_status()

    def start(self, count: int, *, mix: dict[str, int] | None = None, pause_s: float = 0.0) -> None:
        for n in range(count):
            thread = threading.Thread(target=self._live, args=(n, mix or MIX, pause_s), name=f"client{n}")
            thread.start()
            self._threads.append(thread)

    def join(self, timeout_s: float) -> bool:
        """Whether every open request came to an end in time; those that did not are given up."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        in_time = not any(thread.is_alive() for thread in self._threads)
        self.give_up.set()
        for thread in self._threads:
            thread.join(30)
        return in_time

    def _live(self, n: int, mix: dict[str, int], pause_s: float) -> None:
        dice = random.Random(self._seed * 1000 + n)  # noqa: S311 - a seed that can be given again
        with requests.Session() as session:
            one = Client(self, session, dice)
            while not self.stop.wait(pause_s * dice.random()):
                (kind,) = dice.choices(list(mix), list(mix.values()))
                getattr(one, kind)()

    def poison(self, word: str) -> None:
        """One request that ends or hangs every worker that takes it, in a thread of its own."""

        def send() -> None:
            with requests.Session() as session:
                Client(self, session, random.Random(0)).job(also=word)  # noqa: S311

        self._apart(send, "poison")

    def poison_voice(self) -> None:
        """A recording that ends every worker that prepares it, in a thread of its own."""
        self._apart(lambda: poison_voices.upload(self.url, self.ledger, self.stop), "poison voice")

    def _apart(self, act: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=act, name=name)
        thread.start()
        self._threads.append(thread)


class Client:
    """One client's requests, one after another."""

    def __init__(self, clients: Clients, session: requests.Session, dice: random.Random) -> None:
        self._all, self._session, self._dice = clients, session, dice
        self._url, self._ledger = clients.url, clients.ledger

    # ---- kinds

    def speak(self) -> None:
        """A sync request; broken connections and clean refusals are tried again, as the known clients do."""
        self._speak(self._new("speak", self._dice.randint(1, 3)))

    def shared(self) -> None:
        """A sync request for a text that others ask for too."""
        number = SHARED_FROM + self._dice.randrange(SHARED_TEXTS)
        entry = self._ledger.open("shared", voice=self._voice(), parts=2, number=number)
        self._speak(entry)

    def speak_entry(self, entry: Entry) -> None:
        """A sync request that was opened already."""
        self._speak(entry)

    def job(self, *, also: str = "") -> None:
        self.job_of(SNAGGED if also == SNAG else 1 if also else self._dice.choice([1, 2, 3, 5, 8, 13]), also=also)

    def job_of(self, parts: int, *, also: str = "") -> Entry:
        """A job of so many sentences, followed to its end."""
        entry = self._new("job", parts)
        entry.is_poison = also in {CRASH, HANG, SNAG}
        if self._submit(entry, also=also):
            self._follow(entry)
        return entry

    def twice(self) -> None:
        """The same submission from two connections at once, under one Idempotency-Key: one job."""
        entry, key = self._new("twice", self._dice.randint(1, 4)), secrets.token_hex(8)
        with ThreadPoolExecutor(2) as pool:
            ids = list(pool.map(lambda _: self._submit(entry, key=key), range(2)))
        got = {job_id for job_id in ids if job_id}
        if len(got) > 1:
            self._ledger.twice(f"one Idempotency-Key, two jobs: {sorted(got)}")
        if got:
            self._follow(entry)

    def cancel(self) -> None:
        entry = self._new("cancel", self._dice.randint(5, 20))
        if not self._submit(entry):
            return
        time.sleep(self._dice.random())
        self._ask("DELETE", f"/api/v1/jobs/{entry.job_id}")
        self._follow(entry, may_be_gone=True)

    def vanish(self) -> None:
        """A sync request whose client hangs up."""
        entry = self._new("vanish", self._dice.randint(1, 10))
        host, port = self._url.removeprefix("http://").split(":")
        body = requests.Request("POST", self._url, json=self._body(entry)).prepare().body
        assert isinstance(body, bytes)
        head = f"POST /api/v1/tts/synthesize HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        try:
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                time.sleep(self._dice.random())
        except OSError:
            pass
        self._ledger.close(entry, "vanished")

    # ---- steps

    def _new(self, kind: str, parts: int) -> Entry:
        return self._ledger.open(kind, voice=self._voice(), parts=parts)

    def _voice(self) -> int:
        return self._dice.randint(1, VOICES)

    def _body(self, entry: Entry, also: str = "") -> dict[str, object]:
        text = text_of(entry.number, entry.parts, also=also)
        return {"text": text, "voice_id": voice_id(entry.voice), "time_step": 8}

    def _speak(self, entry: Entry) -> None:
        while not self._all.give_up.is_set():
            try:
                answer = self._session.post(
                    f"{self._url}/api/v1/tts/synthesize", json=self._body(entry), timeout=SYNC_TIMEOUT_S
                )
            except GONE:
                self._ledger.refused("connection_broken")
            else:
                if answer.status_code == 200:
                    self._ledger.accept(entry, answer.headers.get("X-Job-ID"))
                    entry.cache = answer.headers.get("X-Cache", "")
                    self._hear(entry, answer.content)
                    self._ledger.close(entry, "done")
                    return
                if not self._is_clean(answer):
                    self._ledger.accept(entry)
                    self._ledger.close(entry, "failed", _code(answer))
                    return
            if self._all.stop.wait(PAUSE_S):
                self._ledger.close(entry, "refused")
                return

    def _submit(self, entry: Entry, *, key: str = "", also: str = "") -> str | None:
        """The job's id once it is accepted; None when the end came first."""
        key = key or secrets.token_hex(8)
        while not self._all.stop.is_set():
            answer = self._ask("POST", "/api/v1/jobs", json=self._body(entry, also), headers={"Idempotency-Key": key})
            if answer is not None and answer.status_code == 202:
                job_id = str(answer.json()["id"])
                self._ledger.accept(entry, job_id)
                return job_id
            if answer is not None and not self._is_clean(answer):
                self._ledger.close(entry, "refused", _code(answer))
                return None
            self._all.stop.wait(PAUSE_S)
        if entry.accepted_s is None:
            self._ledger.close(entry, "refused")
        return None

    def _follow(self, entry: Entry, *, may_be_gone: bool = False) -> None:
        """Wait for the end of an accepted job and fetch its audio."""
        while not self._all.give_up.is_set():
            answer = self._ask("GET", f"/api/v1/jobs/{entry.job_id}?wait=5")
            if answer is not None and answer.status_code == 200:
                job = answer.json()
                if job["status"] in TERMINAL:
                    self._end(entry, job)
                    return
                continue
            if answer is not None and answer.status_code == 404:
                self._ledger.close(entry, "cancelled" if may_be_gone else "", "job_not_found")
                return
            if answer is not None:
                self._is_clean(answer)
            time.sleep(PAUSE_S)

    def _end(self, entry: Entry, job: dict[str, Any]) -> None:
        if job["status"] == "done":
            entry.finished_at = job.get("finished_at")
            while not self._all.give_up.is_set():
                answer = self._ask("GET", f"/api/v1/jobs/{entry.job_id}/audio")
                if answer is not None and answer.status_code == 200:
                    self._hear(entry, answer.content)
                    break
                if answer is not None and not self._is_clean(answer):
                    self._ledger.close(entry, "", f"audio {_code(answer)}")
                    return
                time.sleep(PAUSE_S)
        self._ledger.close(entry, job["status"], entry.reason or str(job.get("error_code") or ""))

    def _hear(self, entry: Entry, data: bytes) -> None:
        """Is this the audio that was asked for, whole and in order?"""
        try:
            samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
            heard = codes_in(samples)
        except (ValueError, RuntimeError) as error:
            entry.audio, entry.reason = "broken", str(error)
            return
        right = heard == expected(entry.number, entry.parts, entry.voice)
        entry.audio = "right" if right else "swapped"
        if not right:
            entry.reason = f"heard {heard[:3]}"

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response | None:  # Any: as requests takes it
        """None: the connection broke."""
        try:
            return self._session.request(method, self._url + path, timeout=60, **options)
        except GONE:
            self._ledger.refused("connection_broken")
            return None

    def _is_clean(self, answer: requests.Response) -> bool:
        """A plain no in the product's own words; counts it either way."""
        code = _code(answer)
        if answer.status_code in CLEAN and code:
            self._ledger.refused(code)
            return True
        self._ledger.surprise(f"{answer.request.method} {answer.status_code} {code or answer.text[:200]!r}")
        return False


def _code(answer: requests.Response) -> str:
    try:
        return str(answer.json().get("error_code", ""))
    except ValueError:
        return ""
