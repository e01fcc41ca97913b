"""The model: prepared for a run, or loaded again for a published one."""
