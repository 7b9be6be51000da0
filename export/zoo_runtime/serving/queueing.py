"""One thread for a model, and the limited queue of what waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from zoo_runtime.serving.failures import RequestError, stopping

# Of the time that one job takes, how much the newest counts.
_NEWEST = 0.2
_LONGEST_WAIT = 60.0
# What a thread that computes has to end in, when the server does.
_PATIENCE = 5.0


class Job:
    """What a request wants of a model, and what it has got so far: an asynchronous iterator.

    It is made in the event loop of the request.

    Args:
        task: What is asked for.
        rows: How many rows of a batch it fills.
        key: Jobs of the same key may be run together; ``None`` is run alone.
    """

    def __init__(self, task: Any, rows: int = 1, key: Hashable = None) -> None:
        self.task, self.rows, self.key = task, rows, key
        self.is_started = self.is_cancelled = False
        self._loop = asyncio.get_running_loop()
        self._results: asyncio.Queue[tuple[Any, BaseException | None]] = asyncio.Queue()

    def __aiter__(self) -> Job:
        return self

    async def __anext__(self) -> Any:
        result, error = await self._results.get()
        if error is not None:
            raise error
        return result

    def give(self, result: Any) -> None:
        """Add a result; the thread that computes calls it."""
        self._put(result, None)

    def end(self, error: BaseException | None = None) -> None:
        """Say that there is no more, or why."""
        self._put(None, error or StopAsyncIteration())

    def _put(self, result: Any, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._results.put_nowait, (result, error))


class Worker:
    """The only thread that a model is run in.

    Args:
        work: Gives jobs their results. It may raise; jobs that run together are then run alone.
        max_queue: Jobs that may wait.
        max_rows: Rows of jobs that are run together.
        on_batch: Called with the rows that are run together.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Job]], None],
        *,
        max_queue: int,
        max_rows: int = 1,
        on_batch: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self._work, self._max_queue, self._max_rows = work, max_queue, max_rows
        self._on_batch = on_batch
        self._waiting: deque[Job] = deque()
        self._running: Sequence[Job] = ()
        self._changed = threading.Condition()
        self._is_closed = False
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="zoo-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many jobs are computed now."""
        return len(self._running)

    @property
    def is_ready(self) -> bool:
        """Whether it takes jobs."""
        return not self._is_closed and self._thread.is_alive()

    @property
    def expected_wait(self) -> float:
        """Seconds after which a job that waits now would be computed."""
        return min(_LONGEST_WAIT, self._seconds * (self.waiting + self.running))

    def submit(self, job: Job) -> None:
        """Have a job wait for its turn.

        Raises:
            RequestError: Too many wait, or the server ends.
        """
        with self._changed:
            if not self.is_ready:
                raise stopping()
            if len(self._waiting) >= self._max_queue:
                raise RequestError(
                    429,
                    f"{len(self._waiting)} requests wait already: try again later.",
                    "queue_full",
                    wait=self.expected_wait,
                )
            self._waiting.append(job)
            self._changed.notify()

    def cancel(self, job: Job) -> None:
        """Forget a job; one that is computed ends at its next token."""
        with self._changed:
            job.is_cancelled = True
            if job in self._waiting:
                self._waiting.remove(job)

    def close(self) -> None:
        """End: jobs that wait are told so, and the one that is computed is cancelled."""
        with self._changed:
            self._is_closed = True
            left, self._waiting = [*self._waiting, *self._running], deque()
            for job in left:
                job.is_cancelled = True
                job.end(stopping())
            self._changed.notify()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._running = ()
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                jobs = self._running = self._taken()
            for job in jobs:
                job.is_started = True
            begun = time.perf_counter()
            self._on_batch(sum(job.rows for job in jobs))
            self._compute(jobs)
            seconds = time.perf_counter() - begun
            self._seconds += (seconds - self._seconds) * (_NEWEST if self._seconds else 1)

    def _taken(self) -> list[Job]:
        """Take the job that waits longest, and all that can be run with it."""
        first = self._waiting.popleft()
        taken, rows = [first], first.rows
        for job in list(self._waiting) if first.key is not None else ():
            if job.key == first.key and rows + job.rows <= self._max_rows:
                self._waiting.remove(job)
                taken.append(job)
                rows += job.rows
        return taken

    def _compute(self, jobs: Sequence[Job]) -> None:
        try:
            self._work(jobs)
        except BaseException as error:  # some libraries panic with what is no Exception
            if len(jobs) > 1:
                # One of them is at fault, and the others are not.
                for job in jobs:
                    self._compute([job])
                return
            jobs[0].end(error)
            return
        for job in jobs:
            job.end()
