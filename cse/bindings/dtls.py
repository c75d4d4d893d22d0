"""DTLS 1.2 for a server's UDP socket: pre-shared keys and X.509 (RFC 6347, RFC 7252 clause 9; ADR 0015).

OpenSSL does the cryptography, without a socket of its own: datagrams go in and out through memory. Nothing is kept of a
peer before it has returned a cookie, so addresses that are made up cost no memory and get no more than they sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from cse.bindings.dtls_secrets import DtlsError, DtlsSecrets

_log = logging.getLogger(__name__)

Peer = tuple[Any, ...]
_DTLS_1_2 = 0xFEFD
_HANDSHAKE, _CLIENT_HELLO = 22, 1
_RECORD_HEADER_BYTES = 13
_READ_BYTES = 1 << 16
_UNKNOWN_KEY_BYTES = 16
#: forward secrecy first where devices can; CCM_8 is what RFC 7252 demands of all
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES128-CCM8:ECDHE-PSK-CHACHA20-POLY1305:"
    b"PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:PSK-AES128-CCM:PSK-AES128-CCM8:"
    # CCM_8 has a short tag, which OpenSSL refuses above level 0; the list above is what keeps weak suites out
    b"@SECLEVEL=0"
)


@dataclass(frozen=True, slots=True)
class DtlsLimits:
    """What DTLS peers may cost.

    Attributes:
        sessions: most sessions; the one that was silent longest gives way.
        half_open: most handshakes at a time.
        handshake_s: a handshake must be done in this time.
        idle_s: a session that is silent for so long is forgotten.
        datagram_bytes: largest datagram of a handshake.
    """

    sessions: int = 1000
    half_open: int = 64
    handshake_s: float = 15.0
    idle_s: float = 600.0
    datagram_bytes: int = 1200


class _Session:
    """One peer after its cookie came back."""

    __slots__ = ("address", "connection", "credential", "done", "heard_s", "identity", "key", "peer")

    def __init__(self, connection: SSL.Connection, address: Peer, number: int, now_s: float) -> None:
        self.connection = connection
        self.address = address
        #: the peer for the layer above: a new session of an address is a new peer
        self.peer: Peer = (*address, number)
        self.done = False
        self.heard_s = now_s
        self.identity = ""
        self.key: bytes | None = None
        self.credential = ""


class DtlsEndpoint(asyncio.DatagramProtocol):
    """A UDP socket that speaks DTLS, below a protocol that sees plain datagrams.

    Args:
        inner: gets datagrams of peers whose handshake is done, and a transport to answer them.
        keys: what is proved and asked for.
        limits: bounds.

    Raises:
        DtlsError: the files cannot be used.
    """

    def __init__(self, inner: asyncio.DatagramProtocol, keys: DtlsSecrets, limits: DtlsLimits | None = None) -> None:
        self._inner = inner
        self._keys = keys
        self._limits = limits or DtlsLimits()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._cookie_key = secrets.token_bytes(32)
        self._by_address: OrderedDict[Peer, _Session] = OrderedDict()
        self._by_peer: dict[Peer, _Session] = {}
        self._half_open = 0
        self._count = 0
        self._greeted: Peer = ()
        self._driven: _Session | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._context = self._new_context()
        self._listener = self._new_listener()

    def credential_of(self, peer: Peer) -> str:
        """The entity a peer proved itself to be, "" for none."""
        session = self._by_peer.get(peer)
        return session.credential if session is not None else ""

    @property
    def half_open(self) -> int:
        """Handshakes that go on."""
        return self._half_open

    @property
    def sessions(self) -> int:
        """Sessions, those of handshakes that go on included."""
        return len(self._by_address)

    def credentials_changed(self) -> None:
        """Forget the sessions whose pre-shared key is no longer that of their identity."""
        for session in list(self._by_address.values()):
            if session.identity and self._keys.key_of(session.identity) != session.key:
                self._forget(session)

    # --- asyncio.DatagramProtocol -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and give the layer above one that encrypts."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._inner.connection_made(cast(asyncio.DatagramTransport, self))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget all."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._inner.connection_lost(exc)
        self._transport = None
        self._by_address.clear()
        self._by_peer.clear()

    def error_received(self, exc: Exception) -> None:
        """Pass over: peers that are gone time out."""

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        """Take one datagram."""
        session = self._by_address.get(addr)
        if session is None or (session.done and _is_client_hello(data)):
            # A peer that lost its state begins anew; the old session stands until the new one proved its address.
            self._greet(data, addr)
        else:
            self._feed(session, data)

    # --- asyncio.DatagramTransport, for the layer above ---------------------------------------------------------

    def sendto(self, data: bytes, addr: Peer) -> None:
        """Encrypt and send; dropped when the session is gone."""
        session = self._by_peer.get(addr)
        if session is None or not session.done:
            return
        try:
            session.connection.send(data)
        except SSL.Error:
            self._forget(session)
            return
        self._flush(session.connection, session.address)

    # --- handshakes ---------------------------------------------------------------------------------------------

    def _greet(self, data: bytes, addr: Peer) -> None:
        if not _is_client_hello(data):
            return
        connection, self._greeted = self._listener, addr
        try:
            connection.bio_write(data)
            connection.DTLSv1_listen()
        except SSL.WantReadError:
            self._flush(connection, addr)  # HelloVerifyRequest, shorter than what it answers
            return
        except SSL.Error:
            self._listener = self._new_listener()
            return
        self._listener = self._new_listener()
        if self._half_open >= self._limits.half_open:
            return  # the peer tries again
        old = self._by_address.get(addr)
        if old is not None:
            self._forget(old)
        if len(self._by_address) >= self._limits.sessions:
            self._forget(next(iter(self._by_address.values())))
        connection.set_ciphertext_mtu(self._limits.datagram_bytes)
        self._count += 1
        session = _Session(connection, addr, self._count, self._loop.time())
        self._by_address[addr] = self._by_peer[session.peer] = session
        self._half_open += 1
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(1.0, self._sweep)
        self._drive(session)

    def _feed(self, session: _Session, data: bytes) -> None:
        try:
            session.connection.bio_write(data)
        except SSL.Error:
            return
        self._drive(session)

    def _drive(self, session: _Session) -> None:
        """Let OpenSSL do what it can: go on with the handshake, or read."""
        connection, self._driven = session.connection, session
        try:
            if not session.done:
                connection.do_handshake()
                self._finish(session)
            while True:
                data = connection.recv(_READ_BYTES)
                session.heard_s = self._loop.time()
                self._by_address.move_to_end(session.address)
                self._inner.datagram_received(data, session.peer)
                if session.peer not in self._by_peer:
                    return
        except SSL.WantReadError:
            self._flush(connection, session.address)
        except SSL.Error as error:
            # An orderly end, or a handshake that failed; records that were tampered with are passed over before.
            _log.debug("dtls: session of %s ends: %r", session.address[0], error)
            self._flush(connection, session.address)
            self._forget(session)
        finally:
            self._driven = None

    def _finish(self, session: _Session) -> None:
        session.done = True
        self._half_open -= 1
        session.credential = session.identity
        certificate = session.connection.get_peer_certificate(as_cryptography=True)
        if certificate is not None and not session.identity:
            session.credential = self._keys.entity_of_names(*_names(certificate))

    def _forget(self, session: _Session) -> None:
        if self._by_peer.pop(session.peer, None) is None:
            return
        if self._by_address.get(session.address) is session:
            del self._by_address[session.address]
        if not session.done:
            self._half_open -= 1
            return
        try:
            session.connection.shutdown()
        except SSL.Error:
            return
        self._flush(session.connection, session.address)

    def _sweep(self) -> None:
        """Repeat lost flights, end handshakes that take too long and sessions that are silent."""
        now_s, limits = self._loop.time(), self._limits
        for session in list(self._by_address.values()):
            silent_s = now_s - session.heard_s
            if silent_s > (limits.idle_s if session.done else limits.handshake_s):
                self._forget(session)
            elif not session.done and _is_due(session.connection.DTLSv1_get_timeout()):
                try:
                    session.connection.DTLSv1_handle_timeout()
                except SSL.Error:
                    self._forget(session)
                else:
                    self._flush(session.connection, session.address)
        self._sweep_timer = self._loop.call_later(1.0, self._sweep) if self._by_address else None

    def _flush(self, connection: SSL.Connection, address: Peer) -> None:
        if self._transport is None:
            return
        try:
            while True:
                for datagram in _datagrams(connection.bio_read(_READ_BYTES), self._limits.datagram_bytes):
                    self._transport.sendto(datagram, address)
        except SSL.WantReadError:
            return

    # --- OpenSSL ------------------------------------------------------------------------------------------------

    def _new_listener(self) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_accept_state()
        return connection

    def _new_context(self) -> SSL.Context:
        keys = self._keys
        context = SSL.Context(SSL.DTLS_SERVER_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_cipher_list(_CIPHERS)
        # A resumed session would not tell whose key it was made with.
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_cookie_generate_callback(lambda _connection: self._cookie())
        context.set_cookie_verify_callback(lambda _connection, cookie: hmac.compare_digest(cookie, self._cookie()))
        try:
            if keys.cert:
                context.use_certificate_chain_file(keys.cert)
                context.use_privatekey_file(keys.key or keys.cert)
                context.check_privatekey()
            if keys.ca:
                context.load_verify_locations(keys.ca)
                context.set_verify(SSL.VERIFY_PEER, lambda _connection, _cert, _number, _depth, ok: bool(ok))
        except SSL.Error as error:
            raise DtlsError(
                f"--tls-cert {keys.cert} --tls-key {keys.key or keys.cert} --tls-ca {keys.ca or 'none'} cannot be used "
                f"for --coaps ({error}): give PEM files"
            ) from error
        self._ask_for_keys(context)
        return context

    def _ask_for_keys(self, context: SSL.Context) -> None:
        # pyOpenSSL has no call for this; the binding below it, which it is made of, has.
        binding = Binding()
        ffi = binding.ffi

        @ffi.callback("unsigned int(SSL *, const char *, unsigned char *, unsigned int)")  # type: ignore[untyped-decorator]
        def give_key(_ssl: Any, identity: Any, place: Any, room: int) -> int:
            session = self._driven
            if session is None:
                return 0
            name = ffi.string(identity).decode("utf-8", "replace") if identity != ffi.NULL else ""
            session.identity, session.key = name, self._keys.key_of(name)
            # Nobody learns which identities there are: an unknown one fails as a wrong key does (RFC 4279 clause 2).
            key = session.key or secrets.token_bytes(_UNKNOWN_KEY_BYTES)
            if len(key) > room:
                return 0
            ffi.memmove(place, key, len(key))
            return len(key)

        self._give_key = give_key  # OpenSSL does not keep it
        binding.lib.SSL_CTX_set_psk_server_callback(context._context, give_key)

    def _cookie(self) -> bytes:
        return hmac.digest(self._cookie_key, repr(self._greeted).encode(), hashlib.sha256)


def _is_due(left_s: float | None) -> bool:
    return left_s is not None and left_s <= 0


def _is_client_hello(data: bytes) -> bool:
    """Whether a datagram begins with an unprotected ClientHello, in one piece."""
    return (
        len(data) > _RECORD_HEADER_BYTES
        and data[0] == _HANDSHAKE
        and data[1] == 0xFE
        and data[3:5] == b"\0\0"
        and data[_RECORD_HEADER_BYTES] == _CLIENT_HELLO
    )


def _datagrams(records: bytes, most_bytes: int) -> list[bytes]:
    """Records in datagrams: several in one as long as they fit."""
    found: list[bytes] = []
    at = 0
    while at < len(records):
        end = at + _RECORD_HEADER_BYTES + int.from_bytes(records[at + 11 : at + 13])
        if found and len(found[-1]) + end - at <= most_bytes:
            found[-1] += records[at:end]
        else:
            found.append(records[at:end])
        at = end
    return found


def _names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """URIs among the alternative names, and common names."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        uris = extension.value.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        uris = []
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return uris, [str(name.value) for name in names]
