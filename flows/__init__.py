"""Whatever a person or a scheduler starts: configuration, stages, flows, command line, queries."""
