"""Keys that a governor writes for those who read the same server; none of them lives for long."""

from spillgate.server.driver import Driver


class OwnKeys:
    """Single commands on one server; each raises `ServerError` where it fails."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def read(self, name: str) -> bytes | None:
        """What the key holds, None where it is not there."""
        return self._driver.call("GET", name)

    def write(self, name: str, value: bytes, lives_s: float) -> None:
        """Set it for so long."""
        self._driver.call("SET", name, value, "PX", round(lives_s * 1000))

    def renew(self, name: str, lives_s: float) -> bool:
        """Let it live for so long from now on, which works at 100 % memory, too; whether it was still there."""
        return bool(self._driver.call("PEXPIRE", name, round(lives_s * 1000)))

    def drop(self, name: str) -> None:
        """Delete it."""
        self._driver.call("UNLINK", name)
