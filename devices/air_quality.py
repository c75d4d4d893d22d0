"""An air-quality station: particulate matter, carbon dioxide, humidity, over HTTP."""

from devices.kind import JSON, DeviceKind, as_json
from devices.signals import DAY_S, drift, noise, wave


def sample(seed: int, t_s: float) -> str:
    """PM2.5 and PM10 in ug/m3, CO2 in ppm, relative humidity in percent."""
    traffic = 1.0 + 0.3 * wave(t_s, DAY_S / 2.0) + 0.4 * drift(seed, t_s, 45.0)
    pm2_5 = max(1.0, (9.0 + 4.0 * noise(seed, -1)) * traffic)
    values = {
        "pm2_5_ugm3": round(pm2_5, 1),
        "pm10_ugm3": round(pm2_5 * (1.7 + 0.2 * drift(seed + 1, t_s, 60.0)), 1),
        "co2_ppm": round(430.0 + 40.0 * traffic + 3.0 * noise(seed, int(t_s * 1000))),
        "humidity_percent": round(55.0 - 10.0 * wave(t_s, DAY_S) + 4.0 * drift(seed + 2, t_s, 90.0), 1),
    }
    return as_json(values)


KIND = DeviceKind(
    name="air_quality",
    description="air-quality station (PM2.5, PM10, CO2, humidity)",
    app_id="Norg.onemec.air-quality",
    binding="http",
    content_info=JSON,
    sample=sample,
    labels=("quantity:air-quality",),
)
