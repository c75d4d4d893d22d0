"""What runs: the CSE on each of its bindings, the MEC platform with its token and services, and their clocks."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from onemec.doctor.findings import Finding, Level, ok, problem, skipped, warning
from onemec.values import moment_of

if TYPE_CHECKING:
    import aiohttp

    from mec_adapter.mp1.tokens import Credentials

_WAIT_S = 5.0
#: HTTP dates are whole seconds, so two seconds apart may be none
_NEAR_S, _FAR_S = 2.5, 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody answered over HTTP.

    Attributes:
        status: of HTTP.
        body: JSON, or the text.
        date_s: what the Date field said, in seconds since the epoch; None without one.
    """

    status: int
    body: Any
    date_s: float | None


async def look_at_cse(urls: dict[str, str], cse_id: str, originator: str, *, expected: bool) -> AsyncIterator[Finding]:
    """A CSE on each binding.

    Args:
        urls: by binding.
        cse_id: what its CSE-ID should be.
        originator: to ask as.
        expected: it should run; otherwise nothing is said where nobody answers.
    """
    answering = set()
    for binding, url in urls.items():
        finding = await _retrieve(binding, url, cse_id, originator, expected)
        if finding.level is Level.OK:
            answering.add(binding)
        yield finding
    http = urls.get("http", "")
    if "http" in answering:
        async for part in _ready(http, originator):
            yield part


async def _retrieve(binding: str, url: str, cse_id: str, originator: str, expected: bool) -> Finding:
    from cse.client import Client, RequestFailed, Unreachable
    from cse.onem2m.errors import CseError

    check, where = f"CSE over {binding}", _without_secrets(url)
    try:
        async with Client(url, cse_id=cse_id, originator=originator, timeout_s=_WAIT_S) as client:
            base = await client.retrieve("-")
    except RequestFailed as error:
        if error.debug:
            return ok(check, f"{where} answers ({int(error.status)} to {originator}, who may not read the CSEBase)")
        return problem(check, f"{where} answers {error}, which no CSE does", "is this the address of a CSE?")
    except Unreachable as error:
        if not expected:
            return skipped(check, f"no CSE runs at {where}")
        return problem(check, f"{where}: {error}", "start it (onemec cse), or give its address with --cse")
    except (CseError, ValueError) as error:
        return problem(check, f"{where}: {error}", "mend the address")
    if cse_id and base.get("csi") != cse_id:
        return problem(
            check, f"at {where} is {base.get('csi')}, not {cse_id}", "stop that one, give another address, or mend --id"
        )
    return ok(check, f"{base.get('csi')} answers at {where}")


async def _ready(http: str, originator: str) -> AsyncIterator[Finding]:
    """What the CSE itself says is wrong with its parts."""
    answer = await ask(f"{http}/ready")
    if not isinstance(answer, Answer) or not isinstance(answer.body, dict) or "parts" not in answer.body:
        return
    broken = {part: state for part, state in answer.body["parts"].items() if state != "ok"}
    for part, state in broken.items():
        yield problem(f"CSE part {part}", str(state), "the log of the CSE says more")
    if not broken:
        yield ok("CSE parts", f"all work: {', '.join(answer.body['parts'])}")
    primitive = await ask(f"{http}/-", **{"X-M2M-Origin": originator, "X-M2M-RI": "doctor", "X-M2M-RVI": "3"})
    if isinstance(primitive, Answer):
        yield look_at_clock("clock of the CSE", primitive.date_s, time.time())


