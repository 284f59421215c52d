"""What a fresh process pays before its first message is stored, over the bare interpreter.

    python tests/bench/startup.py
"""

from __future__ import annotations

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUNDS = 15
OPEN = "from memstore import open_store; store = open_store({path!r}); "
CHAT = "chat = store.chat.create_conversation(id='c', exist_ok=True); store.chat.append(chat.id, 'user', 'hello world'); "
WORK = {
    "the bare interpreter": "pass",
    "import memstore": "import memstore",
    "open + one append + close": OPEN + CHAT + "store.close()",
    "the same and one search": OPEN + CHAT + "store.chat.search('hel'); store.close()",
}


def milliseconds(code, folder, fresh):
    times = []
    for turn in range(ROUNDS):
        path = str(folder / f"{turn if fresh else 'one'}.db")
        source = f"import sys; sys.path.insert(0, {str(ROOT)!r}); " + code.format(path=path)
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-S", "-E", "-c", source], check=True)
        times.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(times)


def main():
    bare = 0.0
    for name, code in WORK.items():
        for fresh in (True, False) if "{path" in code else (True,):
            with tempfile.TemporaryDirectory(prefix="memstore-bench-") as folder:
                spent = milliseconds(code, pathlib.Path(folder), fresh) - bare
            bare = bare or spent
            print(f"{name + ('' if '{path' not in code else ', fresh file' if fresh else ', existing file'):<42} {spent:>6.1f} ms")


if __name__ == "__main__":
    main()
