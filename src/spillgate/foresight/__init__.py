"""Looking ahead: what other TTLs would do, and what will fit."""
