"""Programs as sessions: their processes, their connections through the proxy, and their requests as steps."""
