"""The door before Streamlit: without a session nothing behind it is served, neither a page nor the connection on which
Streamlit sends what pages show.

Here the browser gets its session, by a password, a one-time link or the company's own sign-in (`dashboard.company`): a
cookie that scripts cannot read and other sites cannot send. Streamlit itself cannot set one. What is behind the door
asks again (`dashboard.signed_in`), for a session may end while it is in use.
"""

import logging
import secrets
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from jinja2 import Environment, FileSystemLoader
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.company import WAY_S, Company
from dashboard.language import _, asked_for, language, ngettext, speaking
from dashboard.signed_in import cookie_name, limits_of
from dashboard.stored_sentences import told
from dashboard.theme import LOGO
from inspection.errors import LoomwatchError, SettingsError, StorageError
from inspection.language import N_
from inspection.settings import DashboardSettings, StoreSettings, load
from storage.accounts import links, sessions
from storage.accounts.company import sign_in_company
from storage.accounts.roles import parse_role
from storage.accounts.sign_in import sign_in
from storage.accounts.users import User, count_users
from storage.database import Database, open_database

log = logging.getLogger(__name__)

SIGN_IN, WELCOME, SIGN_OUT = "/sign-in", "/welcome", "/sign-out"
COMPANY, COMPANY_BACK = "/sign-in/company", "/sign-in/company/back"
OPEN = (SIGN_IN, WELCOME, SIGN_OUT, COMPANY, COMPANY_BACK, "/_stcore/health")
MAX_FORM_BYTES = 8192
COOKIE_S = 400 * 86_400  # the longest that browsers keep one
WRONG = N_("That is not a name and password that belong together.")
ENDED = N_("The session on this screen has ended. Sign in to go on where it was.")

_templates = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)


class Entrance:
    """What the door knows: the settings and the accounts. Opened when first asked."""

    @cached_property
    def settings(self) -> DashboardSettings:
        return load(DashboardSettings)

    @cached_property
    def database(self) -> Database:
        return open_database(load(StoreSettings).database)

    @cached_property
    def company(self) -> Company | None:
        """None where there is none."""
        return Company(self.settings) if self.settings.oidc_issuer else None

    def user_of(self, connection: HTTPConnection) -> User | None:
        """Raises `StorageError`."""
        secret = connection.cookies.get(cookie_name(self.settings), "")
        return sessions.find_user(self.database, secret, limits_of(self.settings)) if secret else None


entrance = Entrance()


