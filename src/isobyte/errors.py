"""The one error a user is meant to read.

Everything else that escapes a command is a defect of ours and exits 1 with a traceback.
"""


class UserError(Exception):
    """Something the user can mend: `what` went wrong, `where`, and `how` to mend it.

    The command line prints it as one line and exits 2.
    """

    def __init__(self, what: str, *, where: str = "", how: str = "") -> None:
        self.what, self.where, self.how = what, where, how
        parts = [f"{where}: {what}" if where else what]
        if how:
            parts.append(how)
        super().__init__("; ".join(parts))


def nearest(name: str, valid: list[str]) -> str:
    """`did you mean ...` for a misspelt name, else the list of valid ones."""
    import difflib

    close = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    return "valid: " + ", ".join(sorted(valid))
