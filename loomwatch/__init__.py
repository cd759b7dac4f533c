"""The command line, and the supervisor that runs a whole line on one machine."""
