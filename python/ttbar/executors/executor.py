"""What an executor is: the seam between what is to be computed and where that happens."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Executor(ABC):
    """Processes that have ROOT, each of which runs one function at a time, after it has run a setup.

    A function is one of a module of this package, or a `functools.partial` of one; what it is given and what it returns
    can be pickled. A crash ends no process but its own: the future of the function then raises `WorkerDied`.
    """

    remote = False
    """Whether the processes may be on other machines than this one."""

    def __enter__(self) -> Self:
        """Nothing is started before it is needed."""
        return self

    def __exit__(self, *error: object) -> None:
        """Give up what runs, and leave no process behind."""
        self.close()

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many functions can run at a time, as far as it is known."""

    @abstractmethod
    def ready(self) -> Any:
        """What the setup returned; it is the same in all processes."""

    @abstractmethod
    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function as soon as a process is free."""

    @abstractmethod
    def counted(self) -> int:
        """What the functions that run now have counted so far, as a sign of life."""

    @abstractmethod
    def call_here(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a process of this machine, whose files it is about."""

    @abstractmethod
    def close(self) -> None:
        """Make all functions fail that still run, and end the processes."""

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function and wait for what it returns."""
        return self.submit(function, *args, **kwargs).result()
