"""An electricity meter: energy counter and power, over CoAP."""

from devices.kind import JSON, DeviceKind, as_json
from devices.signals import noise, wave, wave_integral

_PERIOD_S = 120.0


def sample(seed: int, t_s: float) -> str:
    """Energy in kWh, which never falls, and the power in W that it is the integral of."""
    base_w = 400.0 + 250.0 * noise(seed, -1)
    swing_w = 0.6 * base_w
    phase = (noise(seed, -2) + 1.0) / 2.0
    energy_ws = base_w * t_s + swing_w * wave_integral(t_s, _PERIOD_S, phase)
    counter_kwh = 1000.0 * (noise(seed, -3) + 1.0) + energy_ws / 3_600_000.0
    power_w = base_w + swing_w * wave(t_s, _PERIOD_S, phase)
    return as_json({"energy_kwh": round(counter_kwh, 6), "power_w": round(power_w, 1)})


KIND = DeviceKind(
    name="meter",
    description="electricity meter (kWh, W)",
    app_id="Norg.onemec.meter",
    binding="coap",
    content_info=JSON,
    sample=sample,
    labels=("quantity:energy", "unit:kWh"),
)
