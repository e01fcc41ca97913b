"""The parts of a plan: tasks, keys, library versions and costs."""
