"""Put a finished study into docs/results, small enough to commit, with the command that reproduces it on top.

python -m experiments.publish runs/benchmark/coverage_fixed-1a2b3c4d --name benchmark
"""

from pathlib import Path
from typing import Annotated

import typer

from experiments.harness import options, publishing


def main(
    study: Annotated[Path, typer.Argument(help="Directory of a finished study.")],
    name: Annotated[str, typer.Option(help="What the page is called.")],
    to: Annotated[Path, typer.Option(help="Directory of the pages.")] = publishing.RESULTS,
) -> None:
    """Copy report, figures, results and manifest to NAME.md, NAME/, NAME.parquet and NAME.manifest.json."""
    with options.exits():
        publishing.publish(study, name, to)


if __name__ == "__main__":
    typer.run(main)
