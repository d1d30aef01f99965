"""Discord's refusals, as it words them."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer other than 2xx: HTTP status, Discord's own code, sentence, and which fields it is about."""

    def __init__(self, status: int, code: int, message: str, fields: dict[str, tuple[str, str]] | None = None) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields or {}
        """field -> (error code, sentence)"""

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.fields:
            body["errors"] = {
                name: {"_errors": [{"code": code, "message": text}]} for name, (code, text) in self.fields.items()
            }
        return body


def invalid(field: str, sentence: str, code: str = "BASE_TYPE_INVALID") -> ApiError:
    return ApiError(400, 50035, "Invalid Form Body", {field: (code, sentence)})


def unknown(what: str) -> ApiError:
    codes = {"channel": 10003, "guild": 10004, "message": 10008, "webhook": 10015, "interaction": 10062}
    return ApiError(404, codes[what], f"Unknown {what.capitalize()}")
