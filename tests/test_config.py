"""What the base of every configuration guarantees, and how its errors read."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, model_validator

from curation_gym.config import Config, ConfigError, Many, Pair, read_yaml, validated


class Circle(Config):
    shape: Literal["circle"]
    radius: float = Field(1.0, gt=0)


class Box(Config):
    shape: Literal["box"]
    sides: Pair[float]
    circle: Circle | None = None


class Drawing(Config):
    size: int = 1
    closed: bool = False
    points: Many[float] = ()
    frame: Annotated[Circle | Box, Field(discriminator="shape")] | None = None
    parts: dict[str, Annotated[Circle | Box, Field(discriminator="shape")]] = Field(default_factory=dict)
    rows: Many[Circle] = ()

    @model_validator(mode="after")
    def _small(self) -> "Drawing":
        if self.size > len(self.points) + 1:
            raise ValueError(f"size = {self.size} needs as many points")
        return self


def test_a_list_stands_for_a_tuple_and_an_integer_for_a_float() -> None:
    drawing = validated(Drawing, {"points": [1, 2.5], "frame": {"shape": "box", "sides": [1, 2]}}, "here")
    assert drawing.points == (1.0, 2.5)
    assert all(type(point) is float for point in drawing.points)
    assert isinstance(drawing.frame, Box)
    assert drawing.frame.sides == (1.0, 2.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": "1"}, "here: 'size' = '1': Input should be a valid integer"),
        ({"size": True}, "here: 'size' = True: Input should be a valid integer"),
        ({"size": 1.0}, "here: 'size' = 1.0: Input should be a valid integer"),
        ({"closed": 1}, "here: 'closed' = 1: Input should be a valid boolean"),
        ({"points": [0, "1"]}, "here: 'points.1' = '1': Input should be a valid number"),
        ({"points": [0, False]}, "here: 'points.1' = False: Input should be a valid number"),
        ({"points": [float("nan")]}, "here: 'points.0' = nan: Input should be a finite number"),
        ({"points": "12"}, "here: 'points' = '12': Input should be a valid tuple"),
        ({"size": 3}, "here: size = 3 needs as many points"),
        ({"colour": 1}, "here: unknown key 'colour'; allowed keys: size, closed, points, frame, parts, rows"),
        ({1: 2}, "here: '1' = 1: Keys should be strings"),
        ({"rows": [{"shape": "circle", "r": 1}]}, "here: unknown key 'rows.0.r'; allowed keys: shape, radius"),
        ({"frame": {"shape": "box"}}, "here: key 'frame.sides' is missing"),
        (
            {"frame": {"shape": "circle", "radius": float("inf")}},
            "here: 'frame.radius' = inf: Input should be a finite number",
        ),
        (
            {"frame": {"shape": "circle", "r": 1}},
            "here: unknown key 'r' in frame (shape circle); allowed keys: shape, radius",
        ),
        (
            # a tag beside a key of the same name, below a part of the same name
            {"parts": {"circle": {"shape": "box", "sides": [1, 1], "circle": {"shape": "circle", "box": 1}}}},
            "here: unknown key 'parts.circle.circle.box'; allowed keys: shape, radius",
        ),
        (
            {"parts": {"box": {"shape": "box", "sides": [1, 1], "box": 1}}},
            "here: unknown key 'box' in parts.box (shape box); allowed keys: shape, sides, circle",
        ),
        ({"frame": {"shape": "star"}}, "here: frame.shape must be one of circle, box, actual value: 'star'"),
        ({"frame": {"shape": ["box"]}}, "here: frame.shape must be one of circle, box, actual value: ['box']"),
        ({"parts": {"a": {}}}, "here: parts.a.shape must be one of circle, box, actual value: None"),
    ],
)
def test_a_problem_is_told_in_one_line(values: dict[Any, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(Drawing, values, "here")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "key 'a' stands on line 1 and again on line 3"),
        ("a:\n  - {b: 1}\n  - {c: 1,\n     'c': 2}\n", "key 'c' stands on line 3 and again on line 4"),
        ("a: {1: x, 0x1: y}\n", "key 1 stands on line 1 and again on line 1"),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}: not valid YAML: {message}")


def test_a_merged_mapping_may_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", encoding="utf-8")
    assert read_yaml(path) == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}
