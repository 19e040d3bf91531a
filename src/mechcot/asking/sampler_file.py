"""The sampler file: a server that samples an arm's traces, where it is and what it takes. Never a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from mechcot.asking.bodies import Trouble
from mechcot.asking.choices import read_choices
from mechcot.asking.replies import Reply
from mechcot.asking.server_file import Server, read_server
from mechcot.core.errors import ConfigError
from mechcot.core.sampling_settings import SamplingSettings

CHECK_TOKENS = 16
"""The most tokens of the start-up call's reply, of which only the model's name is read."""

_OF_THE_STUDY = {
    "temperature": "sampling.temperature",
    "top_p": "sampling.top_p",
    "top_k": "sampling.top_k",
    "max_tokens": "sampling.max_new_tokens",
    "max_completion_tokens": "sampling.max_new_tokens",
    "stop": "sampling.stop",
    "seed": "seed",
    "response_format": "nothing: a trace has no form",
    "max_failure_share": "nothing: no sample may be missing",
}
"""What a sampler file does not say, and the setting of the study that does."""


class Sampler(Server):
    """A server that has an arm's weights and writes its traces."""

    role: ClassVar[str] = "sampler"
    refused: ClassVar[str] = (
        "what is sent comes from the study's `sampling` (temperature, top_p, top_k, stop), from "
        "prompt.thinking (chat_template_kwargs) and from extra_body of the file: leave out what this server "
        "does not take"
    )
    largest_body: ClassVar[int] = 128 * 2**20

    sends: Literal["messages", "text", "tokens"] = Field(
        "messages",
        description="what the server is given: messages for its own chat template (/chat/completions), or "
        "the prompt as this study renders it, as text or as token ids (/completions)",
    )
    samples_per_request: int = Field(
        64,
        ge=1,
        description="samples of one request at most (n), where the server gives several; 1: never more",
    )
    logprobs: bool = Field(
        True, description="ask for the tokens' log-probabilities, where the server gives them"
    )
    budget: float | None = Field(
        None, gt=0, description="money that all calls of an arm may cost, earlier runs included"
    )
    response_format: Literal["none"] = "none"
    max_tokens: int | None = None
    temperature: float | None = Field(None, ge=0)
    timeout: float = Field(1800.0, gt=0, description="seconds a call may take, with all its samples")
    max_failure_share: float = Field(0.0, ge=0, le=0)

    @model_validator(mode="before")
    @classmethod
    def _of_the_study(cls, given: Any) -> Any:
        if isinstance(given, dict):
            extra = given.get("extra_body")
            named = [*given, *(extra if isinstance(extra, dict) else ())]
            for name in named:
                if name in _OF_THE_STUDY:
                    raise ValueError(
                        f"{name} is no setting of a sampler: the study says it ({_OF_THE_STUDY[name]}), so "
                        "that arms are sampled alike. Leave it out here"
                    )
        return given

    @property
    def path(self) -> str:
        """Where requests go, below `base_url`."""
        return "chat/completions" if self.sends == "messages" else "completions"

    def request(self, sent: Sequence[Mapping[str, str]], parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request; a prompt that is no chat comes as one message, or as a parameter."""
        if self.sends == "messages":
            return super().request(sent, parameters)
        return {"model": self.model, "prompt": sent[0]["content"], **parameters}

    def check_parameters(self) -> dict[str, Any]:
        """The parameters of a start-up call, whose text is of no use."""
        return {**self.parameters(), "max_tokens": CHECK_TOKENS}

    @staticmethod
    def read_check(body: str) -> Reply | Trouble:
        """What the answer to a start-up call says."""
        return read_choices(body)

    def sampling(self, settings: SamplingSettings, thinking: bool | None) -> Sampler:
        """The same server, with the parameters of a study's sampling.

        Args:
            settings: of the arm.
            thinking: `prompt.thinking`; it is said to chat templates that a server fills.

        Raises:
            ConfigError: the file says otherwise of thinking than the study.
        """
        extra = dict(self.extra_body)
        extra |= {"top_p": settings.top_p} if settings.top_p < 1 else {}
        extra |= {"top_k": settings.top_k} if settings.top_k else {}
        extra |= {"stop": list(settings.stop)} if settings.stop else {}
        if thinking is not None and self.sends == "messages":
            own = extra.get("chat_template_kwargs") or {}
            if own.get("enable_thinking", thinking) != thinking:
                raise ConfigError(
                    f"the sampler file of '{self.model}' sets enable_thinking to {own['enable_thinking']} "
                    f"and the study's prompt.thinking is {thinking}: the server would be asked another way "
                    "than the weights read. Leave it out of extra_body.chat_template_kwargs"
                )
            extra["chat_template_kwargs"] = {**own, "enable_thinking": thinking}
        return self.model_copy(
            update={
                "temperature": settings.temperature,
                "max_tokens": settings.max_new_tokens,
                "extra_body": extra,
            }
        )


COST_ALONE = frozenset(
    {"concurrency", "timeout", "max_retries", "price_in", "price_out", "budget", "api_key_env", "logprobs"}
    | {"samples_per_request", "max_failure_share"}
)
"""Fields of a sampler file that decide no text."""


def read_sampler(path: Path, arm: str) -> Sampler:
    """Read a sampler file.

    Args:
        path: the file.
        arm: that names it, for messages.

    Raises:
        ConfigError: as `read_server` raises it.
    """
    return read_server(
        path, Sampler, otherwise=f". arms.{arm}.server names the file of a server that samples"
    )
