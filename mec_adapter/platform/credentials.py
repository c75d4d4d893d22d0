"""Clients of the platform and the token endpoint: OAuth 2.0 client credentials [MEC 009 6.16, RFC 6749 4.4]."""

import base64
import binascii
from typing import Annotated, Literal
from urllib.parse import parse_qs, unquote_plus

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from mec_adapter.platform.authority import OPERATOR_SCOPE
from mec_adapter.platform.dependencies import PlatformDep, errors, with_body
from mec_adapter.platform.http import PlatformRoute, answer, created, no_content
from mec_adapter.platform.problems import Problem
from mec_adapter.platform.wire import Text, Wire

router = APIRouter(route_class=PlatformRoute, prefix="/mep/v1")

Scope = Literal[
    "mec_app_support",
    "mec_service_mgmt",
    "iots",
    "capif",
    "fed_enablement",
    "amsi",
    "location",
    "app_lcm",
    "dev_app",
]


class ClientPost(Wire):
    """A client to create: what it is for, and which APIs it may use (all when absent)."""

    name: Text
    scopes: Annotated[list[Scope], Field(min_length=1)] | None = None


class Client(Wire):
    """A client, without its secret."""

    clientId: str
    name: str
    scopes: list[str]


class ClientCreated(Client):
    """A new client with its secret, which is shown this once."""

    clientSecret: str
    tokenEndpoint: str


class AccessToken(Wire):
    """An access token [RFC 6749 5.1]."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str


_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"]},
                        "scope": {"type": "string"},
                        "client_id": {"type": "string"},
                        "client_secret": {"type": "string"},
                    },
                }
            }
        },
    }
}


@router.post(
    "/oauth2/token",
    response_model=AccessToken,
    responses=errors(413, 415, 503),
    openapi_extra=_FORM,
    tags=[],
)
async def issue_token(request: Request, platform: PlatformDep) -> Response:
    """Return an access token for client id and secret, given by HTTP Basic or in the form."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise Problem(415, "send grant_type=client_credentials as application/x-www-form-urlencoded")
    form = _form(await request.body())
    if form.get("grant_type") != "client_credentials":
        wrong = "unsupported_grant_type" if "grant_type" in form else "invalid_request"
        raise Problem(400, "send grant_type=client_credentials; no other grant is supported", members={"error": wrong})
    client_id, secret = _credentials(request, form)
    token = platform.authority.issue(client_id, secret, form.get("scope", "").split(), platform.clock())
    return answer(token, headers={"Cache-Control": "no-store"})


@router.post("/clients", status_code=201, response_model=ClientCreated, responses=with_body(), tags=[OPERATOR_SCOPE])
async def create_client(request: Request, platform: PlatformDep, body: ClientPost) -> Response:
    """Create a client that may register application instances of its own."""
    client_id, secret = platform.authority.new_client(body.name, body.scopes, platform.env(request))
    shown = platform.authority.client(client_id)
    endpoint = f"{platform.base_url(request)}/mep/v1/oauth2/token"
    return created(
        {**shown, "clientSecret": secret, "tokenEndpoint": endpoint},
        f"{platform.base_url(request)}/mep/v1/clients/{client_id}",
    )


@router.get("/clients", response_model=list[Client], responses=errors(), tags=[OPERATOR_SCOPE])
async def list_clients(platform: PlatformDep) -> Response:
    """Return the clients without their secrets."""
    return answer(platform.authority.clients())


@router.get("/clients/{clientId}", response_model=Client, responses=errors(), tags=[OPERATOR_SCOPE])
async def read_client(platform: PlatformDep, client_id: Annotated[str, Path(alias="clientId")]) -> Response:
    """Return one client without its secret."""
    return answer(platform.authority.client(client_id))


@router.delete(
    "/clients/{clientId}", status_code=204, response_model=None, responses=errors(503), tags=[OPERATOR_SCOPE]
)
async def delete_client(platform: PlatformDep, client_id: Annotated[str, Path(alias="clientId")]) -> Response:
    """Remove a client; its tokens end at once, its application instances stay."""
    platform.authority.drop_client(client_id)
    return no_content()


def _form(body: bytes) -> dict[str, str]:
    """Return the fields of a form; a field that comes twice is an error [RFC 6749 3.2]."""
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise Problem(400, "the form cannot be read", members={"error": "invalid_request"}) from None
    for name, values in fields.items():
        if len(values) > 1:
            detail = f"form field {name[:64]!r} may be sent once only"
            raise Problem(400, detail, members={"error": "invalid_request"})
    return {name: values[0] for name, values in fields.items()}


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            text = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            text = ""
        client_id, _, secret = text.partition(":")
        return unquote_plus(client_id), unquote_plus(secret)
    if "client_id" in form and "client_secret" in form:
        return form["client_id"], form["client_secret"]
    raise Problem(
        401,
        "send client id and secret by HTTP Basic, or as client_id and client_secret in the form",
        {"WWW-Authenticate": 'Basic realm="mep"'},
        {"error": "invalid_client"},
    )
