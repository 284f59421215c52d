"""Children that start together and that no failing test leaves behind."""

from __future__ import annotations

from kernel.things import finish, start


class Crew:
    """Processes that say "ready", are let go at the same time, and have ended when the block ends."""

    def __init__(self, code, arguments):
        self.children = [start(code, *given) for given in arguments]

    def __enter__(self):
        try:
            self.hear("ready")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure):
        for child in self.children:
            child.kill()
            with child:  # closes its pipes
                child.stdin.close()

    def hear(self, word):
        """Wait until each has said the word."""
        for child in self.children:
            said = child.stdout.readline()
            if said != f"{word}\n":
                child.kill()
                raise AssertionError(f"{said!r} instead of {word!r}\n{child.stderr.read()}")

    def tell(self, line="go"):
        """Give all of them a line."""
        for child in self.children:
            child.stdin.write(f"{line}\n")
        for child in self.children:
            child.stdin.flush()

    def kill(self, number):
        """End one of them in the middle of what it is doing."""
        child = self.children.pop(number)
        child.kill()
        child.communicate()

    def end(self, timeout=600):
        """Let all finish and return what each has printed."""
        return [finish(child, timeout=timeout) for child in self.children]