class Door:
    """Lets in who has a session, shows others where to get one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", "frame-ancestors 'self'")
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
            await send(message)

        connection = HTTPConnection(scope)
        asked = asked_for(connection.headers.get("accept-language", ""))
        if scope["path"] in OPEN:
            with speaking(asked):
                await self._app(scope, receive, send_guarded)
            return
        with speaking(asked):
            refusal = await self._refusal(connection)
        if refusal is None:
            await self._app(scope, receive, send_guarded)
        elif scope["type"] == "websocket":
            await receive()  # the request to connect
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send_guarded)

    async def _refusal(self, connection: HTTPConnection) -> Response | None:
        """None for who may go in."""
        try:
            if await run_in_threadpool(entrance.user_of, connection) is not None:
                return None
        except LoomwatchError as error:
            return _out_of_order(error)
        if "text/html" not in connection.headers.get("accept", ""):
            return PlainTextResponse("sign in first", status_code=401)
        wanted = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
        return RedirectResponse(
            SIGN_IN + (f"?next={quote(wanted, safe='/')}" if wanted != "/" else ""), status_code=303
        )


# --- signing in ----------------------------------------------------------------------------------------------------


async def show_sign_in(request: Request) -> Response:
    try:
        found = await run_in_threadpool(entrance.user_of, request)
        first = not (found or entrance.company) and not await run_in_threadpool(count_users, entrance.database)
    except LoomwatchError as error:
        return _out_of_order(error)
    wanted = _local(request.query_params.get("next", ""))
    if found:
        return RedirectResponse(wanted, status_code=303)
    if first:
        return _page("nobody-yet")
    return _sign_in_page(wanted, problem=_(ENDED) if "ended" in request.query_params else "")


async def take_sign_in(request: Request) -> Response:
    form = await _form(request)
    if form is None:
        return PlainTextResponse("this form was not sent by loomwatch's own page", status_code=403)
    wanted, name = _local(form.get("next", "")), form.get("name", "")
    try:
        tried = await run_in_threadpool(
            sign_in,
            entrance.database,
            name=name,
            password=form.get("password", ""),
            address=_address(request),
            limits=limits_of(entrance.settings),
        )
    except LoomwatchError as error:
        return _out_of_order(error)
    if tried.secret:
        return _signed_in(request, tried.secret, wanted)
    if tried.wait:
        wait_s = max(1, round(tried.wait.total_seconds()))
        log.warning("sign-in from %s has to wait %d s after wrong passwords", _address(request), wait_s)
        said = _("Too many wrong passwords. Wait {time}, then try again.", time=_in_words(wait_s))
        return _sign_in_page(wanted, name=name, status=429, problem=said, retry_after=str(wait_s))
    log.warning("wrong name or password from %s", _address(request))
    return _sign_in_page(wanted, name=name, status=403, problem=_(WRONG))


async def send_to_company(request: Request) -> Response:
    """A link of the sign-in page; whoever follows it is told apart by a cookie when they are back."""
    company = entrance.company
    if company is None:
        return RedirectResponse(SIGN_IN, status_code=303)
    back = f"{entrance.settings.public_url.rstrip('/') or str(request.base_url).rstrip('/')}{COMPANY_BACK}"
    wanted = _local(request.query_params.get("next", ""))
    try:
        address, held = await run_in_threadpool(company.send, back=back, wanted=wanted)
    except LoomwatchError as error:
        return _out_of_order(error)
    response = RedirectResponse(address, status_code=303, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        _held_name(), held, max_age=round(WAY_S), path=COMPANY, httponly=True, samesite="lax", secure=_is_https(request)
    )
    return response


async def take_from_company(request: Request) -> Response:
    """Back from the company's provider, with a code that is worth something only here and once."""
    company = entrance.company
    if company is None:
        return RedirectResponse(SIGN_IN, status_code=303)
    try:
        person, wanted = await run_in_threadpool(
            company.receive, held=request.cookies.get(_held_name(), ""), answer=dict(request.query_params)
        )
        secret = await run_in_threadpool(
            sign_in_company,
            entrance.database,
            subject=person.subject,
            name=person.name,
            role=person.role,
            otherwise=parse_role(entrance.settings.oidc_otherwise) if entrance.settings.oidc_otherwise else None,
            limits=limits_of(entrance.settings),
        )
    except SettingsError as error:
        log.warning("sign-in with %s from %s: %s", entrance.settings.oidc_name, _address(request), error)
        response: Response = _sign_in_page("/", status=403, problem=_sentence(error))
    except LoomwatchError as error:
        response = _out_of_order(error)
    else:
        response = _signed_in(request, secret, wanted)
    response.delete_cookie(_held_name(), path=COMPANY)
    return response


async def show_welcome(_request: Request) -> Response:
    """The target of a one-time link. Its script takes the secret out of the address and sends it."""
    return _page("open-link")


async def take_welcome(request: Request) -> Response:
    """The secret, at first alone; where it asks for more, then with a password."""
    form = await _form(request)
    if form is None:
        return PlainTextResponse("this form was not sent by loomwatch's own page", status_code=403)
    secret, name, password = form.get("secret", ""), form.get("name", ""), form.get("password", "")
    try:
        link = await run_in_threadpool(links.look_at_link, entrance.database, secret)
        if link is None:
            return _page("link-gone", status=410)
        shown = {"secret": secret, "purpose": link.purpose, "name": link.name or name}
        if link.purpose in ("first-admin", "password"):
            if not password:
                return _page("choose-password", shown)
            if password != form.get("again", ""):
                return _page("choose-password", shown, status=422, problem=_("The two passwords are not the same."))
        opened = await run_in_threadpool(links.use_link, entrance.database, secret, name=name, password=password)
    except StorageError as error:
        return _out_of_order(error)
    except SettingsError as error:
        return _page("choose-password", shown, status=422, problem=_sentence(error))
    except LoomwatchError as error:
        return _out_of_order(error)
    return _signed_in(request, opened, "/")


