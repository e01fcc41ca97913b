"""What a plan is made of: tasks, keys, library versions and costs."""
