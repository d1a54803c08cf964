"""Programs as sessions: their processes, their connections through the proxy, and what of it is a step."""
