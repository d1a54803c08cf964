-- Three tasks each wait for another to be done, and all are done at once
-- chaos:schedule explore 500

-- chaos:setup
CREATE TABLE task (name text PRIMARY KEY, done boolean NOT NULL);
INSERT INTO task VALUES ('plan', false), ('build', false), ('test', false);

-- chaos:session planner retry serialization_failure
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT done AS blocked FROM task WHERE name = 'build' \gset
\if :blocked
\else
UPDATE task SET done = true WHERE name = 'plan';
\endif
COMMIT;

-- chaos:session builder retry serialization_failure
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT done AS blocked FROM task WHERE name = 'test' \gset
\if :blocked
\else
UPDATE task SET done = true WHERE name = 'build';
\endif
COMMIT;

-- chaos:session tester retry serialization_failure
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT done AS blocked FROM task WHERE name = 'plan' \gset
\if :blocked
\else
UPDATE task SET done = true WHERE name = 'test';
\endif
COMMIT;

-- chaos:check
SELECT isnt(count(*), 3::bigint, 'somebody saw that another had come first') FROM task WHERE done;

-- chaos:mutant race
-- chaos:replace 'SERIALIZABLE' with 'REPEATABLE READ' in planner
-- chaos:replace 'SERIALIZABLE' with 'REPEATABLE READ' in builder
-- chaos:replace 'SERIALIZABLE' with 'REPEATABLE READ' in tester
-- chaos:caught by 'somebody saw that another had come first'
