"""A small provider of OpenID Connect, as strict as the protocol asks: a known client, PKCE by S256, codes that work
once. What it puts into its tokens a test may change, to be a worse one."""

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.ports import free_port
from tests.waiting import wait_for

CLIENT, SECRET = "loomwatch", "the provider's secret for us"


@dataclass
class Provider:
    """person: the claims of whoever signs in there. spoil: claims that are replaced, or left out by None."""

    issuer: str
    person: dict[str, Any] = field(default_factory=dict)
    spoil: dict[str, Any] = field(default_factory=dict)
    sign_by_another: bool = False
    asked: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))

    async def describe(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "id_token_signing_alg_values_supported": ["RS256", "none", "HS256"],
            }
        )

    async def keys(self, _request: Request) -> Response:
        return JSONResponse(KeySet([self._key]).as_dict(private=False))

    async def authorize(self, request: Request) -> Response:
        """Everybody who comes is `person`, and agrees."""
        given = dict(request.query_params)
        self.asked.append(str(request.url))
        assert given["client_id"] == CLIENT
        assert given["response_type"] == "code"
        assert given["code_challenge_method"] == "S256"
        assert len(given["state"]) > 30
        assert len(given["nonce"]) > 30
        code = secrets.token_urlsafe(16)
        self._codes[code] = given
        return RedirectResponse(f"{given['redirect_uri']}?{urlencode({'code': code, 'state': given['state']})}")

    async def token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        given = self._codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            request.headers.get("authorization") != f"Basic {basic}"
            or given is None
            or given["code_challenge"] != challenge.decode().rstrip("=")
            or given["redirect_uri"] != form.get("redirect_uri")
        ):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        now = int(time.time())
        claims = {
            **{"iss": self.issuer, "aud": CLIENT, "nonce": given["nonce"], "iat": now, "exp": now + 60},
            **self.person,
            **self.spoil,
        }
        key = RSAKey.generate_key(2048, {"kid": "one"}) if self.sign_by_another else self._key
        token = jwt.encode(
            {"alg": "RS256", "kid": "one"}, {name: value for name, value in claims.items() if value is not None}, key
        )
        return JSONResponse({"access_token": "unused", "token_type": "Bearer", "expires_in": 60, "id_token": token})


@contextmanager
def provide() -> Iterator[Provider]:
    port = free_port()
    provider = Provider(issuer=f"http://127.0.0.1:{port}")
    routes = [
        Route("/.well-known/openid-configuration", provider.describe),
        Route("/keys", provider.keys),
        Route("/authorize", provider.authorize),
        Route("/token", provider.token, methods=["POST"]),
    ]
    server = uvicorn.Server(
        uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="error", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield provider
    finally:
        server.should_exit = True
        thread.join(30)
