-- A materialized view is refreshed while others read it
-- Reference: PostgreSQL docs, REFRESH MATERIALIZED VIEW, CONCURRENTLY
--
-- REFRESH keeps readers out until it has committed. CONCURRENTLY, which needs a unique index, lets them read what was
-- there before; only a second refresh has to wait.

-- chaos:tags concurrent smoke
-- chaos:timeout 20s
-- chaos:schedule job.refreshes dashboard.reads other_job.refreshes job.ends dashboard.reads_again

-- chaos:setup
CREATE TABLE sale (item int NOT NULL, amount int NOT NULL);
INSERT INTO sale VALUES (1, 10);
CREATE MATERIALIZED VIEW total AS SELECT item, sum(amount) AS amount FROM sale GROUP BY item;
CREATE UNIQUE INDEX total_item ON total (item);
INSERT INTO sale VALUES (1, 5), (2, 20);

-- chaos:session job
-- chaos:step refreshes
BEGIN;
REFRESH MATERIALIZED VIEW CONCURRENTLY total;
-- chaos:step ends
COMMIT;

-- chaos:session other_job
-- chaos:step refreshes
REFRESH MATERIALIZED VIEW CONCURRENTLY total;

-- chaos:session dashboard
-- chaos:step reads
SELECT chaos.assert(sum(amount) = 10, 'the dashboard reads what was there before') FROM total;
-- chaos:step reads_again
SELECT chaos.assert(sum(amount) = 35, 'and then what is there now') FROM total;

-- chaos:check
SELECT results_eq(
    $$SELECT session, waited_on FROM chaos.history WHERE waited_on <> ''$$,
    $$VALUES ('other_job', 'job[1]')$$, 'only the other refresh waits');

-- chaos:mutant the view is not refreshed concurrently
-- chaos:replace 'CONCURRENTLY' with '' in job
-- chaos:caught by 'only the other refresh waits'
-- chaos:caught by 'the dashboard reads what was there before'

-- chaos:mutant the view has no unique index
DROP INDEX total_item;
-- chaos:caught by 'object_not_in_prerequisite_state'
