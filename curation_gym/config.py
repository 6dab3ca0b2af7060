"""Configuration at the boundary: pydantic models, and errors that name the place, the key and the way out."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError


class Config(BaseModel):
    """Base of every configuration: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


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
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"]) or "(top level)"
            if problem["type"] == "extra_forbidden":
                allowed = ", ".join(_fields_beside(model, problem["loc"]))
                lines.append(f"{where}: unknown key {key!r}; allowed keys: {allowed}")
            else:
                lines.append(f"{where}: {key!r} = {problem['input']!r}: {problem['msg']}")
        raise ConfigError("\n".join(lines)) from error


def _fields_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The field names allowed where an unknown key stands, found by walking the annotations."""
    here: Any = model
    for part in location[:-1]:
        if not (isinstance(here, type) and issubclass(here, BaseModel)):
            break
        field = here.model_fields.get(str(part))
        if field is None:
            break
        here = field.annotation
    if isinstance(here, type) and issubclass(here, BaseModel):
        return list(here.model_fields)
    # A discriminated union: the tag in the location names the member.
    for member in getattr(here, "__args__", ()):
        if isinstance(member, type) and issubclass(member, BaseModel):
            tags = [field.default for field in member.model_fields.values()]
            if any(part in tags for part in location):
                return list(member.model_fields)
    return ["(see the documentation of this key)"]


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigError: when the file is missing, isn't YAML or isn't a mapping.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values, found {type(values).__name__}")
    return values
