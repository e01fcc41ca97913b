"""What the commands share: groups of options, parsing of values, printing of answers and errors, the terminal."""
