-- Tracking that is paused comes back, for everybody
-- Reference: pgGit's main branch, pause_tracking, resume_tracking
--
-- One session pauses tracking and changes a table; another changes a second one meanwhile. Neither is tracked, both are
-- found as differences, and what is done after resume_tracking is tracked again.

-- chaos:tags concurrent smoke
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3 with pause_tracking
-- chaos:schedule owner.pauses other.alters owner.resumes other.alters_again

-- chaos:setup
CREATE TABLE public.orders (id int);
CREATE TABLE public.customer (id int);
CREATE TABLE public.item (id int);
CREATE TABLE public.report (full_name text);
SELECT pggit.update_all_hashes();

-- chaos:session owner
-- chaos:step pauses
SELECT pggit.pause_tracking('1 hour');
ALTER TABLE public.orders ADD COLUMN unseen text;
-- chaos:step resumes
SELECT pggit.resume_tracking();
INSERT INTO public.report SELECT full_name FROM pggit.detect_changes_by_hash() WHERE has_changed AND full_name ~ '^public';

-- chaos:session other
-- chaos:step alters
ALTER TABLE public.customer ADD COLUMN unseen text;
-- chaos:step alters_again
ALTER TABLE public.item ADD COLUMN seen text;

-- chaos:check
SELECT results_eq('SELECT full_name FROM public.report ORDER BY 1', ARRAY['public.customer', 'public.orders'], 'both tables differ, and no other');
SELECT is((SELECT count(*)::int FROM pggit.get_history('public.item') WHERE change_type = 'ALTER'), 1, 'what is done afterwards is tracked');

-- chaos:mutant it is never resumed
-- chaos:replace 'pggit.resume_tracking()' with '1' in owner
-- chaos:caught by 'what is done afterwards is tracked'
