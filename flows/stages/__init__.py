"""The stages, a file each (and a row each in flows/registry.py): plan, read, compute in atlas, write."""
