"""The parameters of a constructor, read from a class or from its source.

A command knows all its flags before it imports torch, which takes seconds: they are read from the source of
the records, methods and ensembles that they belong to.
"""

import ast
import functools
import importlib.util
import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """A keyword-only parameter: its name, its help, its default.

    check: what makes a value of a word (a function), a tuple of the words that are allowed, or bool for a
    switch; more: further words for argparse.
    """

    name: str
    check: Any
    text: str
    default: Any
    more: Mapping[str, Any] = field(default_factory=dict)


def parameters_of(owner: str | type, checks: Mapping[str, Any]) -> list[Parameter]:
    """The keyword-only parameters of a class and its bases that are Annotated with a check and a help text.

    owner: a class, or "module:Class"; checks: the names that stand for checks in the source. Raises
    ValueError for an annotation of another form, LookupError if there is no such class.
    """
    if isinstance(owner, str):
        module, _, name = owner.partition(":")
        return list(_from_source(module, name, checks).values())
    found: dict[str, Parameter] = {}
    for kind in reversed(owner.__mro__):
        if kind is object or kind.__module__.split(".")[0] == "torch":
            continue
        for parameter in inspect.signature(kind.__init__).parameters.values():
            parts = typing.get_args(parameter.annotation)
            if parameter.kind is parameter.KEYWORD_ONLY and len(parts) > 1:
                found[parameter.name] = _parameter(parameter.name, parts[0], parts[1:], parameter.default)
    return list(found.values())


def _parameter(name: str, kind: Any, parts: tuple, default: Any) -> Parameter:
    """From the parts of an annotation behind its type: [check,] help [, more]."""
    parts = ((bool,) if kind is bool else ()) + tuple(parts)
    if len(parts) not in (2, 3) or not isinstance(parts[1], str):
        raise ValueError(
            f"parameter {name}: write Annotated[type, check, 'help'], or Annotated[bool, 'help']"
        )
    return Parameter(name, parts[0], parts[1], default, parts[2] if len(parts) == 3 else {})


@functools.cache
def _source(module: str) -> tuple[ast.Module, Path]:
    """The syntax tree of a module that is not imported for it."""
    package, _, _ = module.partition(".")
    found = importlib.util.find_spec(package)
    if found is None or not found.origin:
        raise LookupError(f"there is no module {module}")
    path = Path(found.origin)
    if module != package:
        path = path.parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not path.exists():
        path = path.with_suffix("") / "__init__.py"
    return ast.parse(path.read_text(encoding="utf-8")), path


def class_source(module: str, name: str) -> ast.ClassDef | None:
    """The definition of a class in the module's source; None if it stands elsewhere."""
    tree, _ = _source(module)
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)


def class_constant(owner: str, name: str) -> Any:
    """A literal that a class "module:Class" or a base of it has as its attribute, read from the source; of a
    call the tuple of its arguments; None without one.
    """
    for definition in class_sources(owner):
        for node in definition.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                value = node.value
                return ast.literal_eval(ast.Tuple(value.args) if isinstance(value, ast.Call) else value)
    return None


def class_sources(owner: str) -> list[ast.ClassDef]:
    """The definitions of a class "module:Class" and of its bases in this project, itself first."""
    module, _, name = owner.partition(":")
    definition = class_source(module, name)
    if definition is None:
        return []
    tree, _ = _source(module)
    found = [definition]
    for base in definition.bases:
        if isinstance(base, ast.Name) and (home := _home(tree, module, base.id)):
            found += class_sources(f"{home}:{base.id}")
    return found


def class_docstrings(module: str) -> dict[str, str]:
    """The docstrings of the public classes of a module, by name, in their order."""
    tree, _ = _source(module)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    return {node.name: ast.get_docstring(node) or "" for node in classes}


def _from_source(module: str, name: str, checks: Mapping[str, Any]) -> dict[str, Parameter]:
    definition = class_source(module, name)
    if definition is None:
        raise LookupError(f"there is no class {name} in {module}")
    tree, _ = _source(module)
    found: dict[str, Parameter] = {}
    for base in definition.bases:
        if isinstance(base, ast.Name) and (home := _home(tree, module, base.id)):
            found |= _from_source(home, base.id, checks)
    names = dict(checks) | {"Path": Path, "bool": bool, "str": str} | _constants(tree)
    for parameter, annotation, default in _annotated(definition):
        kind, *parts = annotation.slice.elts
        values = [eval(compile(ast.Expression(part), module, "eval"), names) for part in (*parts, default)]
        is_bool = isinstance(kind, ast.Name) and kind.id == "bool"
        found[parameter] = _parameter(parameter, bool if is_bool else None, tuple(values[:-1]), values[-1])
    return found


def _home(tree: ast.Module, module: str, name: str) -> str | None:
    """The module of this project in which a base class stands; None for one of another package."""
    if class_source(module, name) is not None:
        return module
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            package = (node.module or "").split(".")[0]
            return node.module if package not in ("torch", "typing", "abc") else None
    return None


def _constants(tree: ast.Module) -> dict[str, Any]:
    """The literals that stand at the top of a module under a name."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def _annotated(definition: ast.ClassDef) -> list[tuple[str, ast.Subscript, ast.expr]]:
    """(name, annotation, default) of the keyword-only parameters, or of the fields of a dataclass."""
    found = []
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                found.append((argument.arg, argument.annotation, default))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.append((node.target.id, node.annotation, node.value))
    return [
        (name, annotation, default)
        for name, annotation, default in found
        if isinstance(annotation, ast.Subscript)
        and isinstance(annotation.value, ast.Name)
        and annotation.value.id == "Annotated"
    ]
