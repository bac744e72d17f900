"""An error on its way out of Hydra."""


class Refusal(BaseException):
    """Carries an error past Hydra, which takes no exception of a callback for an end, and tells those of a job itself.

    Args:
        error: what was wrong.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error
