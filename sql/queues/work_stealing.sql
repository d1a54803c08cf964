-- A worker that was thought dead sees that its job was taken, and stops
-- Reference: https://queue.acm.org/detail.cfm?id=2745840 (a failure detector can only suspect)
--
-- A worker shows with a heartbeat that it lives. If it is silent for too long, another takes its job. But silent is not dead:
-- the first worker's next heartbeat must tell it that the job is not its own any more, before it does something twice.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule owner.takes thief.looks owner.beats thief.steals thief.finishes owner.finishes

-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY, owner text, beat_at timestamptz, state text NOT NULL DEFAULT 'waiting');
CREATE TABLE execution (job_id int NOT NULL, by_worker text NOT NULL);
INSERT INTO job VALUES (1), (2);

-- chaos:session owner
-- chaos:step takes
-- the last heartbeats are an hour old
UPDATE job SET owner = 'owner', state = 'taken', beat_at = now() - interval '1 hour' WHERE state = 'waiting';
-- chaos:step beats
UPDATE job SET beat_at = now() WHERE id = 1 AND owner = 'owner';
-- chaos:step finishes
WITH mine AS (UPDATE job SET state = 'done' WHERE owner = 'owner' AND state = 'taken' RETURNING id)
INSERT INTO execution SELECT id, 'owner' FROM mine;

-- chaos:session thief
-- chaos:step looks
SELECT array_agg(id) AS silent FROM job WHERE state = 'taken' AND beat_at < now() - interval '1 minute' \gset
-- chaos:step steals
UPDATE job SET owner = 'thief', beat_at = now()
 WHERE id = ANY (:'silent') AND state = 'taken' AND beat_at < now() - interval '1 minute';
-- chaos:step finishes
WITH mine AS (UPDATE job SET state = 'done' WHERE owner = 'thief' AND state = 'taken' RETURNING id)
INSERT INTO execution SELECT id, 'thief' FROM mine;

-- chaos:check
SELECT results_eq(
    'SELECT job_id, by_worker FROM execution ORDER BY job_id, by_worker', $$VALUES (1, 'owner'), (2, 'thief')$$,
    'each job was done once: the one that was silent by the thief');

-- chaos:mutant the thief does not look again at the heartbeat
-- chaos:replace 'WHERE id = ANY (:''silent'') AND state = ''taken'' AND beat_at < now() - interval ''1 minute''' with 'WHERE id = ANY (:''silent'')' in thief
-- chaos:caught by 'each job was done once: the one that was silent by the thief'

-- chaos:mutant the owner does not look whether the job is still its own
-- chaos:replace 'owner = ''owner'' AND state = ''taken''' with 'id IN (1, 2)' in owner
-- chaos:caught by 'each job was done once: the one that was silent by the thief'
