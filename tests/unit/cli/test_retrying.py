from __future__ import annotations

import threading

import pytest

from tusfleet.cli.failures import ServerFailure, Stopped, Transient
from tusfleet.cli.retrying import FIRST_DELAY, LONGEST_DELAY, Heartbeat, Patience, Throttle


class Waits(threading.Event):
    """An event that nobody sets: waiting for it moves the clock instead of taking time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 50.0
        self.delays: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.delays.append(timeout)
        self.now += timeout
        return self.is_set()


def patience(waits: Waits, *, give_up_after: float = 60.0, retries: int | None = None) -> tuple[Patience, list[str]]:
    notes: list[str] = []
    heart = Heartbeat(lambda: waits.now)
    return (
        Patience(
            heart, give_up_after=give_up_after, retries=retries, stop=waits, notify=notes.append, spread=lambda: 1.0
        ),
        notes,
    )


def test_waits_grow_up_to_a_limit_until_patience_ends() -> None:
    waits = Waits()
    patient, notes = patience(waits)
    with pytest.raises(ServerFailure, match="Gave up after 1:00 minutes without progress: it hangs"):
        patient.persist(fail)
    assert waits.delays[:3] == [FIRST_DELAY, FIRST_DELAY * 2, FIRST_DELAY * 4]
    assert max(waits.delays) == LONGEST_DELAY
    assert sum(waits.delays) == pytest.approx(60.0)
    assert notes[0] == "it hangs; trying again in 0.2 s"


def test_progress_makes_it_patient_again_and_the_same_bytes_do_not() -> None:
    waits = Waits()
    patient, _ = patience(waits)
    for position in range(1, 100):
        waits.now += 50.0
        patient.moved(position)
        patient.wait(Transient("cut"))
    waits.now += 60.0
    patient.moved(50)
    with pytest.raises(ServerFailure, match="without progress"):
        patient.wait(Transient("cut"))


def test_a_number_of_retries_is_kept() -> None:
    waits = Waits()
    patient, _ = patience(waits, retries=2)
    with pytest.raises(ServerFailure, match="Gave up after 3 tries: it hangs"):
        patient.persist(fail)
    assert len(waits.delays) == 2


def test_retry_after_is_honoured() -> None:
    waits = Waits()
    patient, _ = patience(waits)
    patient.wait(Transient("busy", 7.0))
    assert waits.delays == [7.0]
    with pytest.raises(ServerFailure, match="asked to come back in 5:00 minutes"):
        patient.wait(Transient("busy", 300.0))


def test_the_rest_is_told_to_stop() -> None:
    waits = Waits()
    waits.set()
    patient, _ = patience(waits)
    with pytest.raises(Stopped):
        patient.wait(Transient("cut"))
    with pytest.raises(Stopped):
        Throttle(None, lambda: 0.0, waits).take(1)


def test_the_rate_is_kept() -> None:
    waits = Waits()
    throttle = Throttle(1000, lambda: waits.now, waits)
    assert throttle.grain(5000) == 100
    for _ in range(20):
        throttle.take(100)
    assert waits.now - 50.0 == pytest.approx(1.9)
    assert Throttle(None, lambda: 0.0, waits).grain(5000) == 5000


def fail() -> None:
    raise Transient("it hangs")
