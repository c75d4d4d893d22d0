"""Application lifecycle API: what a MEC application may read of it [MEC 010-2]."""

from __future__ import annotations

from mec_adapter.mp1.types import Api, Endpoint

API = Api("app_lcm", ("v1",))

INSTANCES = Endpoint("GET", "/app_instances", (200,), "AppInstanceInfo")
