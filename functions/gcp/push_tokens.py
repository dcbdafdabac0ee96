"""Authorizes pushes by their OIDC token, for workers whose platform does not.

Cloud Run authorizes requests itself, and removes the signature from the tokens that it forwards. There this check is
neither needed nor possible. Formats: "Authenticate push subscriptions" (Google Cloud), RFC 7519, RFC 7517.
"""

from __future__ import annotations

from typing import Any

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
LEEWAY_S = 30.0
"""Tolerance in seconds for the difference between this clock and Google's when a token's times are checked."""


class Unauthorized(Exception):
    """A push without a valid token: 401, or 403 for the token of another account. The text repeats nothing of it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class PushAuthorizer:
    """Accepts the pushes of one service account. The first check fetches the keys; the constructor makes no request."""

    def __init__(self, audience: str, service_account: str, keys_url: str) -> None:
        import jwt  # here, because only a worker that checks tokens needs it

        from functions.gcp.signing_keys import KeySet

        self._audience, self._service_account = audience, service_account
        self._jwt = jwt
        self._keys = KeySet(keys_url)

    def check(self, authorization: str | None) -> None:
        """Return if the header holds a token that Google signed for this audience and account. From any thread.

        Raises Unauthorized, or jwt.PyJWKClientConnectionError, which is transient, when the keys cannot be fetched.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized(401, "a push must carry the header Authorization: Bearer TOKEN")
        try:
            claims = self._claims(token.strip())
        except self._jwt.PyJWKClientConnectionError:
            raise
        except (self._jwt.InvalidTokenError, self._jwt.PyJWKClientError) as exc:  # PyJWKClientError: no key has this id
            raise Unauthorized(401, "the token is not a valid token from Google for this worker") from exc
        if claims.get("email") != self._service_account or claims.get("email_verified") is not True:
            raise Unauthorized(403, "the token belongs to another account than the service account that pushes")

    def _claims(self, token: str) -> dict[str, Any]:
        return self._jwt.decode(
            token,
            # Tokens with invented key ids make KeySet fetch the keys at most twice a minute.
            self._keys.get_signing_key_from_jwt(token),
            algorithms=["RS256"],
            audience=self._audience,
            issuer=ISSUERS,
            leeway=LEEWAY_S,
            options={"require": ["aud", "exp", "iat", "iss"]},
        )
