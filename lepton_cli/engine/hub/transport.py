"""HTTP requests: redirects, proxies, the hub's token, and errors with their cures.

The token is sent to the hub's own address only, never after a redirect to another one, and is
never part of a message. Proxies are those of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.
"""

import http.client
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import cache
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from lepton_cli.engine.hub.events import Remark, Tell
from lepton_cli.engine.hub.wanted import is_web_address, shown_url
from lepton_cli.engine.library.stores import hugging_face_home
from lepton_cli.version import __version__
from quant.errors import LeptonError, UsageError

TIMEOUT = 30.0  # seconds without a byte
MOST_FAILURES = 5  # one after another, without a byte between them
LONGEST_WAIT = 300.0  # seconds that a server may ask for
TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
PUBLIC_HUB = "https://huggingface.co"
TOKEN_PAGE = "https://huggingface.co/settings/tokens"
CONTENT_RANGE = re.compile(r"bytes (?P<first>\d{1,18})-(?P<last>\d{1,18})/(?P<total>\d{1,18})")
CONTENT_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
PORTS = {"http": 80, "https": 443}
T = TypeVar("T")


class TemporaryError(LeptonError):
    """A failure that may be over at the next try. `after`: seconds that the server asks to wait."""

    def __init__(self, message: str, after: float | None = None, *, reached: bool = True) -> None:
        again = "run the same command again: it continues where it stopped"
        network = "check the network (HTTPS_PROXY, if it needs a proxy), then try again"
        super().__init__(message, again if reached else network)
        self.after, self.reached = after, reached


