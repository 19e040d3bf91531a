"""The file of a server: which model is asked, where, how, and at what price. Never a key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator

from mechcot.asking.bodies import Trouble, read_body
from mechcot.asking.replies import Reply
from mechcot.core import files
from mechcot.core.config import parse_yaml
from mechcot.core.errors import ConfigError, DataError
from mechcot.core.keys import is_variable, key_in
from mechcot.core.section import Section

_KEY_NAMES = frozenset(
    ["apikey", "xapikey", "key", "token", "accesstoken", "authorization", "auth", "bearer", "secret"]
) | {"secretkey", "password", "credentials"}
_KEY_VALUE = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|glpat|pplx|nvapi|key|fw)[-_][A-Za-z0-9_-]{12,}"
    r"|\bAIza[A-Za-z0-9_-]{20,}|\beyJ[A-Za-z0-9_-]{16,}|\b[Bb]earer\s+[A-Za-z0-9._~+/-]{8,}|\b[0-9a-f]{32,}\b"
)
_OWN_PARAMETERS = frozenset({"model", "messages", "response_format", "stream", "n"})


class Server(Section):
    """A model behind a server that speaks the OpenAI protocol (`/chat/completions`)."""

    role: ClassVar[str] = "server"
    """What it is asked as, for messages: its file is the `role` file."""
    refused: ClassVar[str] = "if it is about response_format, write json_schema or none into the {role} file"
    """What to do where the server refuses the very first request."""
    largest_body: ClassVar[int] = 8 * 2**20
    """Bytes of an answer; a larger one is not read."""

    base_url: str | tuple[str, ...] = Field(
        description="for example http://127.0.0.1:8000/v1; or a list of addresses that serve the same model"
    )
    model: str = Field(min_length=1)
    api_key_env: str | None = Field(description="name of the environment variable with the key; null: no key")
    response_format: Literal["json_schema", "json_object", "none"] = Field(
        "json_schema",
        description="what the server is asked to enforce, a schema in the way that it knows; replies are "
        "always checked here",
    )
    max_tokens: int | None = Field(400, ge=16, description="of a reply; null: not sent")
    temperature: float | None = Field(0.0, ge=0, description="null: not sent, for models that fix it")
    seed: int | None = Field(None, description="sent to the server; null: not sent")
    extra_body: dict[str, Any] = Field(
        {}, description="further parameters of the request, as the server names them"
    )
    concurrency: int = Field(8, ge=1, le=512, description="calls in flight")
    timeout: float = Field(120.0, gt=0, description="seconds a call may take")
    max_retries: int = Field(5, ge=0, le=20, description="of a call that the server refused for the moment")
    price_in: float | None = Field(None, ge=0, description="money per million prompt tokens")
    price_out: float | None = Field(None, ge=0, description="money per million tokens of replies")
    max_failure_share: float = Field(0.005, ge=0, le=1, description="items that may end without an answer")

    @field_validator("base_url", mode="before")
    @classmethod
    def _urls(cls, value: Any) -> str | tuple[str, ...]:
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, list | tuple) or not given or not all(isinstance(one, str) for one in given):
            raise ValueError("must be an address such as http://127.0.0.1:8000/v1, or a list of addresses")
        urls = tuple(
            _url(one, f"address {number} " if len(given) > 1 else "")
            for number, one in enumerate(given, start=1)
        )
        if len({_endpoint(url) for url in urls}) < len(urls):
            raise ValueError("names an address twice; name each once")
        return urls if len(urls) > 1 else urls[0]

    @field_validator("api_key_env")
    @classmethod
    def _variable(cls, value: str | None) -> str | None:
        if value is not None and not is_variable(value):
            # It is not repeated.
            raise ValueError("must be the name of an environment variable (capitals, digits, _), not a key")
        return value

    @model_validator(mode="after")
    def _own(self) -> Server:
        taken = sorted(_OWN_PARAMETERS & set(self.extra_body))
        if taken:
            raise ValueError(f"extra_body must not set {', '.join(taken)}")
        return self

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of `base_url`, one or more."""
        return (self.base_url,) if isinstance(self.base_url, str) else self.base_url

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Host, port and path of each address."""
        return tuple(_endpoint(url) for url in self.addresses)

    @property
    def endpoint(self) -> str:
        """Host, port and path of the first address: part of the server's identity, whichever answers."""
        return self.endpoints[0]

    @property
    def where(self) -> str:
        """All endpoints, for messages."""
        return ", ".join(self.endpoints)

    def parameters(self, sample: int = 0) -> dict[str, Any]:
        """The parameters that shape a reply, as they go into the request of a sample."""
        seed = None if self.seed is None else self.seed + sample
        named = {"max_tokens": self.max_tokens, "temperature": self.temperature, "seed": seed}
        return {name: value for name, value in named.items() if value is not None} | self.extra_body

    @property
    def path(self) -> str:
        """Where requests go, below `base_url`."""
        return "chat/completions"

    def request(self, sent: Sequence[Mapping[str, str]], parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request."""
        return {"model": self.model, "messages": list(sent), **parameters}

    def check_parameters(self) -> dict[str, Any]:
        """The parameters of a start-up call."""
        return self.parameters()

    @staticmethod
    def read_check(body: str) -> Reply | Trouble:
        """What the answer to a start-up call says."""
        return read_body(body)

    @property
    def longest_reply(self) -> int | None:
        """The most tokens that a reply may have; None: the file sets no limit."""
        limit = self.max_tokens or self.extra_body.get("max_completion_tokens")
        return limit if isinstance(limit, int) and limit > 0 else None

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """What tokens cost, in the file's money; None: the file does not name both prices."""
        if self.price_in is None or self.price_out is None:
            return None
        return (self.price_in * prompt_tokens + self.price_out * completion_tokens) / 1e6


def _url(value: str, which: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{which}must be an address such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"{which}must hold no user, password or parameters; keys come from the environment")
    return value.rstrip("/")


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.lower() + parts.path


ServerT = TypeVar("ServerT", bound=Server)


def read_server(path: Path, kind: type[ServerT], otherwise: str = "") -> ServerT:
    """Read the file of a server.

    Args:
        path: the file, YAML.
        kind: what it holds.
        otherwise: what a message says further where the file cannot be read.

    Raises:
        ConfigError: it cannot be read, has an unknown key or a value that does not fit, or holds what
            looks like a key. The message never repeats the file's text.
    """
    try:
        text = files.read_text(path)
    except DataError as error:
        raise ConfigError(f"{error}{otherwise}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if _KEY_VALUE.search(line):
            raise _literal_key(f"{path}, line {number}")
    try:
        loaded = parse_yaml(text)
    except ValueError as error:
        problem = str(error)
    else:
        problem = ""
    if problem:  # outside of the handler: a traceback would show the parser's own message, and so the text
        raise ConfigError(f"{path}: is not YAML: {problem}")
    if loaded is None:
        raise ConfigError(f"{path}: is empty; a {kind.role} file names at least base_url and model")
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected keys and values, found a {type(loaded).__name__}")
    _refuse_key_names(loaded, str(path))
    return _validated(loaded, path, kind)


def api_key(server: Server) -> str | None:
    """The key that the file's environment variable holds; None: the server takes none.

    Raises:
        ConfigError: the variable is not set, or holds what no header can carry.
    """
    if server.api_key_env is None:
        return None
    instead = f"Set it to the key of {server.where}, or write api_key_env: null if the server takes none"
    return key_in(server.api_key_env, f"the {server.role} file", instead)


def _validated(loaded: dict[str, Any], path: Path, kind: type[ServerT]) -> ServerT:
    try:
        return kind.model_validate(loaded)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_input=False, include_context=False):
            where = ".".join(str(part) for part in item["loc"]) or kind.role
            if item["type"] == "extra_forbidden":
                known = _section(kind, item["loc"][:-1]).model_fields
                lines.append(
                    f"{path}: '{where}' is no setting of a {kind.role}; there are: {', '.join(known)}"
                )
            else:
                lines.append(f"{path}: {where}: {item['msg'].removeprefix('Value error, ')}")
    raise ConfigError("\n".join(lines))


def _section(kind: type[Section], place: tuple[int | str, ...]) -> type[Section]:
    """The section at a place of a file."""
    for part in place:
        inner = kind.model_fields[str(part)].annotation if part in kind.model_fields else None
        if isinstance(inner, type) and issubclass(inner, Section):
            kind = inner
    return kind


def _refuse_key_names(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if re.sub(r"[^a-z]", "", str(name).lower()) in _KEY_NAMES:
                raise _literal_key(f"{where}: '{name}'")
            _refuse_key_names(inner, where)
    elif isinstance(value, list):
        for inner in value:
            _refuse_key_names(inner, where)


def _literal_key(where: str) -> ConfigError:
    return ConfigError(
        f"{where}: looks like a key. Keys are never written into files: put it into an environment variable "
        "and name that one with api_key_env"
    )
