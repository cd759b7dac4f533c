"""Signing in with the company's accounts: OpenID Connect's authorization code flow with PKCE (RFC 7636), state, nonce.

Streamlit's `st.login` speaks the same protocol by the same library, but keeps a session of its own in a cookie that
nobody can end from here, behind a door that has already let the browser in. So the door speaks it, and what comes of it
is an ordinary session: it ends as all do, and roles hold at once.

What was sent along with the browser is kept here until it is back, and the browser holds one half of the key to it.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from inspection.errors import ServiceError, SettingsError
from inspection.settings import DashboardSettings
from storage.accounts.roles import ROLES, Role, parse_role

ANSWER_S = 10.0
KNOWN_S = 3600.0  # what the provider says of itself is asked for again
WAY_S = 600.0  # for somebody to sign in there
MOST_ON_THEIR_WAY = 1000
CLOCKS_APART_S = 60
SIGNED_BY = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}


class NotSignedIn(SettingsError):
    """Why the company's provider, or what it sent, lets nobody in; for whoever tried to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who the provider says it is. subject: issuer and number, which stay when a name changes. role: by the claim, None
    where there is none."""

    subject: str
    name: str
    role: Role | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """Of one browser that was sent to the provider."""

    state: str
    nonce: str
    verifier: str
    back: str
    wanted: str
    until: float


class Company:
    """The company's provider. Both acts ask it by the network and wait."""

    def __init__(self, settings: DashboardSettings) -> None:
        self._settings = settings
        self._ways: OrderedDict[str, _Way] = OrderedDict()
        self._lock = threading.Lock()
        self._known: tuple[float, dict[str, Any]] = (0.0, {})

    def send(self, *, back: str, wanted: str) -> tuple[str, str]:
        """Where to send the browser, and a secret for it to bring back. back: the address that the provider sends it
        to; wanted: the page it then sees. Raises `ServiceError`."""
        known = self._provider()
        held = secrets.token_urlsafe(32)
        way = _Way(
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            back=back,
            wanted=wanted,
            until=time.monotonic() + WAY_S,
        )
        with self._lock:
            self._ways[held] = way
            while len(self._ways) > MOST_ON_THEIR_WAY:
                self._ways.popitem(last=False)
        address, _state = self._client(way).create_authorization_url(
            known["authorization_endpoint"], state=way.state, nonce=way.nonce, code_verifier=way.verifier
        )
        return str(address), held

    def receive(self, *, held: str, answer: Mapping[str, str]) -> tuple[Person, str]:
        """Who is back, and the page they wanted. held: the browser's secret; answer: what its address says.

        Each way is gone once. Raises `NotSignedIn`, and `ServiceError` when the provider is away."""
        with self._lock:
            way = self._ways.pop(held, None)
        if way is None or time.monotonic() > way.until or not _same(answer.get("state", ""), way.state):
            raise NotSignedIn("this way in is over, or began in another browser: begin again")
        if "error" in answer or not answer.get("code"):
            raise NotSignedIn(f"{self._settings.oidc_name} did not let you in: begin again, or ask an admin")
        known = self._provider()
        try:
            token = self._client(way).fetch_token(
                known["token_endpoint"],
                code=answer["code"],
                grant_type="authorization_code",
                code_verifier=way.verifier,
                timeout=ANSWER_S,
            )
        except (AuthlibBaseError, requests.RequestException, ValueError) as error:
            raise ServiceError(
                f"{self._settings.oidc_name} took the code but gave no token ({type(error).__name__}): "
                "check LOOMWATCH_DASHBOARD_OIDC_CLIENT_ID and its secret"
            ) from error
        return self._person(token.get("id_token"), known, nonce=way.nonce), way.wanted

    def _client(self, way: _Way) -> OAuth2Session:
        settings = self._settings
        return OAuth2Session(
            settings.oidc_client_id,
            settings.oidc_client_secret.get_secret_value(),
            scope=settings.oidc_scope,
            redirect_uri=way.back,
            code_challenge_method="S256",
        )

    def _provider(self) -> dict[str, Any]:
        """What the provider says of itself. Raises `ServiceError`."""
        at, known = self._known
        if known and time.monotonic() - at < KNOWN_S:
            return known
        issuer = self._settings.oidc_issuer
        known = self._ask(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        missing = [name for name in ("authorization_endpoint", "token_endpoint", "jwks_uri") if not known.get(name)]
        if known.get("issuer") != issuer or missing:
            raise ServiceError(
                f"{issuer} does not describe itself by this name: correct LOOMWATCH_DASHBOARD_OIDC_ISSUER to the letter"
            )
        self._known = (time.monotonic(), known)
        return known

    def _ask(self, address: str) -> dict[str, Any]:
        try:
            answer = requests.get(address, timeout=ANSWER_S)
            answer.raise_for_status()
            found = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise ServiceError(f"{self._settings.oidc_name} does not answer ({type(error).__name__})") from error
        if not isinstance(found, dict):
            raise ServiceError(f"{self._settings.oidc_name} answers something else than was asked")
        return found

    def _person(self, id_token: object, known: Mapping[str, Any], *, nonce: str) -> Person:
        """From an ID token, of which signature, issuer, audience, time and nonce are checked. Raises `NotSignedIn`."""
        settings = self._settings
        trusted = sorted(SIGNED_BY & set(known.get("id_token_signing_alg_values_supported", ["RS256"])))
        wanted = jwt.JWTClaimsRegistry(
            leeway=CLOCKS_APART_S,
            iss={"essential": True, "value": settings.oidc_issuer},
            aud={"essential": True, "value": settings.oidc_client_id},
            sub={"essential": True},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            keys = KeySet.import_key_set(self._ask(str(known["jwks_uri"])))  # type: ignore[arg-type]
            claims = jwt.decode(str(id_token), keys, algorithms=trusted).claims
            wanted.validate(claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise NotSignedIn(
                f"what {settings.oidc_name} sent cannot be trusted ({type(error).__name__}): ask an admin"
            ) from error
        name = str(claims.get(settings.oidc_name_claim) or "")
        if not name:
            raise NotSignedIn(f"{settings.oidc_name} did not say your name ({settings.oidc_name_claim}): ask an admin")
        return Person(subject=f"{settings.oidc_issuer} {claims['sub']}", name=name, role=_role_of(claims, settings))


def _role_of(claims: Mapping[str, Any], settings: DashboardSettings) -> Role | None:
    """The highest of those that the values of the claim stand for; None where none does."""
    if not settings.oidc_role_claim:
        return None
    found: Any = claims
    for part in settings.oidc_role_claim.split("."):  # such as realm_access.roles
        found = found.get(part) if isinstance(found, Mapping) else None
    values = found if isinstance(found, list) else [found]
    roles = [
        parse_role(settings.oidc_roles[value])
        for value in values
        if isinstance(value, str) and value in settings.oidc_roles
    ]
    return max(roles, key=ROLES.index, default=None)


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())
