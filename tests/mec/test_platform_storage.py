"""State of the embedded platform over restarts, and what happens when it cannot be stored."""

import sqlite3
import stat
from pathlib import Path

import pytest

from mec_adapter.platform.config import PlatformStartError
from mec_adapter.platform.documents import Change, Documents
from mec_adapter.platform.storage import SqliteStore, open_store
from tests.mec.conftest import Clock, Mep, StartMep, Subscriber, service_info


@pytest.mark.behaviour("OTH-9.02")
async def test_restart_keeps_everything(start_mep: StartMep, tmp_path: Path, subscriber: Subscriber) -> None:
    store = f"sqlite:///{tmp_path}/mep.db"
    async with start_mep(store=store) as mep:
        app_id = await mep.app(appInstanceId="app-1")
        info = await mep.service(app_id, livenessInterval=10)
        gone = await mep.service(app_id, serName="gone")
        await mep.delete(f"/mec_service_mgmt/v1/applications/{app_id}/services/{gone['serInstanceId']}")
        await mep.post(
            f"/mec_service_mgmt/v1/applications/{app_id}/subscriptions",
            {"subscriptionType": "SerAvailabilityNotificationSubscription", "callbackReference": subscriber.url},
        )
        device = {"deviceAuthenticationInfo": "a", "deviceId": "d", "enabled": True}
        await mep.post("/iots/v1/registered_devices", device)
        registration = (await mep.get("/mec_app_support/v1/registrations/app-1")).body
    async with start_mep(store=store) as mep:
        assert (await mep.get("/mec_app_support/v1/registrations/app-1")).body == registration
        listed = (await mep.get("/mec_service_mgmt/v1/services")).body
        assert [entry["serInstanceId"] for entry in listed] == [info["serInstanceId"]]
        assert (await mep.get("/iots/v1/registered_devices/d")).body["deviceId"] == "d"
        own = f"/mec_service_mgmt/v1/applications/app-1/services/{info['serInstanceId']}"
        assert (await mep.patch(f"{own}/liveness", {"state": "ACTIVE"})).status == 204
        await mep.delete(own)
        received = await subscriber.wait_for(1)
    assert received[-1]["serviceReferences"][0]["changeType"] == "REMOVED"


@pytest.mark.behaviour("OTH-9.02")
async def test_tokens_outlive_a_restart(start_mep: StartMep, tmp_path: Path) -> None:
    settings = {"store": f"sqlite:///{tmp_path}/mep.db", "insecure_dev": False, "admin_token": "operator-token-12345"}
    operator = {"Authorization": "Bearer operator-token-12345"}
    async with start_mep(**settings) as mep:
        made = (await mep.post("/mep/v1/clients", {"name": "x"}, headers=operator)).body
        form = {
            "grant_type": "client_credentials",
            "client_id": made["clientId"],
            "client_secret": made["clientSecret"],
        }
        token = (await mep.post("/mep/v1/oauth2/token", data=form)).body["access_token"]
    async with start_mep(**settings) as mep:
        header = {"Authorization": f"Bearer {token}"}
        assert (await mep.get("/mec_service_mgmt/v1/services", headers=header)).status == 200


async def test_silence_while_the_platform_was_down_suspends_nobody(
    start_mep: StartMep, tmp_path: Path, clock: Clock
) -> None:
    store = f"sqlite:///{tmp_path}/mep.db"
    async with start_mep(clock, store=store) as mep:
        info = await mep.service(await mep.app(appInstanceId="a"), livenessInterval=10)
    clock.now += 1000
    own = f"/mec_service_mgmt/v1/services/{info['serInstanceId']}"
    async with start_mep(clock, store=store) as mep:
        await mep.platform.tick()
        assert (await mep.get(own)).body["state"] == "ACTIVE"
        clock.now += 26
        await mep.platform.tick()
        assert (await mep.get(own)).body["state"] == "SUSPENDED"


@pytest.mark.behaviour("OTH-9.02")
async def test_answered_changes_are_on_disk_at_once(start_mep: StartMep, tmp_path: Path) -> None:
    path = tmp_path / "mep.db"
    async with start_mep(store=f"sqlite:///{path}") as mep:
        await mep.app(appInstanceId="app-1")
        reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        rows = reader.execute("SELECT key FROM document WHERE kind='app'").fetchall()
        reader.close()
    assert rows == [("app-1",)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.behaviour("OTH-9.05")
async def test_change_that_cannot_be_stored_is_503_and_no_notification_goes_out(
    mep: Mep, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    app_id = await mep.app()
    await mep.post(
        f"/mec_service_mgmt/v1/applications/{app_id}/subscriptions",
        {"subscriptionType": "SerAvailabilityNotificationSubscription", "callbackReference": subscriber.url},
    )
    path = f"/mec_service_mgmt/v1/applications/{app_id}/services"
    store = mep.platform._store
    failing = True

    def save(changes: list[Change]) -> None:
        if failing:
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store, "save", save)
    refused = await mep.post(path, service_info(serName="first"))
    assert (refused.status, refused.headers["Content-Type"]) == (503, "application/problem+json")
    assert refused.headers["Retry-After"]
    assert (await mep.get("/health")).status == 503
    assert (await mep.get("/mec_service_mgmt/v1/services")).status == 200
    assert subscriber.received == []
    failing = False
    assert (await mep.post(path, service_info(serName="second"))).status == 201
    await subscriber.wait_for(1)
    assert (await mep.get("/health")).status == 200


def test_put_back_changes_do_not_hide_newer_ones() -> None:
    documents = Documents()
    documents.keep("kind", "a", {"n": 1})
    documents.keep("kind", "b", {"n": 1})
    lost = documents.take_changes()
    documents.keep("kind", "a", {"n": 2})
    documents.put_back(lost)
    assert {change.key: change.body for change in documents.take_changes()} == {"a": {"n": 2}, "b": {"n": 1}}


def test_failed_save_changes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "mep.db")
    store.save([Change("kind", "a", {"n": 1})])
    with pytest.raises(TypeError):
        store.save([Change("kind", "b", {"n": 1}), Change("kind", "c", {"n": object()})])
    assert list(store.load()) == [("kind", "a", {"n": 1})]
    store.close()


def test_unusable_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, and long enough to be seen as none " * 20)
    for name in ("missing/mep.db", "text.db", "."):
        with pytest.raises(PlatformStartError, match=r"^[^\n]+$"):
            open_store(f"sqlite:///{tmp_path}/{name}")
