"""A proxy between any client and the run's own server, in the loop of the run.

It understands the messages of the protocol, passes on what it understands, and tells an `Observer` of each request.
Use it so, in a task of the loop:

    class Steps(Observer):
        def opened(self, connection): ...                      # connection.pid, .number, .startup.parameters
        async def before_request(self, connection, request):   # request.sql, .parameters, .kind, .synced
            await self.turn_of(connection)                     # the request is sent when this returns
        def after_request(self, connection, request, outcome): # outcome.sqlstate, .tag, .rows, .status, .lost
            ...
        def closed(self, connection, why): ...                 # also while before_request waits, which then returns

    proxy = Proxy(upstream, user, database, Steps())   # upstream: a ServerOpener
    proxy.start()            # clients connect by proxy.conninfo(), or proxy.host, .port, .password, .folder
    ...
    await proxy.pause()      # its tasks end; connections stay, and `start` goes on with them
    proxy.close()

A request is what a scheduler holds: a simple query, a function call, or an Execute with the Parse and Bind that belong
to it and the Sync that commits it (`requests`). It is answered when ReadyForQuery has come, or, in a pipeline and where
the Sync was not sent with it, when it is complete (`tracker`). `Request.synced` says which; `Outcome.status` is the
transaction status, where the answer says it.

| module | what it does |
| --- | --- |
| `messages` | pure: splits a stream into messages |
| `startup`, `scram` | pure: the first packet of a client, and its password |
| `requests`, `values` | pure: groups a client's messages into requests; their parameters as text |
| `tracker` | pure: what is outstanding, and what became of it |
| `handshake` | lets a client in |
| `connection` | passes on what one client and its backend say |
| `upstream` | connects to the server |
| `proxy` | listens |
| `observer` | what is told |
"""
