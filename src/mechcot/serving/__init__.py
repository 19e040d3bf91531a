"""An OpenAI-compatible chat server for one machine, with replies held to a JSON schema."""

from mechcot.serving.decode import Decoder
from mechcot.serving.request import ChatRequest
from mechcot.serving.server import LocalServer

__all__ = ["ChatRequest", "Decoder", "LocalServer"]
