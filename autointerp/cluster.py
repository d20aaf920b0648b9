"""Ray, where it is asked for: joining a cluster, and running functions on its workers. Nothing else imports it."""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from autointerp.errors import UserError
from autointerp.llm.secrets import keys_hidden

LOCAL = "local"
_ATTEMPTS = 5
"""How often a function is done again whose worker died."""


class Cluster:
    """An open connection."""

    def __init__(self, ray: Any):
        self._ray = ray

    def n_workers(self, on_gpu: bool) -> int:
        """Functions that run at once, at least 1; it may change while nodes come and go."""
        return max(1, int(self._ray.cluster_resources().get("GPU" if on_gpu else "CPU", 1)))

    def put(self, value: Any) -> Any:
        """The value, sent to each node once; given to a function, it arrives there as itself."""
        return self._ray.put(value)

    def get(self, reference: Any) -> Any:
        """What a function gave, once it is there. Raises the UserError that it returned instead, and UserError when its workers
        died again and again."""
        try:
            value = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise  # a bug, with the worker's traceback
        except self._ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(
                f"the cluster could not finish a part of the work in {_ATTEMPTS + 1} attempts: {type(error).__name__}: {first} "
                "Workers that die have usually run out of memory: give them fewer cores or a smaller --batch-size."
            ) from error
        if isinstance(value, UserError):
            raise value
        return value

    def start(self, actor: type, n: int) -> "Actor":
        """A process with an object of this class, one of `n` that share the cluster's cores evenly. Its calls run beside each
        other, and it is not made again when it dies."""
        per_core = -(-n // self.n_workers(on_gpu=False))
        options = {
            "num_cpus": 1 / per_core,
            "max_restarts": 0,
            "max_concurrency": 4,
            "enable_task_events": False,
        }
        return Actor(self._ray, self._ray.remote(**options)(actor).remote())

    def cancel(self, references: Iterable[Any]) -> None:
        """Stop what is not needed any more."""
        for reference in references:
            with suppress(Exception):
                self._ray.cancel(reference, force=True)


class WorkerLost(Exception):
    """The process of an actor, or its machine, died."""


class Actor:
    """An object in a process of its own on the cluster."""

    def __init__(self, ray: Any, handle: Any):
        self._ray, self._handle = ray, handle

    def call(self, method: str, *args: Any) -> Any:
        """Does not wait; gives a reference to the result."""
        return getattr(self._handle, method).remote(*args)

    def get(self, method: str, *args: Any) -> Any:
        """What the method returns. Raises WorkerLost."""
        try:
            return self._ray.get(self.call(method, *args))
        except self._ray.exceptions.RayTaskError:
            raise  # a bug, with the worker's traceback
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines() or [""]
            raise WorkerLost(f"{type(error).__name__}: {lines[0]}") from error

    def kill(self) -> None:
        with suppress(Exception):
            self._ray.kill(self._handle)


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Join the cluster at `address` (HOST:PORT of its head, or ray://HOST:PORT), or start one of this machine's cores for
    `LOCAL` that ends with the `with`. A connection that the program has already is used and left open. Raises UserError."""
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        import ray
    except ImportError:
        raise UserError("--ray needs the package ray: pip install 'autointerp[ray]'.") from None
    try:
        _knock(address)  # Ray itself would try for minutes
    except (OSError, ValueError) as error:  # ValueError: no name that a host can have
        raise _no_cluster(address, error) from error
    if ray.is_initialized():
        yield Cluster(ray)
        return
    options: dict[str, Any] = {"address": address}
    if address == LOCAL:
        # Nobody else can reach it. Without the word, Ray would look for a cluster that somebody left running.
        options |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        with keys_hidden():  # the processes of a cluster that begins here get this one's environment
            ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise _no_cluster(address, error) from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError where nothing listens at a HOST:PORT, ValueError where it can be no address."""
    if not address.strip():
        raise ValueError("it is empty")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _no_cluster(address: str, error: Exception) -> UserError:
    reason = (str(error).strip().splitlines() or [""])[-1].strip()[:300]  # the lines before are a traceback
    return UserError(
        f"no Ray cluster at {address!r} ({reason}). Start one with `ray start --head` and give its address, or give "
        f"{LOCAL!r} for the cores of this machine."
    )


def task(function: Callable[..., Any], *, n_gpus: int = 0) -> Callable[..., Any]:
    """The function, to be called on a worker that has a core (and GPUs) of its own: gives a reference to its result. Done again
    elsewhere when the worker dies, so it must have no effects."""
    import ray

    return ray.remote(num_cpus=1, num_gpus=n_gpus, max_retries=_ATTEMPTS)(function).remote
