-- A consumer counts rows, not notifications
-- Reference: PostgreSQL docs, NOTIFY: equal notifications of one transaction are delivered once, in the order of commits
--
-- A transaction that writes three jobs and notifies three times is announced once; one that is rolled back, never. A
-- notification says "look", and the table says what there is.

-- chaos:tags concurrent
-- chaos:timeout 20s
-- chaos:schedule consumer.listens producer.writes producer.gives_up consumer.handles

-- chaos:setup
CREATE TABLE job (id int PRIMARY KEY);
CREATE TABLE handled (job_id int);

-- chaos:session consumer
-- chaos:step listens
LISTEN jobs;
-- chaos:step handles
INSERT INTO handled SELECT id FROM job;

-- chaos:session producer
-- chaos:step writes
BEGIN;
INSERT INTO job VALUES (1);
NOTIFY jobs;
INSERT INTO job VALUES (2);
NOTIFY jobs;
INSERT INTO job VALUES (3);
NOTIFY jobs;
COMMIT;
-- chaos:step gives_up
BEGIN;
INSERT INTO job VALUES (4);
NOTIFY jobs;
ROLLBACK;

-- chaos:check
SELECT is(count(*), 1::bigint, 'the consumer was notified once') FROM chaos.notifications;
SELECT is(count(*), 3::bigint, 'and handled three jobs') FROM handled;

-- chaos:mutant the consumer handles one job for each notification
-- chaos:replace 'FROM job' with 'FROM job ORDER BY id LIMIT 1' in consumer
-- chaos:caught by 'and handled three jobs'

-- chaos:mutant each notification is another
-- chaos:session producer
-- chaos:step writes
BEGIN;
INSERT INTO job VALUES (1), (2), (3);
SELECT pg_notify('jobs', id::text) FROM job;
COMMIT;
-- chaos:step gives_up
BEGIN;
INSERT INTO job VALUES (4);
NOTIFY jobs;
ROLLBACK;
-- chaos:caught by 'the consumer was notified once'