class StatusError(LeptonError):
    """An answer other than success; the hub names its reason in `code`."""

    def __init__(self, url: str, status: int, code: str) -> None:
        login = "it needs a login: download it with a browser"  # the token is the hub's alone
        cure = login if status in (401, 403) else "check the address"
        super().__init__(f"{shown_url(url)}: the server answers {status}", cure)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub's address, and the user's token for it."""

    endpoint: str = PUBLIC_HUB
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of_environment(cls) -> "Hub":
        """Raises UsageError for an address or a token that cannot be one."""
        endpoint = (os.environ.get("HF_ENDPOINT") or PUBLIC_HUB).rstrip("/")
        if not is_web_address(endpoint):
            raise UsageError("HF_ENDPOINT is not an address", f"it is like {PUBLIC_HUB}")
        return cls(endpoint, find_token())

    def owns(self, url: str) -> bool:
        return _origin(url) == _origin(self.endpoint)

    @property
    def host(self) -> str:
        return str(urlsplit(self.endpoint).hostname)


def find_token() -> str | None:
    """The token of HF_TOKEN, HUGGING_FACE_HUB_TOKEN, or the file that `hf auth login` writes."""
    chosen = os.environ.get("HF_TOKEN_PATH")
    file = os.path.expanduser(chosen) if chosen else hugging_face_home() / "token"
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return _checked(token, name)
    try:
        with open(file, encoding="ascii", errors="replace") as stream:
            token = stream.read(1 << 12).strip()
    except OSError:  # not logged in
        return None
    return _checked(token, str(file)) if token else None


def _checked(token: str, origin: str) -> str:
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise UsageError(f"{origin} does not hold a token", f"tokens are at {TOKEN_PAGE}")
    return token


class Response:
    """An open answer. Its reads raise TemporaryError when the connection is cut."""

    def __init__(self, url: str, raw: Any, linked: Mapping[str, str]) -> None:
        self._url, self._raw, self.linked = url, raw, linked
        self.status: int = raw.status
        self.headers: Message = raw.headers

    def __enter__(self) -> "Response":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._raw.close()

    @property
    def host(self) -> str:
        return _host(self._url)

    @property
    def span(self) -> tuple[int, int, int] | None:
        """First byte, end and size of the whole, of an answer to a request for a range."""
        match = CONTENT_RANGE.fullmatch(self.headers.get("Content-Range", "").strip())
        if self.status != 206 or match is None:
            return None
        return int(match["first"]), int(match["last"]) + 1, int(match["total"])

    @property
    def size(self) -> int | None:
        """Bytes of the body of a whole answer."""
        match = CONTENT_LENGTH.fullmatch(self.headers.get("Content-Length", "").strip())
        return int(match[0]) if match else None

    @property
    def validator(self) -> str | None:
        """What changes with the file: a strong ETag, or a date."""
        tag = self.headers.get("ETag", "").strip()
        strong = tag.startswith('"')
        return tag if strong else self.headers.get("Last-Modified")

    def read(self, most: int) -> bytes:
        """Some bytes as they come; empty at the end."""
        try:
            data: bytes = self._raw.read1(most)
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(self._url, error) from error
        return data

    def read_exactly(self, size: int) -> bytes:
        """So many bytes."""
        data = bytearray()
        while len(data) < size:
            piece = self.read(size - len(data))
            if not piece:
                raise TemporaryError(f"{self.host} closed the connection")
            data += piece
        return bytes(data)

    def read_all(self, most: int) -> bytes:
        """The whole body. Raises LeptonError if it is longer than `most` bytes."""
        data = bytearray()
        while piece := self.read(most):
            data += piece
            if len(data) > most:
                raise LeptonError(f"{shown_url(self._url)}: the answer is too long")
        if self.size is not None and len(data) < self.size:
            raise TemporaryError(f"{self.host} closed the connection")
        return bytes(data)


class Transport:
    """Opens addresses. `wait` is called with seconds to pause before another try."""

    def __init__(self, hub: Hub, tell: Tell, wait: Callable[[float], None] = time.sleep) -> None:
        self.hub, self._tell, self._wait = hub, tell, wait
        self.reached = False  # any server, so far
        self._remark: str | None = None  # the last one, until an answer comes

    def open(self, url: str, **headers: str) -> Response:
        """The answer to a GET. Raises StatusError, TemporaryError, LeptonError; does not retry."""
        request = urllib.request.Request(url, headers={"User-Agent": f"lepton/{__version__}"})
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        redirects = _Redirects(self.hub)
        redirects.add_token(request)
        try:
            raw = _opener(url, redirects).open(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error
        except urllib.error.URLError as error:
            reason = error.reason if isinstance(error.reason, OSError) else error
            raise _unreachable(url, reason) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _unreachable(url, error) from error
        self.reached, self._remark = True, None
        return Response(url, raw, redirects.linked)

    def retries(self) -> "Retries":
        return Retries(self, self._pause)

    def patiently(self, url: str, use: Callable[[Response], T], **headers: str) -> T:
        """What `use` makes of the answer, with further tries after failures that may pass."""
        retries = self.retries()
        while True:
            try:
                with self.open(url, **headers) as response:
                    return use(response)
            except TemporaryError as error:
                retries.after(error)

    def _pause(self, why: str, seconds: float) -> None:
        """Says so once, however many connections wait for the same reason."""
        remark = f"{why}; another try in {seconds:.0f} s"
        if seconds and remark != self._remark:
            self._remark = remark
            self._tell(Remark(remark))
        self._wait(seconds)

    def _refused(self, error: urllib.error.HTTPError) -> LeptonError:
        self.reached = True
        with error:
            if error.code in TEMPORARY:
                message = f"{_host(error.url)} answers {error.code} ({error.reason})"
                return TemporaryError(message, _seconds(error.headers.get("Retry-After")))
            return StatusError(error.url, error.code, error.headers.get("X-Error-Code") or "")


class Retries:
    """Pauses between tries, longer each time; gives up after several failures in a row."""

    def __init__(self, transport: Transport, pause: Callable[[str, float], None]) -> None:
        self._transport, self._pause = transport, pause
        self._failures = 0

    def progressed(self) -> None:
        self._failures = 0

    def after(self, error: TemporaryError) -> None:
        """Pauses. Raises the error if another try is pointless."""
        self._failures += 1
        never = not error.reached and not self._transport.reached  # no network at all
        seconds = float(1 << self._failures - 1) if error.after is None else error.after
        if never or self._failures > MOST_FAILURES or seconds > LONGEST_WAIT:
            asked = f", and asks to wait for {seconds:.0f} s" if seconds > LONGEST_WAIT else ""
            raise TemporaryError(
                error.message + asked, error.after, reached=error.reached
            ) from error
        self._pause(error.message, seconds)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; keeps what the hub says of the file before it leads elsewhere."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.linked: dict[str, str] = {}

    def add_token(self, request: urllib.request.Request) -> None:
        if self._hub.token and self._hub.owns(request.full_url):
            # urllib does not copy such a header to the next request
            request.add_unredirected_header("Authorization", f"Bearer {self._hub.token}")

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            message = f"{_host(req.full_url)} leads on to {_host(newurl)} without encryption"
            raise LeptonError(message, "if you trust it, give the address that it leads to")
        if self._hub.owns(req.full_url):
            named = {name.lower(): value for name, value in headers.items()}
            self.linked |= {name: named[name] for name in named if name.startswith("x-linked-")}
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            self.add_token(request)
        return request


def _opener(url: str, redirects: _Redirects) -> urllib.request.OpenerDirector:
    """Only HTTP and HTTPS: a redirect must not lead to a file of this disk."""
    proxies = urllib.request.getproxies()
    if "all" in proxies:
        proxies = {"http": proxies["all"], "https": proxies["all"]} | proxies
    kind = proxies.get(urlsplit(url).scheme, "").partition("://")[0].lower()
    if kind.startswith("socks") and not urllib.request.proxy_bypass(_host(url)):
        hint = "set HTTPS_PROXY to the address of an HTTP proxy, or NO_PROXY to this host"
        raise UsageError(f"the proxy is a {kind} one, which Lepton cannot use", hint)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_certificates()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        redirects,
    ):
        opener.add_handler(handler)
    return opener


@cache
def _certificates() -> ssl.SSLContext:
    """Those that this machine trusts; read once, as that takes longer than a request."""
    return ssl.create_default_context()


def _unreachable(url: str, error: Exception) -> LeptonError:
    """The error for a connection that failed; what it says may hold a proxy's password."""
    host = _host(url)
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "if a proxy here signs connections, set SSL_CERT_FILE to its certificates"
        return LeptonError(f"the certificate of {host} is not valid: {error.verify_message}", hint)
    if isinstance(error, TimeoutError):
        return TemporaryError(f"{host} did not send anything for {TIMEOUT:.0f} s", reached=False)
    if isinstance(error, http.client.InvalidURL | ValueError):
        message = f"{host}: its address, one that it leads to, or the proxy's is not valid"
        return UsageError(message, "check the address, and HTTPS_PROXY")
    if isinstance(error, http.client.HTTPException | ConnectionResetError | BrokenPipeError):
        return TemporaryError(f"{host} closed the connection")
    _, tunnel, answer = str(error).partition("Tunnel connection failed: ")
    if tunnel:
        hint = "check HTTPS_PROXY: it is like http://USER:PASSWORD@HOST:PORT"
        return LeptonError(f"the proxy does not connect to {host}: {answer}", hint)
    why = getattr(error, "strerror", None) or "no answer"
    return TemporaryError(f"cannot connect to {host}: {why}", reached=False)


def _seconds(text: str | None) -> float | None:
    """A Retry-After header: seconds, or a date."""
    if text is None:
        return None
    try:
        if CONTENT_LENGTH.fullmatch(text.strip()):
            return float(text)
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the server"


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)
