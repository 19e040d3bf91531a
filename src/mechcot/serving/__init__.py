"""An OpenAI-compatible chat server for one machine, with replies held to a JSON schema."""

from mechcot.core.errors import MissingDependency
from mechcot.serving.decode import Decoder
from mechcot.serving.request import ChatRequest

try:
    from mechcot.serving.app import Limits
    from mechcot.serving.server import LocalServer
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] not in ("uvicorn", "starlette", "anyio", "h11"):
        raise
    raise MissingDependency(str(error.name), "serve") from error

__all__ = ["ChatRequest", "Decoder", "Limits", "LocalServer"]
