"""The engine that runs tasks on a Dask cluster."""
