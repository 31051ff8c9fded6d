"""Who is behind the proxy?  Decides whose rate limit a request counts for, so nobody is believed without reason.

`X-Forwarded-For` is read from the right for as long as the addresses are proxies that the settings trust; the
first that is not is the client.  Without trusted proxies the header is not read at all.  Not here: whether the
client may (auth.py, rate_limit.py).
"""

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]  # Any: as PEP 3333 leaves it
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LONGEST_CHAIN = 20  # proxies; more is somebody playing
LOCAL_SOCKET = "unix"  # in the settings: a peer that came through a unix socket, which has no address


def behind_proxies(inner: Wsgi, trusted: tuple[str, ...]) -> Wsgi:
    """Put the client's address into REMOTE_ADDR, and what it spoke into the URL's scheme."""
    networks = tuple(ipaddress.ip_network(name, strict=False) for name in trusted if name != LOCAL_SOCKET)
    trusts_socket = LOCAL_SOCKET in trusted

    def is_trusted(address: Address | None) -> bool:
        return trusts_socket if address is None else any(address in network for network in networks)

    def outer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # Any: as PEP 3333 leaves it
        if is_trusted(parsed(environ.get("REMOTE_ADDR", ""))):
            chain = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")[-_LONGEST_CHAIN:]
            for hop in reversed(chain):
                address = parsed(hop)
                if address is None:
                    break  # an unreadable hop says nothing of those before it
                environ["REMOTE_ADDR"] = str(address)
                if not is_trusted(address):
                    break
            if environ.get("HTTP_X_FORWARDED_PROTO") in {"http", "https"}:
                environ["wsgi.url_scheme"] = environ["HTTP_X_FORWARDED_PROTO"]
        return inner(environ, start_response)

    return outer if trusted else inner


def parsed(text: str) -> Address | None:
    """`1.2.3.4`, `1.2.3.4:5678`, `[2001:db8::1]:443`; an IPv4 address in IPv6's clothes is IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
