"""The command ``curation-gym``."""

import typer

from curation_gym.evaluation.language_model import commands as evaluation

app = typer.Typer(no_args_is_help=True, pretty_exceptions_show_locals=False, help="Learned data curation.")
app.add_typer(evaluation.app, name="evaluate")


@app.callback()
def main() -> None:
    """Learned data curation."""
