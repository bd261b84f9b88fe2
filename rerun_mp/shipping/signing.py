"""Signs the requests of nodes to the head with the secret of the job, which never crosses the network.

A signature covers method, path, place and size of the content, and its SHA-256. It does not hide anything: across an
untrusted network, use a tunnel. Repeating a signed request changes nothing, because parts never change.

The head signs its answers, too. So a node removes a part only after the head of its job has said that it has the part.
Another server cannot say so, nor can a proxy that changes bytes.
"""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["ANSWER", "AUTHORIZATION", "is_signed", "sign"]

AUTHORIZATION = "rerun_mp"
"""The scheme of the header `Authorization`."""
ANSWER = "X-Answer"
"""The header with the signature of an answer. Its facts are the request's header `Authorization` and the content."""


def sign(token: str, *facts: str) -> str:
    """Return the value of the header `Authorization` for a request with these facts."""
    digest = hmac.new(token.encode(), "\n".join(facts).encode(), hashlib.sha256).hexdigest()
    return f"{AUTHORIZATION} {digest}"


def is_signed(token: str, header: str | None, *facts: str) -> bool:
    """Say whether `header` is the signature of a request with these facts."""
    return header is not None and hmac.compare_digest(header.encode(), sign(token, *facts).encode())
