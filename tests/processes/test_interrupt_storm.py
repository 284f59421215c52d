"""A storm of Ctrl-C over the calls of all rooms: what has returned is there, what has raised is whole or has not happened."""

from __future__ import annotations

import signal

import pytest
from kernel.things import start

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no timer here")

STORM = "import sys; from processes.struck import main; main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))"


@pytest.mark.parametrize("seconds", [1.5, pytest.param(60, marks=pytest.mark.nightly)])
def test_interrupted_at_any_moment_every_call_keeps_its_word_and_holds_nothing(tmp_path, rng, seconds):
    # Of Ctrl-C that arrives when COMMIT has succeeded the caller hears by KeyboardInterrupt, as of one before: no way of raising
    # could tell them apart. So what has raised may have happened, but then it has as a whole.
    with start(STORM, tmp_path, seconds, rng.randrange(2**32), flags=()) as child:
        try:
            said, noise = child.communicate(timeout=2 * seconds + 60)  # the noise: interrupts in callbacks, where Python ignores them
        finally:
            child.kill()
    assert child.returncode == 0, f"{said}\n{noise}"
    print(said)
    words = said.split()
    assert int(words[3]) > 20
    assert int(words[5]) > 20
