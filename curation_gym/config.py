"""Configuration at the boundary: pydantic models, and errors that name the place, the key and the way out."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Strict, ValidationError

T = TypeVar("T")
# YAML has no tuples: a list may stand for one, while what is in it stays strict.
Many = Annotated[tuple[T, ...], Strict(False)]
"""A tuple of any length, which may be given as a list."""
Pair = Annotated[tuple[T, T], Strict(False)]
"""A tuple of two, which may be given as a list."""


class Config(BaseModel):
    """Base of every configuration: immutable, and an unknown key is an error.

    Types are strict: ``"32"`` and ``true`` are no numbers, though an integer may stand for a float, and numbers are
    finite.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )


class ConfigError(ValueError):
    """A configuration that can't be used. The message names the place, the key and what is allowed."""


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def validated(model: type[ConfigT], values: dict[str, Any], where: str) -> ConfigT:
    """Validate ``values`` as ``model``.

    Args:
        model: the pydantic model.
        values: the raw mapping.
        where: the file or the environment id, named in the error.

    Raises:
        ConfigError: one line per problem: where, key, value, what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_told(model, values, problem, where) for problem in error.errors())) from error


def _told(model: type[BaseModel], values: dict[str, Any], problem: Any, where: str) -> str:
    """One problem on one line."""
    kind, given, location = problem["type"], problem["input"], problem["loc"]
    place = _place(model, values, location)
    key = ".".join(place.written)
    if kind == "extra_forbidden":
        *parents, unknown = place.written
        name = f"{unknown!r} in {'.'.join(parents)} ({place.tag})" if parents and place.tag else repr(key)
        allowed = dict.fromkeys(field for beside in place.models for field in beside.model_fields)
        return f"{where}: unknown key {name}; allowed keys: {', '.join(allowed)}"
    if kind == "missing":
        return f"{where}: key {'.'.join((*place.written, str(location[-1])))!r} is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = problem["ctx"]["discriminator"].strip("'")
        tags = [value for beside in place.models for value in get_args(beside.model_fields[tag].annotation)]
        actual = given.get(tag) if isinstance(given, Mapping) else given
        return f"{where}: {'.'.join((*place.written, tag))} must be one of {', '.join(tags)}, actual value: {actual!r}"
    message = problem["msg"].removeprefix("Value error, ")
    if not key:
        return f"{where}: {message}"
    # A rule about several keys together names its values itself; the whole mapping would bury it.
    about_several = kind == "value_error" and isinstance(given, Mapping)
    return f"{where}: {key}: {message}" if about_several else f"{where}: {key!r} = {given!r}: {message}"


class _Place(NamedTuple):
    """Where a problem stands.

    Attributes:
        written: the keys that lead to it in what was given; pydantic also names the members of unions, and keys
            that a validator put in.
        models: the configurations possible there.
        tag: what chose among them, for example ``"builder synthetic"``.
    """

    written: list[str]
    models: list[type[BaseModel]]
    tag: str


def _place(model: type[BaseModel], values: Any, location: tuple[int | str, ...]) -> _Place:
    written: list[str] = []
    models, tag = [model], ""
    for part in location:
        if len(models) > 1 and (chosen := _chosen(models, values, part)):
            models, tag = [chosen[0]], f"{chosen[1]} {part}"
            continue
        if _holds(values, part):
            values = values[part]
            written.append(str(part))
        if len(models) == 1 and part in models[0].model_fields:
            models, tag = _models_in(models[0].model_fields[str(part)].annotation), ""
    return _Place(written, models, tag)


def _chosen(models: list[type[BaseModel]], values: Any, part: int | str) -> tuple[type[BaseModel], str] | None:
    """Of a discriminated union the member whose tag is ``part``, and the key that holds it; None when it isn't one."""
    for model in models:
        for name, field in model.model_fields.items():
            if get_args(field.annotation) == (part,) and isinstance(values, Mapping) and values.get(name) == part:
                return model, name
    return None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models within unions, mappings and tuples."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _holds(values: Any, part: int | str) -> bool:
    if isinstance(values, Mapping):
        return part in values
    return isinstance(values, list | tuple) and part in range(len(values))


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML's own loader silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        first: dict[Any, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue  # no key of ours; the base class says so where it can't be one at all
            merges = key_node.tag == "tag:yaml.org,2002:merge"
            key, line = key_node.value if merges else self.construct_object(key_node), key_node.start_mark.line + 1
            if key in first:
                raise yaml.YAMLError(f"key {key!r} stands on line {first[key]} and again on line {line}; remove one")
            first[key] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigError: when the file is missing, isn't YAML or isn't a mapping, or when a key stands twice.
    """
    path = Path(path)
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values, found {type(values).__name__}")
    return values
