"""The three ways a run ends early; each message says what, where, got, expected and how to fix it."""


class BoostQAError(Exception):
    """Base of the errors a user can act on; printed as one message without a stack trace."""

    exit_code = 1


class ConfigError(BoostQAError):
    """The conf, an input path or the environment is not usable."""

    exit_code = 2


class ContractError(BoostQAError):
    """A table or the balance of rows does not hold what its contract says."""

    exit_code = 3


class GateFailed(BoostQAError):
    """A quality gate does not hold; the verdict table says which."""

    exit_code = 4
