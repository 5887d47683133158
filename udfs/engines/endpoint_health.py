"""What an endpoint bears, and whether it answers at all: concurrency, outages, and answers that have the wrong form."""

import time

START_LIMIT = 16  # requests of all tasks at once, before the server has told what it bears
START_SECONDS = 60.0  # without an answer, of an endpoint that has not given one yet
FORM_FROM, FORM_LEAST = 16, 2  # of so many first answers so few have the form that was asked for: the server ignores it


class EndpointHealth:
    """Told of every answer and of all trouble; says how many requests may be at the server, and when to give up.

    As TCP finds a rate that all senders share, without talking to each other (Jacobson 1988): one more after each success
    until the first push-back (slow start), then one more after each `limit` successes; half after a push-back, at most once
    a round trip (AIMD: Chiu and Jain 1989). `most` and the limit to start with are this task's share of those of the
    endpoint. Times are of time.monotonic().
    """

    def __init__(self, most: int, tasks: int, patience: float) -> None:
        self.most = max(1, most // tasks)
        self.limit = min(max(1, START_LIMIT // tasks), self.most)
        self.patience = patience
        self.successes, self.halved = 0, 0.0
        self.proved = 0.0  # when the latest try began that was answered; 0: none was
        self.silent_since: float | None = None  # the first trouble after the latest answer
        self.answers = self.in_form = 0

    def answered(self, began: float) -> None:
        """A try that began then was answered."""
        self.proved, self.silent_since = max(self.proved, began), None

    def succeeded(self) -> None:
        """A request of a task was answered: after so many the server may bear one more."""
        self.successes += 1
        if self.successes >= self.limit or not self.halved:
            self.successes, self.limit = 0, min(self.limit + 1, self.most)

    def pushed_back(self, began: float) -> None:
        """Half the limit, unless the try began under a limit that was halved since."""
        if began >= self.halved:
            self.successes, self.limit, self.halved = 0, max(self.limit // 2, 1), time.monotonic()

    def gave_no_answer(self) -> float | None:
        """Note it; the seconds for which no try was answered where they are more than one waits for, else None."""
        now = time.monotonic()
        self.silent_since = self.silent_since or now
        waits_for = self.patience if self.proved else min(self.patience, START_SECONDS)
        return now - self.silent_since if now - self.silent_since > waits_for else None

    def ignores_form(self, conforms: bool) -> bool:
        """Note whether an answer has the form asked for; whether nearly none of the first ones has."""
        self.answers += 1
        self.in_form += conforms
        return self.answers == FORM_FROM and self.in_form < FORM_LEAST
