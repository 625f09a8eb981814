"""Exit codes of the `syncline` command. Those of expected errors stand in `domain.errors`; numbers follow sysexits.h."""

from __future__ import annotations

from typing import Final

OK: Final = 0
DIFFERENCES: Final = 3
USAGE: Final = 2
UNFINISHED: Final = 4
BUG: Final = 70
INTERRUPTED: Final = 130

MEANINGS: Final[dict[int, str]] = {
    OK: "Done. For `migrate run`, `resume` and `report`: everything is accounted for.",
    1: "An error that has no code of its own; the message says what to do.",
    USAGE: "The command line is wrong: an unknown command or option, or a missing value.",
    DIFFERENCES: "Finished, but something wants a person: the certificate lists differences, an undo kept records that "
    "were edited since, a check of `doctor` failed, a connection test failed, or `sync compare` left out a stream that is stopped.",
    UNFINISHED: "Stopped as asked, but not every batch under way was finished in time: its lane was given back, and another worker "
    "goes on with it.",
    65: "The plan was edited after it was approved, the source changed between plan and run, or a record is unusable.",
    BUG: "A bug in Syncline. The message names a file with the details.",
    73: "Another run holds this connection; of `sync compare`: a worker is at an object, and compares it next.",
    74: "No room left in the database or on the disk. Everything committed is kept; resume after making room.",
    75: "The vendor or the database could not be reached, or a limit is used up. Try again later.",
    77: "Credentials are wrong, expired or revoked. Connect again.",
    78: "Something must be changed by a person: a setting, a permission, a mapping.",
    INTERRUPTED: "Stopped by Ctrl-C or SIGTERM. What is committed is kept; `syncline migrate resume` goes on.",
}
"""What each exit code means: the text of docs/reference/exit-codes.md."""
