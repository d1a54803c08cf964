-- A room is not booked twice for the same night
-- Reference: PostgreSQL docs, "Range Types", Constraints on Ranges (exclusion constraint)
--
-- Two guests look for a free room, both find room 1 free, and both book it. No row is written twice, so no row lock helps.
-- An exclusion constraint makes the second booking wait for the first, and fail with 23P01 (two that are inserted at the very
-- same moment wait for each other: one gets 40P01). A guest may arrive on the day on which another one leaves: ranges of
-- nights are [arrival, departure).

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:requires extension btree_gist
-- chaos:schedule guest[1].looks guest[2].looks guest[1].books guest[2].books guest[1].ends guest[2].ends

-- chaos:setup
CREATE TABLE booking (
    room int NOT NULL, nights daterange NOT NULL, guest text NOT NULL,
    CONSTRAINT one_guest_a_night EXCLUDE USING gist (room WITH =, nights WITH &&)
);
INSERT INTO booking VALUES (1, '[2030-01-01,2030-01-05)', 'early');

-- chaos:session guest x 2 allow exclusion_violation
-- chaos:step looks
BEGIN;
SELECT count(*) = 0 AS free FROM booking WHERE room = 1 AND nights && '[2030-01-05,2030-01-08)' \gset
-- chaos:step books
\if :free
INSERT INTO booking VALUES (1, '[2030-01-05,2030-01-08)', 'guest ' || :worker);
\endif
-- chaos:step ends
COMMIT;

-- chaos:check
SELECT is_empty(
    'SELECT FROM booking a JOIN booking b ON a.room = b.room AND a.nights && b.nights AND a.guest < b.guest',
    'no two guests have the same room in the same night');
SELECT is(count(*), 2::bigint, 'who arrives when another leaves gets the room') FROM booking;
SELECT is(count(*), 1::bigint, 'one guest was turned away') FROM chaos.transactions WHERE sqlstate = '23P01';

-- chaos:mutant looking is all that protects the room
ALTER TABLE booking DROP CONSTRAINT one_guest_a_night;
-- chaos:caught by 'no two guests have the same room in the same night'

-- chaos:mutant the day of departure counts as a night
-- chaos:replace 'nights WITH &&' with 'daterange(lower(nights), upper(nights), ''[]'') WITH &&' in setup
-- chaos:caught by 'who arrives when another leaves gets the room'

-- chaos:mutant the constraint is on the room alone
-- chaos:replace 'room WITH =, nights WITH &&' with 'room WITH =' in setup
-- chaos:caught by 'who arrives when another leaves gets the room'
