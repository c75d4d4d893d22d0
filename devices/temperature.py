"""A temperature sensor: room temperature in degrees Celsius, over MQTT."""

from devices.kind import DeviceKind
from devices.signals import DAY_S, drift, noise, wave


def sample(seed: int, t_s: float) -> str:
    """Degrees Celsius with one decimal: a daily course, draughts, and the noise of a cheap sensor."""
    base = 20.5 + 2.0 * noise(seed, -1)
    value = base + 2.0 * wave(t_s, DAY_S) + 0.8 * drift(seed, t_s, 30.0) + 0.1 * noise(seed, int(t_s * 1000))
    return f"{value:.1f}"


KIND = DeviceKind(
    name="temperature",
    description="temperature sensor (degrees Celsius)",
    app_id="Norg.onemec.temperature",
    binding="mqtt",
    sample=sample,
    labels=("quantity:temperature", "unit:Cel"),
)
