-- Of what two count at once, nothing is lost
-- chaos:requires extension tally

-- chaos:setup
SELECT tally_add('a');

-- chaos:session counter x 2
-- chaos:barrier both
SELECT tally_add('a');

-- chaos:check
SELECT is(n, 3::bigint, 'each was counted') FROM tally;

-- chaos:mutant looked up first, then written
-- chaos:session counter
SELECT n FROM tally WHERE name = 'a' \gset
-- chaos:barrier looked
UPDATE tally SET n = :n + 1 WHERE name = 'a';
-- chaos:caught by 'each was counted'
