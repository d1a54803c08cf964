"""A proxy between any client and the run's own server, in the loop of the run.

It parses the messages of the protocol, passes them on, and reports each request to an `Observer`. Usage, in a task of
the loop:

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
    await proxy.pause()      # its tasks end; connections stay open, and `start` continues with them
    proxy.close()

A request is the unit that an observer can hold: a simple query, a function call, or an Execute with its Parse, its Bind
and the Sync that commits it (`requests`). It is answered by ReadyForQuery or, in a pipeline or with a separate Sync,
when it is complete (`tracker`). `Request.synced` tells which; `Outcome.status` is the transaction status, if the answer
has it.

| module | what it does |
| --- | --- |
| `messages` | pure: splits a stream into messages |
| `startup`, `scram` | pure: the first packet of a client, and its password |
| `requests`, `values` | pure: groups a client's messages into requests; their parameters as text |
| `tracker` | pure: the outstanding requests, and their outcomes |
| `handshake` | authenticates a client |
| `connection` | passes data between one client and its backend |
| `upstream` | connects to the server |
| `proxy` | listens |
| `observer` | the interface of observers |
"""
