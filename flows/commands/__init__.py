"""The command line, a file per group of commands: each opens, asks one question, and prints."""
