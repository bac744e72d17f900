"""The commands: a module each, whose `COMMAND` says all that the command line knows of it."""
