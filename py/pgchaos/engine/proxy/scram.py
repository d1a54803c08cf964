"""The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), by which a client proves that it has the password. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

MECHANISM = "SCRAM-SHA-256"
_ITERATIONS = 4096
"""The server's default (scram_iterations); clients refuse fewer."""


class Refused(Exception):
    """The client did not prove that it has the password, or its message is invalid."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What a server stores of a password."""

    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)  # see RFC 5802
    server_key: bytes = field(repr=False)  # see RFC 5802

    @classmethod
    def of(cls, password: str) -> Secret:
        """Derive it from a password of ASCII letters and digits, which need no SASLprep."""
        salt = secrets.token_bytes(16)
        salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
        client_key = _hmac(salted, b"Client Key")
        return cls(salt, hashlib.sha256(client_key).digest(), _hmac(salted, b"Server Key"))


class Exchange:
    """One authentication: `first` answers the client's first message, `final` its last.

    Args:
        secret: of the required password.
    """

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._nonce = base64.b64encode(secrets.token_bytes(18)).decode()
        self._first = self._challenge = ""
        self._header = ""

    def first(self, data: bytes) -> bytes:
        """Answer client-first-message with server-first-message.

        Raises:
            Refused: it is invalid, or asks for what is not offered.
        """
        text = _text(data)
        flag, _, rest = text.partition(",")
        identity, _, bare = rest.partition(",")
        if flag not in ("n", "y") or identity:
            raise Refused("channel binding and another identity are not offered")
        fields = _fields(bare)
        if "m" in fields or not fields.get("r"):
            raise Refused("malformed SCRAM message")
        self._header, self._first = f"{flag},{identity},", bare
        self._nonce = fields["r"] + self._nonce
        salt = base64.b64encode(self._secret.salt).decode()
        self._challenge = f"r={self._nonce},s={salt},i={_ITERATIONS}"
        return self._challenge.encode()

    def final(self, data: bytes) -> bytes:
        """Answer client-final-message with server-final-message.

        Raises:
            Refused: the client does not have the password.
        """
        text = _text(data)
        without_proof, _, proof = text.rpartition(",p=")
        fields = _fields(without_proof)
        binding = base64.b64encode(self._header.encode()).decode()
        if fields.get("c") != binding or fields.get("r") != self._nonce:
            raise Refused("malformed SCRAM message")
        signed = f"{self._first},{self._challenge},{without_proof}".encode()
        signature = _hmac(self._secret.stored_key, signed)
        try:
            given = base64.b64decode(proof, validate=True)
        except ValueError:
            raise Refused("malformed SCRAM message") from None
        client_key = bytes(a ^ b for a, b in zip(given, signature, strict=False))
        if len(given) != len(signature) or not hmac.compare_digest(
            hashlib.sha256(client_key).digest(), self._secret.stored_key
        ):
            raise Refused("password authentication failed")
        return b"v=" + base64.b64encode(_hmac(self._secret.server_key, signed))


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, "sha256").digest()


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("malformed SCRAM message") from None


def _fields(text: str) -> dict[str, str]:
    return {name: value for name, sign, value in (part.partition("=") for part in text.split(",")) if sign}
