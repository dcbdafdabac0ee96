"""Authorizes pushes by their OIDC tokens, where no platform in front of the worker does it.

Cloud Run's own check is the better one where there is one, and it takes the signature out of the tokens that it passes
on: behind it nothing is left to check here. Formats: "Authenticate push subscriptions" (Google Cloud), RFC 7519, 7517.
"""

from __future__ import annotations

from typing import Any

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
LEEWAY_S = 30.0
"""Seconds by which two clocks may differ."""


class NotAllowed(Exception):
    """An unauthorized push: an HTTP status and a sentence without any part of the token."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Pushers:
    """The one service account that may push. The keys are fetched at the first check."""

    def __init__(self, audience: str, service_account: str, keys_url: str) -> None:
        import jwt  # here: a worker without this check does not import it

        from functions.gcp.signing_keys import KeySet

        self._audience, self._service_account = audience, service_account
        self._jwt = jwt
        self._keys = KeySet(keys_url)

    def check(self, authorization: str | None) -> None:
        """Return when the header carries a token of Google's for this audience and account. From any thread.

        Raises NotAllowed; jwt.PyJWKClientConnectionError when the keys cannot be had, which is nobody's fault.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAllowed(401, "a push must carry the header Authorization: Bearer TOKEN")
        try:
            claims = self._claims(token.strip())
        except self._jwt.PyJWKClientConnectionError:
            raise
        except (self._jwt.InvalidTokenError, self._jwt.PyJWKClientError) as exc:  # the second: no key has that id
            raise NotAllowed(401, "the token is not one that Google made for this worker") from exc
        if claims.get("email") != self._service_account or claims.get("email_verified") is not True:
            raise NotAllowed(403, "the token is not the pushing service account's")

    def _claims(self, token: str) -> dict[str, Any]:
        return self._jwt.decode(
            token,
            # An untrusted sender can invent key ids: they cause at most two fetches a minute.
            self._keys.get_signing_key_from_jwt(token),
            algorithms=["RS256"],
            audience=self._audience,
            issuer=ISSUERS,
            leeway=LEEWAY_S,
            options={"require": ["aud", "exp", "iat", "iss"]},
        )
