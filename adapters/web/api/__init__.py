"""The OpenAI-compatible API: types (what a caller sends) -> parse -> the stack -> wire (what a caller reads).

Append-only: text already sent is never taken back. Unknown fields are ignored, as newer SDKs send fields that an older
server never heard of; a known field of the wrong type, or one whose effect could not be given, is a 400.
"""
