"""How one of Feast's servers is spoken to: in the clear, or with a certificate that is trusted.

gRPC and Arrow Flight say of each such fault that the server cannot be reached, or did not answer.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from .store_faults import Asked

SOON = 0.4  # seconds for a greeting, where the server has let its answer be waited for already

_SETTING = {"registry": "registry", "online store": "online_store",
            "offline store": "offline_store"}  # fmt: skip


def fault(asked: Asked, seconds: float | None = None) -> str | None:
    """What is wrong with the way a server is spoken to, to follow its name; None for nothing.

    It greets the server once, and sends it nothing; `seconds` is how long that is waited for.
    """
    place = urlsplit(f"//{asked.address.rpartition('://')[2]}")
    wait = asked.seconds if seconds is None else seconds
    secured, cert = _is_secured(asked), _certificate(asked)
    if place.hostname is None or place.port is None:
        return None
    where = f"`cert` of {_SETTING[asked.part]}"
    if secured and cert and not os.path.isfile(cert):
        return f"cannot be trusted: there is no certificate at {cert}; see {where}."
    try:
        context = ssl.create_default_context(cafile=cert or None)
        context.set_alpn_protocols(["h2", "http/1.1"])
        if not secured:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((place.hostname, place.port), wait) as plain,
            context.wrap_socket(plain, server_hostname=place.hostname),
        ):
            pass
    except ssl.SSLCertVerificationError as problem:
        why = problem.verify_message.rstrip(".")
        return f"has a certificate that is not trusted ({why}); name its own in {where}."
    except ssl.SSLError:
        return (
            "speaks no TLS; start it with --key and --cert, or see its address."
            if secured
            else None
        )
    except OSError:  # nobody there, or nobody who answers: others say so
        return None
    scheme = " (and `scheme: https`)" if asked.part == "offline store" else ""
    return None if secured else f"speaks TLS; name its certificate in {where}{scheme}."


def _is_secured(asked: Asked) -> bool:
    if asked.part == "registry":
        return bool(getattr(asked.config, "cert", "") or getattr(asked.config, "is_tls", False))
    if asked.part == "offline store":
        return getattr(asked.config, "scheme", "") == "https"
    return str(getattr(asked.config, "path", "")).startswith("https:")


def _certificate(asked: Asked) -> str:
    """The one that its client trusts, by its settings or the environment."""
    own = str(getattr(asked.config, "cert", "") or "")
    if own or asked.part != "registry":
        return own
    return os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE") or ""
