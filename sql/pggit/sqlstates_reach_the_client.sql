-- An error in the middle of a call reaches the client as what it is
-- Reference: PostgreSQL docs, "Error Codes"; pgGit 0.1.3, create_commit, increment_version and its event triggers
--
-- A trigger on pgGit's own table fails with the SQLSTATE. Who retries 40001 and 40P01, or gives up at 57014, must see
-- these codes and not another, and nothing of the call may stay.

-- chaos:tags smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:matrix code in 40001, 40P01, 55P03, 57014

-- chaos:setup
CREATE TABLE public.orders (id int);
SELECT chaos.inject_error('pggit.commits', 'INSERT', :'code');
SELECT chaos.inject_error('pggit.history', 'INSERT', :'code');

-- chaos:session client
-- chaos:allow 40001 40P01 55P03 57014
SELECT pggit.create_commit('main', 'never', 'SELECT 1');
-- chaos:allow 40001 40P01 55P03 57014
SELECT pggit.increment_version(id, 'ALTER', 'MINOR', 'never') FROM pggit.objects WHERE full_name = 'public.orders';
-- chaos:allow 40001 40P01 55P03 57014
ALTER TABLE public.orders ADD COLUMN note text;
-- chaos:allow 40001 40P01 55P03 57014
DROP TABLE public.orders;

-- chaos:check
SELECT results_eq(
    $$SELECT sqlstate FROM chaos.history ORDER BY line$$, format('SELECT %L FROM generate_series(1, 4)', :'code'), 'each call fails with the code');
SELECT is((SELECT count(*)::int FROM pggit.get_version('public.orders') WHERE version = 2), 1, 'the table has the version that it had');
SELECT hasnt_column('public', 'orders', 'note', 'and no new column');
SELECT is_empty('TABLE pggit.commits', 'there is no commit');

-- chaos:mutant nobody tracks
ALTER EVENT TRIGGER pggit_ddl_trigger DISABLE;
-- chaos:caught by 'each call fails with the code'
