"""actlas from Python: atlases, pictures and tables in a notebook."""

from flows.notebook.atlas import Atlas, Picture

__all__ = ["Atlas", "Picture"]
