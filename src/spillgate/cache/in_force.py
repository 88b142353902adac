"""TTLs that a governor has put in the place of the policy file's, as far as this process knows of them.

Where the policy leaves a TTL to the governor (``ttl_mode = "auto"``) they are asked for along with the look at the
server's memory (`Pressure`), which is once a second at the most, and on no plan that meters commands.
"""

from typing import cast

from spillgate.config import Policy
from spillgate.keyspace.ttls import read


class TtlsInForce:
    """The TTLs in seconds by namespace; those that are not among ``by_name`` are as in the policy.

    ``by_name`` is another mapping whenever something has changed. It is empty while nothing is known, also where the
    governor has gone: its key is then gone, too.
    """

    def __init__(self, policy: Policy) -> None:
        self.by_name: dict[str, float] = {}
        self._namespaces = {ns.name: ns for ns in policy.adjustable}
        self._document: object = None

    @property
    def asked(self) -> bool:
        """Whether anything is to be asked for."""
        return bool(self._namespaces)

    def saw(self, reply: object) -> None:
        """Take in the reply to MGET of the one key; an error, as where the user may not read it, tells nothing."""
        document = cast("list[object]", reply)[0] if isinstance(reply, list) and reply else None
        if document == self._document:
            return
        self._document = document
        found: dict[str, float] = {}
        for name, told in read(document).items():
            ns = self._namespaces.get(name)
            # Where the file that this process has says another TTL somebody has edited it, which counts for more.
            if ns is not None and ns.ttl_s == told.file_s:
                found[name] = min(max(told.ttl_s, ns.min_ttl_s or told.ttl_s), ns.max_ttl_s or told.ttl_s)
        self.by_name = found
