"""Fields of a request that a server refuses: they are left out from then on, and that is said once."""

from __future__ import annotations

import re

from rag_opt.core.strict import PlainDict

_FORMAT = re.compile(r"response_format|json_schema|json_object|schema|guided|grammar|structured", re.IGNORECASE)
_NOT_KNOWN = re.compile(
    r"unsupported|not supported|does not support|unknown|unrecogni[sz]ed|not (?:permitted|allowed)|extra"
)
_OPTIONAL = ("seed", "temperature")
_TOKENS, _TOKENS_TOO = "max_tokens", "max_completion_tokens"


class RefusedFields:
    """What one server was found to refuse. `remarks`: what a person should know of it, once each."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self._forms: tuple[str, ...] = ("json_schema", "json_object", "none")  # how JSON may be asked for
        self._left_out: set[str] = set()
        self._tokens_name = _TOKENS

    @property
    def form(self) -> str:
        """The strictest way to ask for JSON that was not refused."""
        return self._forms[0]

    def leave_out(self, body: PlainDict) -> PlainDict:
        """Return a body without what the server refuses."""
        kept = {name: value for name, value in body.items() if name not in self._left_out}
        if _TOKENS in kept and self._tokens_name != _TOKENS:
            kept[self._tokens_name] = kept.pop(_TOKENS)
        return kept

    def learn(self, sent: PlainDict, message: str, *, own: PlainDict, may_change_form: bool) -> bool:
        """Note what an error refuses of a body that was sent; return whether there is something else to send.

        `own`: fields that a person gave for every request, which are never left out.
        """
        form = (sent.get("response_format") or {}).get("type")
        if form and may_change_form and "response_format" not in own and _FORMAT.search(message):
            if self._forms[0] == form:  # else another request has learnt it meanwhile
                self._forms = self._forms[1:]  # "none", the last, sends no form
                self._remark(f"response_format {form}", f"asked by {self.form.replace('none', 'words alone')}")
            return True
        if _TOKENS in sent and _TOKENS not in own and _TOKENS_TOO in message:
            self._tokens_name = _TOKENS_TOO
            self._remark(_TOKENS, f"sent as {_TOKENS_TOO}")
            return True
        for name in (*_OPTIONAL, _TOKENS):
            named = name in sent and name not in own and re.search(rf"\b{name}\b", message) is not None
            if named and (name in _OPTIONAL or _NOT_KNOWN.search(message.lower())):  # else it is only too large
                self._left_out.add(name)
                self._remark(name, "left out")
                return True
        return False

    def _remark(self, name: str, instead: str) -> None:
        text = f"refuses {name}: {instead} from here on"
        if text not in self.remarks:
            self.remarks.append(text)
