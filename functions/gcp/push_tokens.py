"""Who may push: the OIDC token of a push, checked here where nobody in front of the worker does it.

Cloud Run's own check is the better one where there is one, and it takes the signature out of the tokens that it passes
on: behind it nothing is left to check here. Formats: "Authenticate push subscriptions" (Google Cloud), RFC 7519, 7517.
"""

from __future__ import annotations

from typing import Any

ISSUERS = ("https://accounts.google.com", "accounts.google.com")
LEEWAY_S = 30.0
"""How far two clocks may be apart."""


class NotAllowed(Exception):
    """A push that is turned away: an HTTP status and a sentence that says nothing of the token."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Pushers:
    """The one service account that may push. Made without touching the network; keys are fetched when first needed."""

    def __init__(self, audience: str, service_account: str, keys_url: str) -> None:
        import jwt  # here: only who asks for the check pays for it

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
        except (self._jwt.InvalidTokenError, self._jwt.PyJWKClientError) as exc:  # the latter: no key of that name
            raise NotAllowed(401, "the token is not one that Google made for this worker") from exc
        if claims.get("email") != self._service_account or claims.get("email_verified") is not True:
            raise NotAllowed(403, "the token is not the pushing service account's")

    def _claims(self, token: str) -> dict[str, Any]:
        return self._jwt.decode(
            token,
            # Names of keys that a stranger makes up have the keys fetched again twice a minute at most.
            self._keys.get_signing_key_from_jwt(token),
            algorithms=["RS256"],
            audience=self._audience,
            issuer=ISSUERS,
            leeway=LEEWAY_S,
            options={"require": ["aud", "exp", "iat", "iss"]},
        )
