"""Verifies that a request came through Identity-Aware Proxy (IAP), Google's sign-in before a service.

Without this check, the page would be open to everyone when IAP is switched off and callers need no permission. Formats:
"Securing your app with signed headers" (Google Cloud), RFC 7519, RFC 7517.
"""

from __future__ import annotations

import re

from client.gcp import UsageError
from model.text import quoted

HEADER = "x-goog-iap-jwt-assertion"
"""The header with IAP's token. IAP removes one that a browser sends itself."""

KEYS_URL = "https://www.gstatic.com/iap/verify/public_key-jwk"
"""Where Google publishes the keys that sign these tokens."""

_ISSUER = "https://cloud.google.com/iap"
_LEEWAY_S = 30.0
"""Tolerance in seconds for the difference between this clock and Google's, as Google's page has it."""


class IapTokens:
    """Accepts the tokens of one service. The constructor makes no request; the first check fetches the keys."""

    def __init__(self, audience: str, keys_url: str = KEYS_URL) -> None:
        """`audience`: the service, as /projects/NUMBER/locations/REGION/services/NAME. Raises UsageError."""
        if not re.fullmatch(r"/projects/[0-9]+/\S+", audience):
            raise UsageError(
                f"IAP_AUDIENCE is {quoted(audience)}; it must look like /projects/NUMBER/locations/REGION/services/NAME"
            )
        import jwt  # here, because only a page in the cloud needs it

        from functions.gcp.signing_keys import KeySet

        self._audience, self._jwt, self._keys = audience, jwt, KeySet(keys_url, "EC")

    def problem(self, tokens: list[str]) -> tuple[int, str] | None:
        """Return status and sentence for a request with these headers, None when IAP signed it. From any thread.

        May wait seconds for the keys, at most once in five minutes.
        """
        try:
            [token] = tokens
            self._jwt.decode(
                token,
                self._keys.get_signing_key_from_jwt(token),
                algorithms=["ES256"],
                audience=self._audience,
                issuer=_ISSUER,
                leeway=_LEEWAY_S,
                options={"require": ["aud", "exp", "iat", "iss", "sub"]},
            )
        except self._jwt.PyJWKClientConnectionError:
            return 503, "Google's keys for signing in cannot be fetched now: try again in a minute"
        except (ValueError, self._jwt.InvalidTokenError, self._jwt.PyJWKClientError):
            return 401, "this request did not come through Google's sign-in: open the page at its https address"
        return None
