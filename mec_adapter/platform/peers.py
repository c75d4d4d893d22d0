"""Asks other MEC platforms of the federation for their services, with tokens of theirs where they want some."""

import asyncio
from typing import Any

import aiohttp
from pydantic import TypeAdapter, ValidationError

from mec_adapter.platform.documents import JsonObject
from mec_adapter.platform.federation_registry import Peer
from mec_adapter.platform.http import parse_json
from mec_adapter.platform.outbound import AddressRule, CallbackRefused, check_uri, guarded_session
from mec_adapter.platform.problems import BadRequest, Problem
from mec_adapter.platform.service_mgmt_models import ServiceInfo

_MAX_ANSWER_BYTES = 4 * 1024 * 1024
_SERVICES = TypeAdapter(list[ServiceInfo])


class Peers:
    """The clients of other platforms.

    Args:
        rule: which addresses may be called.
        timeout_s: for one exchange with a peer.
    """

    def __init__(self, rule: AddressRule, timeout_s: float) -> None:
        self._rule = rule
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._tokens: dict[tuple[str, str], str] = {}

    async def services(self, peer: Peer) -> list[JsonObject]:
        """Return the ServiceInfo of every service of a peer, none of them local here [MEC 040 5.2.3].

        Raises:
            Problem: 502 the peer refused or answered something else, 504 it did not answer in time.
        """
        url = f"{peer.api_root}/mec_service_mgmt/v1/services"
        try:
            status, answer = await self._get(url, peer)
            if status == 401 and peer.credentials is not None:
                self._tokens.pop(_key(peer.credentials), None)
                status, answer = await self._get(url, peer)
            if status != 200:
                raise Problem(502, f"the platform of that system answered {status} to GET {url}")
            found = _SERVICES.validate_python(parse_json(answer))
        except TimeoutError:
            raise Problem(
                504, f"the platform of that system at {peer.api_root} gave no answer in {self._timeout_s:g} s"
            ) from None
        except CallbackRefused as refusal:
            raise Problem(502, f"{refusal}; the operator says where the platform may call") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Problem(502, f"no platform answers at {peer.api_root}: {error}"[:300]) from None
        except (BadRequest, ValidationError, ValueError) as error:
            detail = f"GET {url} gave no list of ServiceInfo ({type(error).__name__})"
            raise Problem(502, detail) from None
        return [{**info.document(), "isLocal": False} for info in found]

    async def close(self) -> None:
        """Release the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get(self, url: str, peer: Peer) -> tuple[int, bytes]:
        headers = {}
        if peer.credentials is not None:
            headers["Authorization"] = f"Bearer {await self._token(peer.credentials)}"
        return await self._exchange("GET", url, headers=headers)

    async def _token(self, credentials: JsonObject) -> str:
        key = _key(credentials)
        if key not in self._tokens:
            form = {
                "grant_type": "client_credentials",
                "client_id": credentials["clientId"],
                "client_secret": credentials["clientSecret"],
            }
            status, answer = await self._exchange("POST", credentials["tokenEndpoint"], data=form)
            granted = parse_json(answer) if status == 200 else None
            if not isinstance(granted, dict) or not isinstance(granted.get("access_token"), str):
                raise Problem(502, f"the token endpoint of that system answered {status}; federate again")
            self._tokens[key] = granted["access_token"]
        return self._tokens[key]

    async def _exchange(self, method: str, url: str, **options: Any) -> tuple[int, bytes]:
        check_uri(url, self._rule)
        if self._session is None:
            self._session = guarded_session(self._rule, self._timeout_s)
        async with (
            asyncio.timeout(self._timeout_s),
            self._session.request(method, url, allow_redirects=False, **options) as response,
        ):
            answer = await response.content.read(_MAX_ANSWER_BYTES + 1)
            while len(answer) <= _MAX_ANSWER_BYTES and (more := await response.content.read(_MAX_ANSWER_BYTES)):
                answer += more
            if len(answer) > _MAX_ANSWER_BYTES:
                raise Problem(502, f"{url} answered more than {_MAX_ANSWER_BYTES} bytes")
            return response.status, answer


def _key(credentials: JsonObject) -> tuple[str, str]:
    return credentials["tokenEndpoint"], credentials["clientId"]
