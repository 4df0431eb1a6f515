"""`/metrics`, `/livez`, `/readyz`: what they answer, and ports that are not to be had."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.fakes.clock import ManualClock
from worker.errors import SettingsError
from worker.health import Health
from worker.metrics import Metrics
from worker.serving import Serving, serve
from worker.settings import given_settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

Answer = tuple[int, str, str]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    return Health(60.0, clock)


@pytest.fixture
def serving(metrics: Metrics, health: Health) -> Iterator[Serving]:
    with Serving(metrics, health, 0) as serving:
        yield serving


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another process listens."""
    with socket.create_server(("", 0)) as other:
        yield other.getsockname()[1]


def ask(serving: Serving, path: str, method: str = "GET", **headers: str) -> Answer:
    """Status, content type, body."""
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read().decode()
        return answer.status, answer.headers["Content-Type"], body
    finally:
        connection.close()


def test_metrics_are_those_of_the_worker(serving: Serving, metrics: Metrics) -> None:
    metrics.rebalanced(3)
    status, form, text = ask(serving, "/metrics")
    assert (status, form) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "\nemotion_worker_rebalances_total 3.0\n" in text
    assert "\nprocess_resident_memory_bytes " in text
    assert not text.endswith("# EOF\n")


def test_metrics_come_in_the_format_that_is_asked_for(serving: Serving) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    status, form, text = ask(serving, "/metrics", Accept=accept)
    assert status == 200
    assert form.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


def test_metrics_hold_what_health_says_now(
    serving: Serving, health: Health, clock: ManualClock
) -> None:
    health.pulse("poll")
    health.up("broker")
    text = ask(serving, "/metrics")[2]
    assert '\nemotion_worker_stage_up{stage="poll"} 1.0\n' in text
    assert '\nemotion_worker_dependency_up{dependency="broker"} 1.0\n' in text
    clock.now += 61
    health.down("broker", "no answer")
    text = ask(serving, "/metrics")[2]
    assert '\nemotion_worker_stage_up{stage="poll"} 0.0\n' in text
    assert '\nemotion_worker_dependency_up{dependency="broker"} 0.0\n' in text


def test_liveness_and_readiness_say_why_not(
    serving: Serving, health: Health, clock: ManualClock
) -> None:
    plain = "text/plain; charset=utf-8"
    assert ask(serving, "/livez") == (200, plain, "ok\n")
    status, _, body = ask(serving, "/readyz")
    assert status == 503
    assert body == "the consumer group is not joined yet\nthe database has not answered yet\n"
    health.up("database")
    health.assigned([], [])
    assert ask(serving, "/readyz?verbose") == (200, plain, "ok\n")
    health.pulse("store")
    clock.now += 61
    stalled = (503, plain, "the store stage has not moved for 61 s\n")
    assert ask(serving, "/livez") == stalled
    assert ask(serving, "/readyz/") == stalled


def test_the_index_lists_what_there_is(serving: Serving) -> None:
    status, _, index = ask(serving, "/")
    assert status == 200
    for path in ("/metrics", "/livez", "/readyz"):
        assert path in index
        assert ask(serving, path)[0] in {200, 503}


def test_anything_else_is_not_there(serving: Serving) -> None:
    assert ask(serving, "/metricsx")[0] == 404
    assert ask(serving, "/../etc/passwd")[0] == 404
    assert ask(serving, "/", method="POST")[0] == 501


def test_a_probe_may_ask_for_the_head_alone(serving: Serving) -> None:
    assert ask(serving, "/livez", method="HEAD") == (200, "text/plain; charset=utf-8", "")


def test_requests_are_not_logged(
    serving: Serving, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for path in ("/metrics", "/none"):
        ask(serving, path)
    ask(serving, "/", method="BREW")
    # One that hangs up before its answer comes.
    with socket.create_connection(("127.0.0.1", serving.port)) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert ask(serving, "/livez")[0] == 200
    captured = capsys.readouterr()
    assert (captured.out, captured.err, caplog.text) == ("", "", "")


def test_a_bug_behind_an_answer_is_not_hidden(
    serving: Serving,
    health: Health,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(health, "live", lambda: 1 / 0)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(serving, "/livez")
    assert "ZeroDivisionError" in caplog.text
    assert ask(serving, "/metrics")[0] == 200


def test_many_ask_at_once(serving: Serving) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(serving, "/metrics")[0]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8


def test_one_that_says_nothing_keeps_nobody_waiting(serving: Serving) -> None:
    with socket.create_connection(("127.0.0.1", serving.port)):
        assert ask(serving, "/livez")[0] == 200


def test_close_frees_the_port_and_ends_the_thread(metrics: Metrics, health: Health) -> None:
    serving = Serving(metrics, health, 0)
    serving.close()
    serving.close()
    assert not any(thread.name == "metrics" for thread in threading.enumerate())
    with pytest.raises(ConnectionRefusedError):
        ask(serving, "/livez")
    with Serving(metrics, health, serving.port) as again:
        assert ask(again, "/livez")[0] == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_ipv6_is_answered_too(serving: Serving) -> None:
    try:
        client = socket.create_connection(("::1", serving.port), timeout=10)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with client:
        client.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        assert b"200 OK" in client.recv(1_000)


# WORKER_METRICS_PORT


def test_port_zero_is_off(metrics: Metrics, health: Health) -> None:
    assert serve(given_settings(metrics_port=0), metrics, health) is None


def test_the_port_of_the_settings_is_served(metrics: Metrics, health: Health) -> None:
    with Serving(metrics, health, 0) as free:
        port = free.port
    serving = serve(given_settings(metrics_port=port), metrics, health)
    assert serving is not None
    with serving:
        assert serving.port == port
        assert ask(serving, "/")[0] == 200


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(
    metrics: Metrics, health: Health, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_METRICS_PORT", str(taken))
    with pytest.raises(SettingsError) as raised:
        serve(load_settings(), metrics, health)
    message = str(raised.value)
    assert message.startswith(f"WORKER_METRICS_PORT: port {taken} cannot be opened: ")
    assert "in use" in message
    assert "\n" not in message
    assert raised.value.exit_code == 2


def test_the_default_port_may_be_taken_by_another_worker(
    metrics: Metrics, health: Health, taken: int, caplog: pytest.LogCaptureFixture
) -> None:
    settings = given_settings().model_copy()
    settings.__dict__["metrics_port"] = taken  # frozen, and not given: as if it were the default
    assert "metrics_port" not in settings.model_fields_set
    assert serve(settings, metrics, health) is None
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "metrics are off" in record.getMessage()
    assert "WORKER_METRICS_PORT" in record.getMessage()
    assert vars(record)["port"] == taken
    assert "in use" in vars(record)["why"]


def test_the_default_port_given_in_so_many_words_is_meant(
    metrics: Metrics, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_METRICS_PORT", "9108")
    assert "metrics_port" in load_settings().model_fields_set
    monkeypatch.delenv("WORKER_METRICS_PORT")
    assert "metrics_port" not in load_settings().model_fields_set
