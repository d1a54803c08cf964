-- A room is booked twice, for a function looked too early
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE room (id int PRIMARY KEY, guest int);
CREATE TABLE booking (room_id int, guest int);
INSERT INTO room VALUES (1, NULL);
CREATE FUNCTION is_free(room_id int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    found_free boolean;
BEGIN
    SELECT guest IS NULL INTO found_free FROM room WHERE id = room_id FOR UPDATE;
    RETURN found_free;
END $$;
CREATE FUNCTION book(room_id int, guest_id int) RETURNS void LANGUAGE sql AS $$
    UPDATE room SET guest = guest_id WHERE id = room_id;
    INSERT INTO booking VALUES (room_id, guest_id);
$$;

-- chaos:session guest x 2
BEGIN;
SELECT is_free(1) AS free \gset
\if :free
SELECT book(1, :worker);
\endif
COMMIT;

-- chaos:check
SELECT is(count(*), 1::bigint, 'the room is booked once') FROM booking;

-- chaos:mutant race
-- chaos:replace 'FOR UPDATE' with '' in setup
-- chaos:caught by 'the room is booked once'
