"""Configuration at the boundary: pydantic models, and errors that name the place, the key and the way out."""

from pathlib import Path
from typing import Any, TypeVar, get_args

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
        raise ConfigError("\n".join(_told(model, problem, where) for problem in error.errors())) from error


def _told(model: type[BaseModel], problem: Any, where: str) -> str:
    """One problem on one line."""
    location = problem["loc"]
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key {key!r}; allowed keys: {', '.join(_fields_beside(model, location))}"
    if problem["type"] == "missing":
        return f"{where}: key {key!r} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    # A rule about several keys together names its values itself; the whole mapping as "input" would bury it.
    return f"{where}: {key!r} = {problem['input']!r}: {message}" if key else f"{where}: {message}"


def _fields_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The field names allowed where an unknown key stands, found by walking the annotations."""
    here: Any = model
    for part in location[:-1]:
        if _is_model(here):
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:
            here = _member(here, part)
    here = here if _is_model(here) else _member(here, location[-1])
    return list(here.model_fields) if here else ["(see the documentation of this key)"]


def _member(annotation: Any, part: int | str) -> Any:
    """The model within a union, mapping or list; of a discriminated union the one whose tag is ``part``."""
    models = [member for member in get_args(annotation) if _is_model(member)]
    tagged = [m for m in models if part in [field.default for field in m.model_fields.values()]]
    return next(iter(tagged or models), None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


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