async def take_sign_out(request: Request) -> Response:
    """Ends the session, of which the browser then forgets its part. A link elsewhere cannot do it: only a form."""
    form = await _form(request)
    if form is None:
        return PlainTextResponse("this form was not sent by loomwatch's own page", status_code=403)
    name = cookie_name(entrance.settings)
    try:
        await run_in_threadpool(sessions.end_session, entrance.database, request.cookies.get(name, ""))
    except LoomwatchError as error:
        return _out_of_order(error)
    response = RedirectResponse(SIGN_IN, status_code=303)
    response.delete_cookie(name)
    return response


routes = [
    Route(SIGN_IN, show_sign_in, methods=["GET"]),
    Route(SIGN_IN, take_sign_in, methods=["POST"]),
    Route(COMPANY, send_to_company, methods=["GET"]),
    Route(COMPANY_BACK, take_from_company, methods=["GET"]),
    Route(WELCOME, show_welcome, methods=["GET"]),
    Route(WELCOME, take_welcome, methods=["POST"]),
    Route(SIGN_OUT, take_sign_out, methods=["POST"]),
]


# --- parts ---------------------------------------------------------------------------------------------------------


def _signed_in(request: Request, secret: str, wanted: str) -> Response:
    response = RedirectResponse(wanted, status_code=303)
    response.set_cookie(
        cookie_name(entrance.settings),
        secret,
        max_age=COOKIE_S,  # the database says when it ends
        httponly=True,
        samesite="lax",  # a link in an alarm's mail leads in, a form of another site does not
        secure=_is_https(request),
    )
    return response


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https" or entrance.settings.public_url.startswith("https:")


def _held_name() -> str:
    return f"{cookie_name(entrance.settings)}_company"


def _sign_in_page(
    wanted: str, *, name: str = "", status: int = 200, problem: str = "", retry_after: str = ""
) -> HTMLResponse:
    company = entrance.settings.oidc_name if entrance.company else ""
    values = {"next": wanted, "name": name, "company": company}
    return _page("sign-in", values, status=status, problem=problem, retry_after=retry_after)


def _page(
    which: str, values: dict[str, str] | None = None, *, status: int = 200, problem: str = "", retry_after: str = ""
) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    body = _templates.get_template("door.html").render(
        which=which, problem=problem, nonce=nonce, logo=LOGO, values=values or {}, language=language(), _=_
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; form-action 'self'; "
        "img-src data:; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    if retry_after:
        headers["Retry-After"] = retry_after
    return HTMLResponse(body, status_code=status, headers=headers)


def _out_of_order(error: LoomwatchError) -> HTMLResponse:
    log.error("%s", error)
    return _page("out-of-order", status=503, problem=_sentence(error))


async def _form(request: Request) -> dict[str, str] | None:
    """The form's fields; None when it is too long or another site sent it."""
    if not _is_own(request):
        return None
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_FORM_BYTES:
            return None
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
    return {name: values[0] for name, values in fields.items()}


def _is_own(request: Request) -> bool:
    """Browsers say where a form comes from; what says nothing is no browser."""
    if site := request.headers.get("sec-fetch-site"):
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _local(address: str) -> str:
    """A path of this dashboard, whatever else was named."""
    parts = urlsplit(address)
    good = address.startswith("/") and not address.startswith(("//", "/\\")) and not (parts.scheme or parts.netloc)
    return address if good and address.isprintable() and "\\" not in address else "/"


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _sentence(error: Exception) -> str:
    return told(str(error)) + "."


def _in_words(seconds: int) -> str:
    return (
        ngettext("{number} second", "{number} seconds", seconds)
        if seconds < 90
        else ngettext("{number} minute", "{number} minutes", -(-seconds // 60))
    )
