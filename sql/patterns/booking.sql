-- What several clients want at the same time is booked once
-- Reference: "Feral Concurrency Control", SIGMOD 2015; PostgreSQL docs, CREATE TABLE, EXCLUDE
--
-- A search looks for an order in which two get it. For your own table set `setup` (a file that makes it), `table`, `book` (a
-- file of what a client sends to book what all want, with BEGIN and COMMIT, also around a single statement), `refused` (the
-- error of a client that comes too late) and `taken` (a condition on the rows of what all want).

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:default setup = tables/booking.psql
-- chaos:default table = booking
-- chaos:default book = tables/book.psql
-- chaos:default refused = unique_violation
-- chaos:default taken = seat = 1
-- chaos:default clients = 2
-- chaos:default orders = 20
-- chaos:schedule explore :orders

-- chaos:setup
\i :setup
RESET search_path;

-- chaos:session client x :clients allow :refused
\i :book

-- chaos:check
SELECT is((SELECT count(*) FROM :table WHERE :taken), 1::bigint, 'it is booked once');

-- chaos:mutant nobody looks
-- chaos:session client
CREATE TABLE IF NOT EXISTS nobody ();
-- chaos:caught by 'it is booked once'
