-- Something says so when rows of the metadata are missing or wrong
-- Reference: pgGit 0.1.3, detect_changes_by_hash, detect_schema_changes, ensure_object; git-fsck(1)
--
-- One table's row is lost, one's hash is wrong, one is marked as there and has gone, while another session goes on
-- with DDL. pgGit's own functions name all three, and DDL on the table that was lost brings its row back.

-- chaos:tags concurrent
-- chaos:timeout 60s
-- chaos:requires extension pggit >= 0.1.3
-- chaos:schedule owner.damages other.alters owner.looks owner.alters

-- chaos:setup
CREATE TABLE public.lost (id int);
CREATE TABLE public.wrong (id int);
CREATE TABLE public.gone (id int);
CREATE TABLE public.fine (id int);
SELECT pggit.update_all_hashes();
CREATE TABLE public.report (line text);

-- chaos:session owner
-- chaos:step damages
DELETE FROM pggit.objects WHERE full_name = 'public.lost';
UPDATE pggit.objects SET ddl_hash = 'wrong' WHERE full_name = 'public.wrong';
ALTER EVENT TRIGGER pggit_drop_trigger DISABLE;
DROP TABLE public.gone;
ALTER EVENT TRIGGER pggit_drop_trigger ENABLE;
-- chaos:step looks
INSERT INTO public.report SELECT DISTINCT full_name || ' has changed' FROM pggit.detect_changes_by_hash() WHERE has_changed AND full_name ~ '^public';
INSERT INTO public.report SELECT object_name || ' ' || change_type FROM pggit.detect_schema_changes('public') WHERE object_type = 'TABLE';
-- chaos:step alters
ALTER TABLE public.lost ADD COLUMN note text;

-- chaos:session other
-- chaos:step alters
CREATE TABLE public.new (id int);

-- chaos:check
SELECT bag_has(
    'SELECT line FROM public.report',
    $$VALUES ('public.wrong has changed'), ('public.gone has changed'), ('lost CREATE'), ('gone DROP')$$, 'all three are named');
SELECT is((SELECT count(*)::int FROM public.report WHERE line ~ 'fine'), 0, 'what is fine is not');
SELECT is((SELECT count(*)::int FROM pggit.get_version('public.lost')), 1, 'the row is back');

-- chaos:mutant nothing is wrong with the hash
-- chaos:replace '''wrong'' WHERE' with 'ddl_hash WHERE' in owner
-- chaos:caught by 'all three are named'

-- chaos:mutant nothing is lost
-- chaos:replace 'DELETE FROM pggit.objects WHERE full_name = ''public.lost''' with 'SELECT 1' in owner
-- chaos:caught by 'all three are named'