async def look_at_mep(root: str, token: str, *, expected: bool) -> AsyncIterator[Finding]:
    """A MEC platform: Mp1 of MEC 011, with its services.

    Args:
        root: its apiRoot.
        token: OAuth2 bearer token, "" for none.
        expected: it should run.
    """
    check, where = "MEC platform", _without_secrets(root)
    answer = await ask(
        f"{root}/mec_service_mgmt/v1/services", **({"Authorization": f"Bearer {token}"} if token else {})
    )
    if isinstance(answer, str):
        if expected:
            yield problem(check, f"{where}: {answer}", "start it (onemec mep), or give its apiRoot with --mep")
        else:
            yield skipped(check, f"none runs at {where}")
        return
    if answer.status in (401, 403):
        what = "this token" if token else "requests without a token"
        yield problem(
            check, f"{where} refuses {what} ({answer.status})", "give one in ONEMEC_MEP_TOKEN, or mend --token-url"
        )
        return
    if answer.status != 200 or not isinstance(answer.body, list):
        yield problem(
            check,
            f"{where} answers {answer.status} to mec_service_mgmt/v1/services",
            "is this an apiRoot of MEC 011, with its prefix (e.g. /sbx1/mep1)?",
        )
        return
    yield ok(check, f"{where} answers" + (" and takes the token" if token else ""))
    yield _services(answer.body)
    yield look_at_clock("clock of the MEC platform", answer.date_s, time.time())


async def fetch_token(credentials: Credentials) -> tuple[str, Finding]:
    """An access token, "" without one, and what came of asking for it.

    Args:
        credentials: of the adapter.
    """
    import aiohttp

    from mec_adapter.mp1.errors import Mp1Problem, Mp1Unreachable
    from mec_adapter.mp1.tokens import TokenSource

    check, where = "MEC token", _without_secrets(credentials.token_url)
    async with aiohttp.ClientSession() as session:
        try:
            token = await TokenSource(credentials, session, _WAIT_S).token()
        except (Mp1Problem, Mp1Unreachable) as error:
            advice = "mend --token-url, ONEMEC_ADAPTER_CLIENT_ID and ONEMEC_ADAPTER_CLIENT_SECRET of the adapter"
            return "", problem(check, str(error), advice)
    return token, ok(check, f"{where} gives one to {credentials.client_id}")


def _services(services: list[Any]) -> Finding:
    known = [service for service in services if isinstance(service, dict)]
    inactive = [str(service.get("serName")) for service in known if service.get("state") != "ACTIVE"]
    if not services:
        return warning("MEC services", "no service is registered", "start onemec adapter: it registers the CSE")
    if inactive:
        words = f"{len(inactive)} of {len(services)} services are not ACTIVE: {', '.join(inactive[:5])}"
        return warning("MEC services", words, "see whether their application instances send heartbeats")
    return ok("MEC services", f"{len(services)} registered, all ACTIVE")


def look_at_clock(check: str, there_s: float | None, here_s: float) -> Finding:
    """How far a clock is from ours.

    Args:
        check: name of the finding.
        there_s: what the other says, in seconds since the epoch; None when it does not.
        here_s: what ours says.
    """
    if there_s is None:
        return skipped(check, "it sends no Date")
    apart_s = there_s - here_s
    words = f"{abs(apart_s):.0f} s {'ahead of' if apart_s > 0 else 'behind'} this machine"
    advice = "let a time service keep both right: times of values, expiry and tokens go by them"
    if abs(apart_s) > _FAR_S:
        return problem(check, words, advice)
    return warning(check, words, advice) if abs(apart_s) > _NEAR_S else ok(check, "agrees with this machine")


async def ask(url: str, **headers: str) -> Answer | str:
    """What is answered to a GET, or in words why nothing is.

    Args:
        url: to ask.
        **headers: to send.
    """
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_WAIT_S, sock_connect=_WAIT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            return Answer(answer.status, await _body(answer), _date(answer.headers))
    except aiohttp.ClientConnectorCertificateError as error:
        return f"its certificate is not trusted here: {error.certificate_error}"
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, ssl.SSLError) as error:
        return str(error) or "no answer in time"


async def _body(answer: aiohttp.ClientResponse) -> Any:
    text = await answer.text(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


def _date(headers: Mapping[str, str]) -> float | None:
    """When an answer was given: by the originating timestamp of a CSE, or by the Date of HTTP."""
    moment = moment_of(headers.get("X-M2M-OT", ""))
    if moment is not None:
        return moment.timestamp()
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except ValueError:
        return None


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
