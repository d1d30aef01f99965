"""Importing a library as if something it can use were not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def absent(package: str) -> Iterator[None]:
    """Within, `import package` fails as it does where nobody installed it; afterwards it is as it was before.

    None in `sys.modules` is Python's own way to say so (its reference, section 5.3.1, "The module cache").
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment] # the stubs know no None
    loaded = modules.get(package)
    modules[package] = None
    try:
        yield
    finally:
        if loaded is None:
            del modules[package]
        else:
            modules[package] = loaded
