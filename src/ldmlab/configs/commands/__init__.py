"""What is asked of the configs of commands that Python calls as well: a module a command, with its `CHECKS`."""
