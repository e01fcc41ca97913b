"""The stages, a file each: read, compute in atlas, write."""
