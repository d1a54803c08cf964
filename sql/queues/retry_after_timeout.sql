-- A job that was retried after a time-out has one result: that of its last attempt
-- Reference: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
--
-- A worker is slow, its claim runs out, and a second worker takes the job. Then the slow one finishes, too. Each attempt has
-- a number, and only the attempt that the job is in may finish it.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule slow.claims fast.claims slow.finishes fast.finishes

-- chaos:setup
CREATE TABLE job (
    id int PRIMARY KEY, state text NOT NULL DEFAULT 'waiting', attempt int NOT NULL DEFAULT 0, claimed_until timestamptz
);
CREATE TABLE result (job_id int NOT NULL, by_worker text NOT NULL);
INSERT INTO job VALUES (1);

-- chaos:session slow
-- chaos:step claims
-- the claim runs out at once
UPDATE job SET state = 'claimed', attempt = attempt + 1, claimed_until = clock_timestamp()
 WHERE id = 1 AND state = 'waiting' RETURNING attempt \gset
-- chaos:step finishes
WITH finished AS (UPDATE job SET state = 'done' WHERE id = 1 AND state = 'claimed' AND attempt = :attempt RETURNING id)
INSERT INTO result SELECT id, 'slow' FROM finished;

-- chaos:session fast
-- chaos:step claims
UPDATE job SET attempt = attempt + 1, claimed_until = clock_timestamp() + interval '1 hour'
 WHERE id = 1 AND state = 'claimed' AND claimed_until < clock_timestamp() RETURNING attempt \gset
-- chaos:step finishes
WITH finished AS (UPDATE job SET state = 'done' WHERE id = 1 AND state = 'claimed' AND attempt = :attempt RETURNING id)
INSERT INTO result SELECT id, 'fast' FROM finished;

-- chaos:check
SELECT results_eq('SELECT job_id, by_worker FROM result', $$VALUES (1, 'fast')$$, 'the job has the result of its last attempt');
SELECT results_eq('SELECT state, attempt FROM job', $$VALUES ('done', 2)$$, 'the job is done');

-- chaos:mutant who finishes does not show the attempt
-- chaos:replace 'AND attempt = :attempt' with '' in slow
-- chaos:caught by 'the job has the result of its last attempt'

-- chaos:mutant the second attempt is not counted
-- chaos:replace 'SET attempt = attempt + 1,' with 'SET' in fast
-- chaos:caught by 'the job has the result of its last attempt'

-- chaos:mutant a done job is finished again
-- chaos:replace 'AND state = ''claimed'' AND attempt = :attempt' with '' in slow
-- chaos:replace 'AND state = ''claimed'' AND attempt = :attempt' with '' in fast
-- chaos:caught by 'the job has the result of its last attempt'
