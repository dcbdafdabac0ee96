"""Signs in to Google's Managed Service for Apache Kafka with Application Default Credentials.

Format of the token: "Authentication types", "OAuthBearer" (Managed Service for Apache Kafka, Google Cloud).
"""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC
from functools import cache
from typing import Any

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def google_token(_config: str) -> tuple[str, float]:
    """A token for SASL OAUTHBEARER, and the Unix time in seconds at which it expires; blocks.

    librdkafka calls it with sasl.oauthbearer.config, and again before the token expires. Raises GoogleAuthError.
    """
    return token_of(_credentials())


def token_of(credentials: Any) -> tuple[str, float]:
    """As `google_token`, for credentials of google-auth, which are refreshed where they are about to expire."""
    if not credentials.valid:
        from google.auth.transport.requests import Request

        credentials.refresh(Request())
    expires = credentials.expiry.replace(tzinfo=UTC).timestamp()
    claims = {
        "exp": expires,
        "iat": time.time(),
        "iss": "Google",
        "scope": "kafka",
        "sub": getattr(credentials, "service_account_email", "") or "user",
    }
    parts = ({"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"}, claims)
    signed = [json.dumps(part).encode() for part in parts] + [credentials.token.encode()]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in signed), expires


@cache
def _credentials() -> Any:
    import google.auth

    credentials, _ = google.auth.default(scopes=[SCOPE])
    return credentials
