-- A course with one seat left takes one more student
-- Reference: PostgreSQL docs, "Explicit Locking" and "Data Consistency Checks at the Application Level"
--
-- A trigger counts the students and refuses one too many. Two students enrol at once: each trigger counts only what was
-- committed when its statement began, and both let their student in. If it locks the course first, the second trigger
-- waits, and its count is a new statement, which sees the first student.

-- chaos:tags concurrent
-- chaos:timeout 20s

-- chaos:setup
CREATE TABLE course (id int PRIMARY KEY, seats int NOT NULL);
CREATE TABLE enrolment (course_id int NOT NULL REFERENCES course, student text NOT NULL);
INSERT INTO course VALUES (1, 3);
INSERT INTO enrolment VALUES (1, 'ann'), (1, 'bob');
CREATE FUNCTION refuse_one_too_many() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM course WHERE id = NEW.course_id FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM enrolment WHERE course_id = NEW.course_id)
        >= (SELECT seats FROM course WHERE id = NEW.course_id) THEN
        RAISE check_violation USING MESSAGE = 'the course is full';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_one_too_many BEFORE INSERT ON enrolment FOR EACH ROW EXECUTE FUNCTION refuse_one_too_many();

-- chaos:session student x 2 allow check_violation
BEGIN;
INSERT INTO enrolment VALUES (1, 'student ' || :worker);
-- chaos:barrier enrolled unless blocked
COMMIT;

-- chaos:check
SELECT is(count(*), 3::bigint, 'the course has as many students as seats') FROM enrolment;
SELECT is(count(*), 1::bigint, 'one student was refused') FROM chaos.transactions WHERE sqlstate = '23514';

-- chaos:mutant the trigger only counts
-- chaos:replace 'PERFORM FROM course WHERE id = NEW.course_id FOR NO KEY UPDATE;' with '' in setup
-- chaos:caught by 'the course has as many students as seats'

-- chaos:mutant the lock does not conflict with itself
-- chaos:replace 'FOR NO KEY UPDATE' with 'FOR KEY SHARE' in setup
-- chaos:caught by 'the course has as many students as seats'

-- chaos:mutant the transaction has one snapshot
-- chaos:replace 'BEGIN' with 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM enrolment' in student
-- chaos:caught by 'one student was refused'
