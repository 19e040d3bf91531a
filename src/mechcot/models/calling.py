"""How a model's own forward is called: which keyword carries the text so far, and how much of it was read.

Libraries rename these keywords (`past_key_values` became `cache` in transformers 5.24), and not every
family takes all of them. The reader, the sampler, the self-check and the edits ask here, by the signature
of the very module that they call.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

CACHES = ("cache", "past_key_values", "cache_params")
"""Keywords for what a model keeps of the text so far, the newest name first; all hold a cache object."""


@dataclass(frozen=True)
class Pass:
    """What a call of a forward says about the pass that it begins.

    Attributes:
        seen: tokens of the text that were read before it; None: the call does not tell.
        cached: whether a cache goes along or is to be made, so that later passes may go on with the text.
        own_mask: whether the caller says token by token what attends to what.
    """

    seen: int | None = 0
    cached: bool = False
    own_mask: bool = False


@dataclass(frozen=True)
class Calling:
    """How one module's forward is called.

    Attributes:
        name: the module's class.
        cache: the keyword of its cache; None: it has none that is known here.
        signature: of its forward.
    """

    name: str
    cache: str | None
    signature: inspect.Signature

    def takes(self, keyword: str) -> bool:
        """Whether the forward has this keyword by name; what is swallowed by `**kwargs` does not count."""
        return keyword in self.signature.parameters

    def known(self, **wanted: Any) -> dict[str, Any]:
        """Those of the keywords that the forward takes: a family without positions gets none."""
        return {keyword: value for keyword, value in wanted.items() if self.takes(keyword)}

    def going_on(self, cache: Any) -> dict[str, Any]:
        """The keywords of a pass that goes on where a cache ends."""
        if self.cache is None:
            raise KeyError(f"{self.name} has no keyword for a cache")
        return {self.cache: cache, "use_cache": True}

    def begun(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Pass:
        """What a call says of its pass; asked before the forward runs, as the cache grows while it does."""
        given = _flat(self.signature, args, kwargs)
        # A caller may still use the old name where the forward has the new one.
        cache = next((given[name] for name in CACHES if given.get(name) is not None), None)
        mask = given.get("attention_mask")
        return Pass(
            seen=self._start(given) if cache is None else tokens_in(cache),
            cached=cache is not None or given.get("use_cache") is True,
            own_mask=cache is None and (isinstance(mask, Mapping) or getattr(mask, "ndim", 2) > 2),
        )

    def _start(self, given: Mapping[str, Any]) -> int | None:
        """Without a cache a text begins, but for a forward that may keep it under a name unknown here."""
        keeps = self.cache is None and self.takes("use_cache") and given.get("use_cache") is not False
        return None if keeps else 0


def calling_of(module: nn.Module) -> Calling:
    """How a model, or its decoder, is called."""
    signature = inspect.signature(module.forward)
    cache = next((name for name in CACHES if name in signature.parameters), None)
    return Calling(type(module).__name__, cache, signature)


def cache_in(output: Any) -> Any:
    """The cache that a forward hands back, or None."""
    kept = vars(output)
    return next((kept[name] for name in CACHES if kept.get(name) is not None), None)


def tokens_in(cache: Any) -> int | None:
    """How many tokens a cache has read; None: it keeps a state and does not count (Mamba)."""
    try:
        return int(cache.get_seq_length())
    except (AttributeError, ValueError):
        return None


def _flat(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, those in `**kwargs` too."""
    given = dict(signature.bind_partial(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            given.update(given.pop(name, {}))
    return given
