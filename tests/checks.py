"""Counts checks: prints one line for each, then a closing line, and returns the exit code."""

ROWS_SHOWN = 5


class Checks:
    def __init__(self, shown=ROWS_SHOWN):
        self.shown = shown
        self.passed = 0
        self.failed = 0

    def check(self, name, differences):
        """A check passes if its list of differences is empty. Only the first few are shown."""
        differences = list(differences)
        if not differences:
            self.passed += 1
            print(f"ok      {name}")
            return
        self.failed += 1
        print(f"FAILED  {name}: {len(differences)} differences")
        for difference in differences[: self.shown]:
            print(f"        {difference}")

    def equal(self, name, got, expected):
        self.check(name, [] if got == expected else [f"logmill {got!r}, expected {expected!r}"])

    def close(self):
        """Prints the closing line and returns the exit code."""
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0
