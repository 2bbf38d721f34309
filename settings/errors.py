"""Errors that a user can act on.

Every error says what is wrong, where (feed, file, row, column), which rule it breaks and what to do next.
The exit code of the command line follows from the class, so a scheduler can tell the cases apart.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the `tillhouse` command."""

    OK = 0
    INTERNAL = 1  # a fault of ours: run again with --debug and report it
    USAGE = 2  # the command's words are off
    CONFIGURATION = 3  # a feed file, a contract, a profile, the home folder or an access right is wrong
    DATA_REJECTED = 4  # a file or a batch was refused; the rest may have been loaded
    BUILD_FAILED = 5  # models or error-level tests failed; the former marts stay published
    BUSY = 6  # another run holds the warehouse
    NOT_FOUND = 7  # no such batch, feed, warehouse or published file
    UNAVAILABLE = 8  # a server or a bucket cannot be reached, or ended the connection
    DENIED = 9  # a server or a bucket does not let us in, or the access policy does not allow it
    CHANGED_BY_HAND = 10  # what was provisioned on a server is no longer as it was written


class TillhouseError(Exception):
    """An error with a next step.

    Args:
        problem: what is wrong and where, one sentence.
        remedy: what the reader does next, one sentence.
        rule: the id of the broken rule, where there is one.
    """

    exit_code: ExitCode = ExitCode.INTERNAL

    def __init__(self, problem: str, *, remedy: str = "", rule: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.rule = rule

    def __str__(self) -> str:
        rule = f" [{self.rule}]" if self.rule else ""
        remedy = f"\n  what to do: {self.remedy}" if self.remedy else ""
        return f"{self.problem}{rule}{remedy}"


class UsageError(TillhouseError):
    """The words of the command are off."""

    exit_code = ExitCode.USAGE


class ConfigurationError(TillhouseError):
    """A feed file, contract, profile or folder is wrong."""

    exit_code = ExitCode.CONFIGURATION


class DataRejectedError(TillhouseError):
    """A file or batch was refused before anything of it was loaded."""

    exit_code = ExitCode.DATA_REJECTED


class BuildFailedError(TillhouseError):
    """Models or error-level tests failed; nothing was published."""

    exit_code = ExitCode.BUILD_FAILED


class BusyError(TillhouseError):
    """Another process holds the warehouse."""

    exit_code = ExitCode.BUSY


class AccessError(TillhouseError):
    """Access is refused: by a server or a bucket to us, or by the access policy to a role."""

    exit_code = ExitCode.DENIED


class UnavailableError(TillhouseError, ConnectionError):
    """A database server or an object store cannot be reached or has ended the connection; it may come back."""

    exit_code = ExitCode.UNAVAILABLE


class NotFoundError(TillhouseError):
    """The named batch, feed or file does not exist."""

    exit_code = ExitCode.NOT_FOUND


class ChangedByHandError(TillhouseError):
    """What was provisioned on a server is no longer as it was written."""

    exit_code = ExitCode.CHANGED_BY_HAND
