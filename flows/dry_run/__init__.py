"""What a run would take: time, disk and memory, from a probe of 64 images."""
