"""Who may use the platform: clients, their secrets, and tokens bound to them; pure but for PyJWT [MEC 009 6.16]."""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jwt

from mec_adapter.platform.documents import Documents, JsonObject
from mec_adapter.platform.environment import Env
from mec_adapter.platform.problems import Forbidden, NotFound, Problem

CLIENT = "client"
_KEY = "signing_key"
_ALGORITHM = "HS256"

SCOPES = (
    "mec_app_support",
    "mec_service_mgmt",
    "iots",
    "capif",
    "fed_enablement",
    "amsi",
    "location",
    "app_lcm",
    "dev_app",
)
"""The scopes a client may have: one per API."""

OPERATOR_SCOPE = "mep"
"""What the operator's token opens, and nobody else's."""


@dataclass(frozen=True, slots=True)
class Token:
    """What an access token says: whose it is and which APIs it opens."""

    client_id: str
    scopes: tuple[str, ...]


class Authority:
    """Hands out and checks credentials.

    Args:
        documents: where clients and the signing key are kept; secrets are kept as SHA-256 of random values.
        issuer: name of this platform, in every token.
        lifetime_s: how long a token lives.
        new_secret: gives an unguessable string.
    """

    def __init__(self, documents: Documents, issuer: str, lifetime_s: int, new_secret: Callable[[], str]) -> None:
        self._documents = documents
        self._issuer = issuer
        self._lifetime_s = lifetime_s
        self._new_secret = new_secret

    def new_client(self, name: str, scopes: Sequence[str] | None, env: Env) -> tuple[str, str]:
        """Create a client.

        Args:
            name: what it is for, shown to the operator.
            scopes: the APIs it may use; None for all.
            env: identifiers.

        Returns:
            Its id and secret; the secret is not kept and cannot be shown again.
        """
        client_id, secret = f"client-{env.new_id()}", self._new_secret()
        self._documents.keep(
            CLIENT,
            client_id,
            {"clientId": client_id, "name": name, "scopes": list(scopes or SCOPES), "secretHash": _digest(secret)},
        )
        return client_id, secret

    def clients(self) -> list[JsonObject]:
        """Return all clients without what belongs to their secrets."""
        return [_shown(client) for client in self._documents.every(CLIENT)]

    def client(self, client_id: str) -> JsonObject:
        """Return one client without what belongs to its secret.

        Raises:
            NotFound: no such client.
        """
        client = self._documents.find(CLIENT, client_id)
        if client is None:
            raise NotFound(f"client {client_id[:128]!r} does not exist")
        return _shown(client)

    def drop_client(self, client_id: str | None, only_if_unused: bool = False) -> None:
        """Remove a client; its tokens end with it.

        Args:
            client_id: which one; None does nothing.
            only_if_unused: leave it when application instances belong to it.

        Raises:
            NotFound: no such client.
        """
        if client_id is None:
            return
        if only_if_unused:
            if not any(app["owner"] == client_id for app in self._documents.every("app")):
                self._documents.drop(CLIENT, client_id)
            return
        if not self._documents.drop(CLIENT, client_id):
            raise NotFound(f"client {client_id[:128]!r} does not exist")

    def issue(self, client_id: str, secret: str, wanted: Sequence[str], now: float) -> JsonObject:
        """Return the access token answer of a client credentials grant [RFC 6749 4.4].

        Args:
            client_id: who asks.
            secret: its proof.
            wanted: the scopes asked for; empty asks for all it has.
            now: seconds since 1970.

        Raises:
            Problem: 401 for wrong credentials, 400 for a scope this client does not have.
        """
        client = self._documents.find(CLIENT, client_id)
        # An unknown client costs the same time as a wrong secret.
        right = hmac.compare_digest(_digest(secret), client["secretHash"] if client else _digest(""))
        if client is None or not right:
            raise Problem(
                401,
                "client id or client secret is wrong",
                {"WWW-Authenticate": 'Basic realm="mep"'},
                {"error": "invalid_client"},
            )
        beyond = sorted(set(wanted) - set(client["scopes"]))
        if beyond:
            detail = f"scope {' '.join(beyond)[:100]} is not granted to this client; ask for some of its own"
            raise Problem(400, detail, members={"error": "invalid_scope"})
        scopes = " ".join(wanted or client["scopes"])
        issued = int(now)
        claims = {
            "iss": self._issuer,
            "aud": self._issuer,
            "sub": client_id,
            "scope": scopes,
            "iat": issued,
            "exp": issued + self._lifetime_s,
        }
        token = jwt.encode(claims, self._key(), algorithm=_ALGORITHM)
        return {"access_token": token, "token_type": "Bearer", "expires_in": self._lifetime_s, "scope": scopes}

    def check(self, token: str, now: float) -> Token:
        """Return what a token says.

        Raises:
            Problem: 401 when it is not ours, over, or its client is gone.
        """
        try:
            claims = jwt.decode(
                token,
                self._key(),
                algorithms=[_ALGORITHM],
                audience=self._issuer,
                issuer=self._issuer,
                options={"require": ["exp", "aud", "iss", "sub"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            raise _unauthorized("the access token is not one of this platform; get one at the token endpoint") from None
        if claims["exp"] <= now:
            raise _unauthorized("the access token is over; get a new one at the token endpoint")
        if self._documents.find(CLIENT, claims["sub"]) is None:
            raise _unauthorized("the client of this access token does not exist any more")
        return Token(claims["sub"], tuple(str(claims.get("scope", "")).split()))

    def allow(self, token: Token, scope: str, app: JsonObject | None) -> None:
        """Check that a token opens an API, and the application instance a request is about.

        Raises:
            Problem: 403, scope missing [RFC 6750 3.1], or the instance belongs to another client.
        """
        if scope not in token.scopes:
            challenge = f'Bearer realm="mep", error="insufficient_scope", scope="{scope}"'
            detail = f"the access token has no scope {scope}; ask the token endpoint for it"
            raise Problem(403, detail, {"WWW-Authenticate": challenge})
        if app is not None and app["owner"] != token.client_id:
            raise Forbidden(
                "the access token is not bound to this application instance; use the token of its own client"
            )

    def _key(self) -> str:
        kept = self._documents.find(_KEY, _KEY)
        if kept is None:
            kept = {"key": self._new_secret() + self._new_secret()}
            self._documents.keep(_KEY, _KEY, kept)
        key: str = kept["key"]
        return key


def _shown(client: JsonObject) -> JsonObject:
    return {name: client[name] for name in ("clientId", "name", "scopes")}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, {"WWW-Authenticate": 'Bearer realm="mep", error="invalid_token"'})
