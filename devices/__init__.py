"""Simulated devices that speak oneM2M to any CSE, over HTTP, MQTT or CoAP. Each kind is one file of this package."""
