"""Names for what is imported only once it is used, so that a command can list the names at once."""

import importlib
from collections.abc import Iterator, MutableMapping
from functools import partial
from typing import Any


class Registry(MutableMapping[str, Any]):
    """A dictionary whose values may be given as "module:name", and are then imported when they are asked for.

    package: the package in which the modules stand. A value can also be the thing itself, or a pair of
    "module:name" and a dict of keyword arguments that are to be filled in.
    """

    def __init__(self, package: str, entries: dict[str, Any]):
        self.package = package
        self._entries, self._loaded = dict(entries), {}

    def owner(self, key: str) -> Any:
        """Whose parameters are the flags of an entry: "package.module:name", or the thing itself."""
        value = self._entries[key]
        where = value[0] if isinstance(value, tuple) else value
        return f"{self.package}.{where}" if isinstance(where, str) else where

    def modules(self) -> list[str]:
        """The modules of the package in which entries stand, each once."""
        owners = [self.owner(key) for key in self._entries]
        found = [owner.split(":")[0].rpartition(".")[2] for owner in owners if isinstance(owner, str)]
        return list(dict.fromkeys(found))

    def aliases(self) -> dict[str, str]:
        """Further names: alias -> the first name of what it stands for."""
        first: dict[str, str] = {}
        named = {key: first.setdefault(str(value), key) for key, value in self._entries.items()}
        return {key: name for key, name in named.items() if key != name}

    def __getitem__(self, key: str) -> Any:
        if key not in self._loaded:
            value, owner = self._entries[key], self.owner(key)
            if isinstance(owner, str):
                module, name = owner.split(":")
                owner = getattr(importlib.import_module(module), name)
            self._loaded[key] = partial(owner, **value[1]) if isinstance(value, tuple) else owner
        return self._loaded[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._entries[key] = value
        self._loaded.pop(key, None)

    def __delitem__(self, key: str) -> None:
        del self._entries[key]
        self._loaded.pop(key, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries
