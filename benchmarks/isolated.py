"""Work on many things one after the other in a process of its own, so that one that hangs or dies ends nothing else."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import resource
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

GRACE = 30  # seconds in which a worker that hangs outside Python may still answer


@dataclass(frozen=True)
class Limits:
    """What one thing may take: seconds, bytes of memory, and bytes of weights for a run on real tensors."""

    seconds: int
    memory: int
    real: int


class OutOfTimeError(BaseException):
    """It took too long; no `Exception`, so that the code at work does not catch it."""


Answer = Callable[[str], Any]
Load = Callable[[], tuple[list[str], Answer]]


def answers(load: Load, choose: Callable[[list[str]], list[str]], limits: Limits) -> Iterator[tuple[str, Any, str]]:
    """For each name that is chosen its answer; or None, and why there is none.

    Args:
        load: called in the worker, and so a function that can be pickled; gives all names, and what answers to one.
        choose: of all names those to work on.
        limits: of one name's time and of the worker's memory.
    """
    worker, connection, names = _start(load, limits)
    for name in choose(names):
        if worker is None:
            worker, connection, _ = _start(load, limits)
        start = time.perf_counter()
        try:
            connection.send(name)
            # The worker's own alarm comes first, unless it hangs outside Python.
            if connection.poll(limits.seconds + GRACE):
                yield name, *connection.recv()
                continue
            failure = "OutOfTimeError: the worker hung"
        except (EOFError, OSError):
            worker.join(5)
            failure = f"the worker died with exit code {worker.exitcode}"
        yield name, None, f"{failure} after {time.perf_counter() - start:.0f} s"
        _end(worker)
        worker = None
    if worker is not None:
        _end(worker)


def _start(load: Load, limits: Limits) -> tuple[Any, Connection, list[str]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    worker: Any = context.Process(target=_serve, args=(load, limits, theirs), daemon=True)
    worker.start()
    theirs.close()
    try:
        return worker, ours, ours.recv()
    except EOFError:
        worker.join()
        raise RuntimeError("the worker could not load what it works on; its error stands above") from None


def _end(worker: Any) -> None:
    worker.kill()
    worker.join()


def _serve(load: Load, limits: Limits, connection: Connection) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory, limits.memory))
    signal.signal(signal.SIGALRM, _ring)
    names, answer = load()
    connection.send(names)
    with contextlib.suppress(EOFError):
        while True:
            name = connection.recv()
            # Again and again, since an exception is lost that a finalizer raises.
            signal.setitimer(signal.ITIMER_REAL, limits.seconds, 5)
            try:
                reply = answer(name), ""
            except (Exception, OutOfTimeError) as error:
                reply = None, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send(reply)
            gc.collect()
            gc.freeze()  # what lives on is the library, and need not be looked through again


def _ring(*_: object) -> None:
    raise OutOfTimeError("took too long")
