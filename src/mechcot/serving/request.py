"""A chat request as it comes in: what is honoured, and nothing else is accepted."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mechcot.core.errors import UsageError

MOST_CHOICES = 16

AnyRequest = TypeVar("AnyRequest", "TextRequest", "ChatRequest")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Message(_Strict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class JsonSchema(_Strict):
    """A schema with its name, as OpenAI's protocol wraps it."""

    name: str = ""
    description: str = ""
    strict: bool | None = None
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(_Strict):
    """What a reply shall be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(_Strict):
    """What a stream holds beside its pieces."""

    include_usage: bool = False


class _Completed(_Strict):
    """What chat and plain completions share."""

    model: str
    temperature: float = Field(1.0, ge=0, le=100, allow_inf_nan=False)
    seed: int | None = Field(None, ge=0, lt=2**63)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: int = Field(1, ge=1, le=MOST_CHOICES)

    @property
    def limit(self) -> int:
        """The most tokens of a reply; 1024 where the request sets none."""
        return self.max_completion_tokens or self.max_tokens or 1024


class TextRequest(_Completed):
    """The body of a `POST /v1/completions`: a prompt as it is, as text or as token ids."""

    prompt: str | list[int] = Field(min_length=1)
    logprobs: int | None = Field(None, ge=0, le=1)

    @property
    def listed(self) -> bool:
        """Whether the tokens' log-probabilities are told."""
        return self.logprobs is not None

    @property
    def schema_to_hold(self) -> None:
        """None: any text."""

    @property
    def stream(self) -> bool:
        """Never: what is streamed is a chat."""
        return False


class ChatRequest(_Completed):
    """The body of a `POST /v1/chat/completions`; parameters that would be ignored are refused."""

    messages: list[Message] = Field(min_length=1)
    response_format: ResponseFormat | None = None
    chat_template_kwargs: dict[str, Any] = {}
    logprobs: bool = False
    stream: bool = False
    stream_options: StreamOptions | None = None

    @field_validator("chat_template_kwargs")
    @classmethod
    def _switches_only(cls, value: dict[str, Any]) -> dict[str, Any]:
        from transformers import PreTrainedTokenizerBase

        # What steers the rendering, the template itself among it, is not the client's to set.
        call = inspect.signature(PreTrainedTokenizerBase.apply_chat_template)
        taken = {"messages", *call.parameters, *PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES}
        if refused := sorted(taken & value.keys()):
            raise ValueError(
                f"{', '.join(refused)} cannot be set; only variables of the model's own template can"
            )
        if re.search(r"\{[{%#]", json.dumps(value)):
            raise ValueError("holds the source of a template; only values can be set")
        return value

    @property
    def listed(self) -> bool:
        """Whether the tokens' log-probabilities are told."""
        return self.logprobs and not self.stream

    @property
    def schema_to_hold(self) -> dict[str, Any] | None:
        """The JSON schema that a reply must fit; None: any text.

        Raises:
            UsageError: a schema is announced and not given.
        """
        if self.response_format is None or self.response_format.type == "text":
            return None
        if self.response_format.type == "json_object":
            return {"type": "object"}
        if self.response_format.json_schema is None:
            raise UsageError("response_format is json_schema, and holds no json_schema")
        return self.response_format.json_schema.schema_


def read_request(body: bytes, kind: type[AnyRequest]) -> AnyRequest:
    """A request out of a body.

    Args:
        body: of the request.
        kind: what it asks for.

    Raises:
        UsageError: it is no JSON, lacks something, or asks for something that is not honoured here.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_input=False, include_url=False):
            where = ".".join(str(part) for part in item["loc"]) or "body"
            what = item["msg"]
            if item["type"] == "extra_forbidden":
                what = f"is not honoured by this server; it knows {', '.join(kind.model_fields)}"
            problems.append(f"{where}: {what}")
    raise UsageError("; ".join(problems))
