"""What was seen and done, kept: readings thinned with age, the journal, what namespaces held, alerts delivered."""

from spillgate.governor.history.history import History
from spillgate.governor.history.model import Delivery, Notice, Point, Span, Usages

__all__ = ["Delivery", "History", "Notice", "Point", "Span", "Usages"]
