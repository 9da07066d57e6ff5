"""Time that passes only when everybody waits: threads that take turns, and events that are due.

One thread runs at a time and gives its turn up by sleeping, so that whatever runs side by side does so in the same
order each time. A process that is killed never gets another turn, as after SIGKILL: none of its handlers runs.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EPOCH = 1_800_000_000.0
_REAL_SECONDS = 60.0


class KilledError(BaseException):
    """Ends the threads of a killed process once the test is over."""


class Process:
    """What the threads of one program share: its environment, and its end."""

    _numbers = itertools.count(2**23)  # beyond what the kernel gives

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self.pid = next(self._numbers)
        self.environment = environment or {}
        self.threads: list[VirtualThread] = []
        self.signals: dict[int, Callable[[int, object], None]] = {}
        self.killed = False
        self.failure: BaseException | None = None

    @property
    def alive(self) -> bool:
        return not self.killed and any(not thread.done for thread in self.threads)


class VirtualThread:
    """A thread that runs only when it has the turn."""

    def __init__(self, process: Process | None) -> None:
        self.process = process
        self.turn = threading.Event()
        self.done = False
        self.waiting: list[VirtualThread] = []
        """those that wait for its end"""

    @property
    def dead(self) -> bool:
        return self.process is not None and self.process.killed

    def is_alive(self) -> bool:
        """As of a real thread."""
        return not (self.done or self.dead)


class VirtualTime:
    """The time of one test; the thread that makes it has the first turn."""

    def __init__(self) -> None:
        self.now = 0.0
        self.before: list[Callable[[], None]] = []
        """called with what is so just before the time moves on"""
        self._queue: list[tuple[float, int, VirtualThread | Callable[[], None]]] = []
        self._order = itertools.count()
        self._local = threading.local()
        self._local.thread = VirtualThread(None)
        self._real: list[threading.Thread] = []
        self._all: list[VirtualThread] = []

    @property
    def me(self) -> VirtualThread:
        """The thread that asks."""
        thread: VirtualThread = self._local.thread
        if thread.dead:
            raise KilledError
        return thread

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Have something happen at that time; it must not sleep."""
        heapq.heappush(self._queue, (max(when, self.now), next(self._order), event))

    def sleep(self, seconds: float) -> None:
        """Give up the turn for so long."""
        me = self.me
        self._wake(me, self.now + max(0.0, seconds))
        self._pass_on(me)

    def start(self, work: Callable[[], None], process: Process) -> VirtualThread:
        """A thread of a process; it gets its turn when this one gives it up."""
        thread = VirtualThread(process)
        process.threads.append(thread)
        self._all.append(thread)
        real = threading.Thread(target=self._run, args=(thread, work), daemon=True)
        self._real.append(real)
        real.start()
        self._wake(thread, self.now)
        return thread

    def wait(self, threads: Iterable[VirtualThread]) -> None:
        """Wait until they ended."""
        me = self.me
        for thread in threads:
            while thread.is_alive():
                thread.waiting.append(me)
                self._pass_on(me)

    def park(self, waiting: list[VirtualThread]) -> None:
        """Wait until somebody hands this list to `wake`."""
        me = self.me
        waiting.append(me)
        self._pass_on(me)

    def wake(self, waiting: list[VirtualThread]) -> None:
        """Go on with those that are parked there."""
        while waiting:
            self._wake(waiting.pop(), self.now)

    def kill(self, process: Process) -> None:
        """End a process as SIGKILL does; does not return to a thread of its own."""
        process.killed = True
        for thread in process.threads:
            self.wake(thread.waiting)
        mine: VirtualThread = self._local.thread
        if mine.dead:
            self._leave()
            mine.turn.wait()
            raise KilledError

    def bury(self) -> None:
        """End all threads that are left; the test is over."""
        for thread in self._all:
            if thread.process is not None:
                thread.process.killed = True
            thread.turn.set()
        for real in self._real:
            real.join(_REAL_SECONDS)

    def _run(self, thread: VirtualThread, work: Callable[[], None]) -> None:
        self._local.thread = thread
        thread.turn.wait()
        thread.turn.clear()
        process = thread.process
        assert process is not None
        try:
            if not thread.dead:
                work()
        except KilledError:
            pass
        except BaseException as error:  # noqa: BLE001 - whoever waits for the process looks at it
            process.failure = process.failure or error
        thread.done = True
        if not thread.dead:
            self.wake(thread.waiting)
            self._leave()

    def _wake(self, thread: VirtualThread, when: float) -> None:
        heapq.heappush(self._queue, (when, next(self._order), thread))

    def _pass_on(self, me: VirtualThread) -> None:
        following = self._next()
        if following is me:
            return
        self._give(following)
        if not me.turn.wait(_REAL_SECONDS):
            raise AssertionError("a thread of the simulation hangs for real")
        me.turn.clear()
        if me.dead:
            raise KilledError

    def _leave(self) -> None:
        self._give(self._next())

    def _give(self, thread: VirtualThread) -> None:
        if thread.process is not None:
            os.environ.update(thread.process.environment)
        thread.turn.set()

    def _next(self) -> VirtualThread:
        """The thread whose turn it is; lets pass the time until then, and happen what is due meanwhile."""
        while True:
            if not self._queue:
                raise AssertionError("everybody waits for something that will never happen")
            if self._queue[0][0] > self.now:
                for look in self.before:
                    look()
            when, _, item = heapq.heappop(self._queue)
            self.now = max(self.now, when)
            if not isinstance(item, VirtualThread):
                item()
            elif item.is_alive():
                return item
