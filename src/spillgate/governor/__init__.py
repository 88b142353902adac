"""The loop that refreshes, decides and acts; its journal; and the state that surfaces read."""
