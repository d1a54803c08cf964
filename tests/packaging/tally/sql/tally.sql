CREATE EXTENSION tally;
SELECT tally_add('a'), tally_add('a');
