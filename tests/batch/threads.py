"""A cluster of threads in this process, for what needs no real one: what is sent is pickled, and a worker may be killed."""

import pickle
import threading
from typing import Any

from autointerp.cluster import WorkerLost


class ThreadActor:
    def __init__(self, actor: type):
        self._object = actor()
        self._killed = threading.Event()
        self.items: list[Any] = []
        """Handed to it, in order."""

    def call(self, method: str, *args: Any) -> None:
        if args[:1] == ("do",):
            self.items.append(args[2])
        if not self._killed.is_set():
            getattr(self._object, method)(*pickle.loads(pickle.dumps(args)))

    def get(self, method: str) -> Any:
        said = pickle.loads(pickle.dumps(getattr(self._object, method)()))
        if self._killed.is_set():
            raise WorkerLost("it was killed")
        return said

    def kill(self) -> None:
        self._killed.set()

    @property
    def is_killed(self) -> bool:
        return self._killed.is_set()


class ThreadCluster:
    def __init__(self) -> None:
        self.actors: list[ThreadActor] = []

    def n_workers(self, on_gpu: bool) -> int:
        return 2

    def start(self, actor: type, n: int) -> ThreadActor:
        self.actors.append(ThreadActor(actor))
        return self.actors[-1]
