"""`actlas sql`: ask with SQL over a run's tables."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flows import registry
from flows.commands.shared import printing
from flows.commands.shared.printing import Name

SQL_HELP = f"""Query the run's tables with SQL (DuckDB): images, {", ".join(registry.tables())}, classes, rejects,
cell_metrics, unit_metrics.

Example:  actlas sql efficientnet-lite0 "select label, count(*) n from patches join images using (image_id)
where layer = '_blocks.10' and unit = 37 group by label order by n desc"
"""


def add_to(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("sql", help=SQL_HELP)(sql)


def sql(
    name: Name,
    query: Annotated[str, typer.Argument(help="One SELECT.", show_default=False)],
    time_limit: Annotated[float, typer.Option(help="Seconds that the query may take.", min=0.1)] = 60.0,
    memory_limit: Annotated[float, typer.Option(help="GiB of memory that it may take.", min=0.1)] = 2.0,
    store: printing.Store = printing.DEFAULT_STORE,
    json: printing.Json = False,
) -> None:
    """Ask with SQL (DuckDB) over the run's tables."""
    from flows import guarded_sql
    from flows.questions import sql as tables_sql
    from storage.run import open_run

    limits = guarded_sql.Limits(seconds=time_limit, memory=memory_limit, options=True)
    rows: list[dict[str, Any]] = tables_sql.ask(open_run(store, name), query, limits)
    if json:
        printing.as_json(rows)
    else:
        printing.as_table(rows)
