"""`millrace shadow`: experiments that mirror traffic, and live splits."""

import typer

from pipeline.cli import shadow_report

app = typer.Typer(help="Experiments on your own traffic.", no_args_is_help=True)
app.command("report")(shadow_report.report)


@app.callback()
def _group() -> None:
    """A group even while it has one command."""
