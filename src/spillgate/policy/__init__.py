"""What the governor decides, as pure functions: no Redis, no clock, no await, no logging.

``pressure`` tells how bad it is, ``plan`` what to do about it, ``pacing`` when to look again.
Every rule about what may be deleted is in ``plan``.
"""
