"""Webhooks of jobs: how they are signed (Standard Webhooks 1.0, `v1`), and which addresses they may go to.

Both processes must agree on it: the API refuses what can never be sent, the worker decides again when it sends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

_SECRET_PREFIX = "whsec_"  # noqa: S105 - the specification's prefix, no secret
_SECRET_BYTES = (16, 128)
_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address in IPv6; "global" whatever it leads to

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def signing_key(secret: str) -> bytes:
    """The key in a secret: base64, with or without `whsec_`.  ValueError says what is wrong, not the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError:
        raise ValueError("a webhook secret is base64, with or without whsec_ before it") from None
    least, most = _SECRET_BYTES
    if not least <= len(key) <= most:
        raise ValueError(f"a webhook secret holds {least} to {most} bytes, this one {len(key)}")
    return key


def signature(key: bytes, message_id: str, unix_s: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{message_id}.{unix_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


@dataclass(frozen=True)
class Target:
    """Where a webhook goes.  `host` is a name in ASCII or an address; `path` has its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == _PORTS[self.scheme] else f"{shown}:{self.port}"

    @property
    def literal(self) -> Address | None:
        """The address, where the URL names one; None for a name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def target(url: str) -> Target:
    """An http or https URL taken apart.  ValueError: it cannot be called (user and password are not for URLs)."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not an http or https URL")
    host = parts.hostname.encode("idna").decode() if not parts.hostname.isascii() else parts.hostname
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?") if parts.query else ""
    port = parts.port if parts.port is not None else _PORTS[parts.scheme]
    return Target(parts.scheme, host, port, path + query)


def is_public(address: Address) -> bool:
    """Whether an address lies outside every private, loopback, link-local or otherwise special network.

    An IPv6 address that carries an IPv4 one is as public as that; of tunnels it cannot be known.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast
