"""A team of workers, threads or processes: tasks go in, answers come out."""

import ast
import atexit
import contextlib
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
import warnings
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...settings import set_num_threads
from .worker import Answer, Failure, Restart, Setup, Task, Worker

#: How often a waiting main thread looks whether the workers still live, in seconds;
#: also what a Ctrl-C waits at most where a lock cannot be interrupted.
GLANCE = 1.0
#: How long a worker process may go on with its sample once it is not needed.
PATIENCE = 1.0

_teams: "weakref.WeakSet[ThreadTeam]" = weakref.WeakSet()


@atexit.register
def _let_threads_end():
    """A thread inside a kernel must not outlive the interpreter."""
    deadline = time.monotonic() + 5 * PATIENCE
    for team in list(_teams):
        team.close()
        team.join(deadline)


class ThreadTeam:
    """Workers that share this process: nothing is pickled, any script may use them."""

    def __init__(self, setup: Setup):
        self._stopped = threading.Event()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._tasks: list[queue.SimpleQueue] = []
        self._members = []
        for id in range(setup.num_workers):
            tasks: queue.SimpleQueue[Task | Restart | None] = queue.SimpleQueue()
            worker = Worker(setup, id, own_process=False)
            thread = threading.Thread(
                target=worker.run,
                args=(tasks.get, self._answers.put, self._stopped.is_set),
                name=f"DataLoader worker {id}",
                daemon=True,
            )
            self._tasks.append(tasks)
            self._members.append(thread)
            thread.start()
        _teams.add(self)

    def send(self, id: int, task: Task | Restart) -> None:
        """Put a task in worker `id`'s queue."""
        self._tasks[id].put(task)

    def receive(self, timeout: float) -> Answer:
        """The next answer of any worker; raises queue.Empty after `timeout` seconds."""
        return self._answers.get(timeout=timeout)

    def check(self) -> None:
        """Threads answer whatever happens: nothing to see."""

    def join(self, deadline: float) -> None:
        """Wait until the threads have ended, or time.monotonic() is `deadline`."""
        for thread in self._members:
            thread.join(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """Let the workers end, each after the sample it is making."""
        self._stopped.set()
        for tasks in self._tasks:
            tasks.put(None)


class ProcessTeam:
    """Workers in processes of their own: for Python code that holds the GIL."""

    def __init__(self, setup: Setup, context):
        _refuse_to_multiply(context)
        self._owner = os.getpid()
        self._answers = context.Queue()
        self._tasks = [context.Queue() for _ in range(setup.num_workers)]
        self._members: list[Any] = []
        try:
            for id, tasks in enumerate(self._tasks):
                member = context.Process(
                    target=_serve,
                    args=(setup, id, tasks, self._answers),
                    name=f"DataLoader worker {id}",
                    daemon=True,
                )
                with warnings.catch_warnings():
                    # Our threads know how to be forked.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    member.start()
                self._members.append(member)
        except BaseException:
            self.close()
            raise

    def send(self, id: int, task: Task | Restart) -> None:
        """Put a task in worker `id`'s queue."""
        self._tasks[id].put(task)

    def receive(self, timeout: float) -> Answer:
        """The next answer of any worker; raises queue.Empty after `timeout` seconds."""
        answer = self._answers.get(timeout=timeout)
        return replace(answer, result=pickle.loads(answer.result))

    def check(self) -> None:
        """Raise RuntimeError if a worker has died."""
        dead = [
            f"worker {id} (pid {member.pid}, exit code {member.exitcode})"
            for id, member in enumerate(self._members)
            if member.exitcode is not None
        ]
        if dead:
            raise RuntimeError(
                f"DataLoader: {', '.join(dead)} ended without giving its batch."
            )

    def close(self) -> None:
        """End the workers; one that is busy for longer than PATIENCE is terminated."""
        if os.getpid() != self._owner:
            return  # a fork of the process that owns them
        for tasks in self._tasks:
            with contextlib.suppress(ValueError):  # closed before
                tasks.put(None)
        deadline = time.monotonic() + PATIENCE
        for member in self._members:
            member.join(max(0.0, deadline - time.monotonic()))
            if member.exitcode is None:
                member.terminate()
                member.join()
        for channel in (*self._tasks, self._answers):
            channel.cancel_join_thread()
            channel.close()


def _serve(setup: Setup, id: int, tasks, answers) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    set_num_threads(1)  # the processes share the cores already
    parent = multiprocessing.parent_process()

    def receive():
        while True:
            try:
                return tasks.get(timeout=5 * GLANCE)
            except queue.Empty:
                if parent is not None and not parent.is_alive():
                    return None

    def answer(given: Answer):
        answers.put(replace(given, result=_pickled(given.result, id)))

    Worker(setup, id, own_process=True).run(receive, answer, lambda: False)
    answers.cancel_join_thread()  # nobody waits for what is still in the pipe


def _pickled(result, id: int) -> bytes:
    try:
        return pickle.dumps(result, protocol=5)
    except Exception:
        if isinstance(result, Failure):  # its type exists in this process only
            failure = replace(result, kind=RuntimeError)
        else:
            failure = Failure.now(id, "process", "sending a batch", keep_cause=False)
        return pickle.dumps(failure)


def _refuse_to_multiply(context) -> None:
    """Refuse to start processes that would run this script again and do the same."""
    method = context.get_start_method()
    if method == "fork":
        return
    inheriting = getattr(multiprocessing.current_process(), "_inheriting", False)
    if inheriting or _in_unguarded_script():
        raise RuntimeError(
            f"DataLoader: worker processes started by {method!r} run the script again "
            'from its top, so the loop over the loader belongs under `if __name__ == "'
            '__main__":` (or leave out multiprocessing_context, to get threads).'
        )


def _in_unguarded_script() -> bool:
    """Whether the script's top level is calling us from outside `if __name__ …`."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>" and (
            frame.f_globals.get("__name__") == "__main__"
        ):
            break
        frame = frame.f_back
    if frame is None or not Path(frame.f_code.co_filename).is_file():
        return False  # interactive, -c: there is no script to run again
    tree = ast.parse(Path(frame.f_code.co_filename).read_bytes())
    for statement in tree.body:
        if isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test):
            last = statement.end_lineno or statement.lineno
            if statement.lineno <= frame.f_lineno <= last:
                return False
    return True
