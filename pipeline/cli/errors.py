"""What a person at the terminal can do something about: one line, exit code 1, no traceback."""


class CliError(Exception):
    """The text says what is wrong and what to do."""


class UsageError(CliError):
    """Asked in a way that cannot be answered: exit code 2."""
