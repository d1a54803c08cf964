-- A data branch that is made while others write has whole transactions only
-- Reference: pgGit 0.1.3, create_data_branch; PostgreSQL docs, "Read Committed Isolation Level"
--
-- A transfer is under way when the branch is made: what it takes from one table it has not yet paid into the other. The
-- branch has both tables as they were before it.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:schedule teller.takes author.branches teller.pays

-- chaos:setup
CREATE TABLE public.checking (id int PRIMARY KEY, balance int);
CREATE TABLE public.savings (id int PRIMARY KEY, balance int);
INSERT INTO public.checking VALUES (1, 100);
INSERT INTO public.savings VALUES (1, 100);

-- chaos:session teller
-- chaos:step takes
BEGIN;
UPDATE public.checking SET balance = balance - 50;
-- chaos:step pays
UPDATE public.savings SET balance = balance + 50;
COMMIT;

-- chaos:session author
-- chaos:step branches
SELECT pggit.create_data_branch('feature', 'main', ARRAY['checking', 'savings']);

-- chaos:check
SELECT results_eq(
    'SELECT c.balance, s.balance FROM pggit_branch_feature.checking AS c JOIN pggit_branch_feature.savings AS s USING (id)',
    'VALUES (100, 100)', 'the branch has both tables as they were');
SELECT results_eq('SELECT c.balance, s.balance FROM public.checking AS c JOIN public.savings AS s USING (id)', 'VALUES (50, 150)', 'main has the transfer');

-- chaos:mutant the transfer is not one transaction
-- chaos:session teller
-- chaos:step takes
UPDATE public.checking SET balance = balance - 50;
-- chaos:step pays
UPDATE public.savings SET balance = balance + 50;
-- chaos:caught by 'the branch has both tables as they were'
