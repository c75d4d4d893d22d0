"""Signals, kinds and rates: pure, so the same seed gives the same values; commands that make no sense are refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.actuator import react
from devices.registry import kind_named, kinds
from devices.run import FleetConfig, parse_rate
from devices.signals import DAY_S, derive, drift, noise, wave, wave_integral

_SEEDS = st.integers(0, 2**64 - 1)
_TIMES = st.floats(0, 30 * DAY_S)


def test_there_are_a_sensor_a_meter_a_station_and_an_actuator() -> None:
    found = {name: kind.binding for name, kind in kinds().items()}
    assert found.items() >= {"temperature": "mqtt", "meter": "coap", "air_quality": "http", "actuator": "mqtt"}.items()
    assert kind_named("air-quality") is kind_named("air_quality")
    with pytest.raises(ValueError, match="choose one of actuator, air_quality"):
        kind_named("toaster")


@pytest.mark.parametrize("name", [name for name, kind in kinds().items() if kind.sample])
@given(seed=_SEEDS, t_s=_TIMES)
def test_a_signal_is_a_function_of_seed_and_time(name: str, seed: int, t_s: float) -> None:
    sample = kinds()[name].sample
    assert sample is not None
    assert sample(seed, t_s) == sample(seed, t_s)


@pytest.mark.parametrize("name", [name for name, kind in kinds().items() if kind.sample])
def test_signals_move_and_differ_by_seed(name: str) -> None:
    sample = kinds()[name].sample
    assert sample is not None
    one, other = ([sample(seed, float(second)) for second in range(60)] for seed in (1, 2))
    assert one != other
    assert len(set(one)) > 3


@given(seed=_SEEDS, t_s=_TIMES)
def test_curves_stay_in_bounds(seed: int, t_s: float) -> None:
    assert -1.0 <= noise(seed, int(t_s)) <= 1.0
    assert -1.0 <= drift(seed, t_s, 30.0) <= 1.0
    assert -1.0 <= wave(t_s, 60.0, 0.25) <= 1.0


@given(t_s=st.floats(0, 1000), phase=st.floats(0, 1))
def test_the_integral_of_the_wave_is_one(t_s: float, phase: float) -> None:
    step_s = 0.01
    slope = (wave_integral(t_s + step_s, 120.0, phase) - wave_integral(t_s, 120.0, phase)) / step_s
    assert slope == pytest.approx(wave(t_s + step_s / 2, 120.0, phase), abs=1e-3)


@given(seed=_SEEDS, t_s=_TIMES, later_s=st.floats(0, DAY_S))
def test_a_meter_never_runs_backwards(seed: int, t_s: float, later_s: float) -> None:
    sample = kinds()["meter"].sample
    assert sample is not None
    before, after = (json.loads(sample(seed, moment))["energy_kwh"] for moment in (t_s, t_s + later_s))
    assert after >= before


def test_every_device_has_a_seed_of_its_own() -> None:
    seeds = {device.seed for device in FleetConfig("meter", count=50, seed=7).devices()}
    assert len(seeds) == 50
    assert derive(7, "meter-1") in seeds


@pytest.mark.parametrize(
    ("text", "rate_per_s"),
    [
        ("1/s", 1.0),
        ("10/minute", 1 / 6),
        ("0.5/s", 0.5),
        ("3600/h", 1.0),
        ("2", 2.0),
        (" 4 / s ", 4.0),
        ("60/minute", 1.0),
    ],
)
def test_rates(text: str, rate_per_s: float) -> None:
    assert parse_rate(text) == pytest.approx(rate_per_s)


@pytest.mark.parametrize("text", ["", "0/s", "-1/s", "1/week", "fast", "1/", "/s", "1e9", "nan", "inf"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r"give e\.g\. 1/s"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "toaster"}, "choose one of"),
        ({"kind": "meter", "url": "127.0.0.1:80"}, "give http://"),
        ({"kind": "meter", "binding": "coap"}, "give a coap:// URL"),
        ({"kind": "meter", "binding": "smoke"}, "choose one of http, mqtt, coap"),
        ({"kind": "meter", "count": 0}, "give 1 or more"),
        ({"kind": "meter", "rate_per_s": 0.0}, "more than 0"),
        ({"kind": "meter", "duration_s": 0.0}, "more than 0"),
        ({"kind": "meter", "name_prefix": "a b"}, "use letters"),
    ],
)
def test_a_fleet_that_cannot_work_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        FleetConfig(**options)  # type: ignore[arg-type]


_OFF = {"on": False, "level_percent": 100}


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("on", {"on": True, "level_percent": 100}),
        (" OFF ", _OFF),
        ("toggle", {"on": True, "level_percent": 100}),
        ("1", {"on": True, "level_percent": 100}),
        (True, {"on": True, "level_percent": 100}),
        ('{"on": true, "level_percent": 60}', {"on": True, "level_percent": 60}),
        ({"level_percent": 0}, {"on": False, "level_percent": 0}),
    ],
)
def test_commands(command: object, state: dict[str, object]) -> None:
    assert react(_OFF, command) == state


@pytest.mark.parametrize(
    "command",
    ["", "dim", "{", "[]", 7, None, {}, {"colour": 1}, {"on": 1}, {"level_percent": 101}, {"level_percent": True}],
)
def test_commands_that_make_no_sense(command: object) -> None:
    with pytest.raises(ValueError, match=r"send on|must be"):
        react(_OFF, command)
