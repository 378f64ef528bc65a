-- pg_dump restores these children with their columns in another order than they have here, so rows
-- arrive only where columns are named; stands apart because a pg_dump of both sides differs.

CREATE SCHEMA reordered;
CREATE TABLE reordered.parent (id int PRIMARY KEY, name text);
CREATE TABLE reordered.child (own text, number int) INHERITS (reordered.parent);
CREATE TABLE reordered.grandchild (last text) INHERITS (reordered.child);
ALTER TABLE reordered.parent ADD legs int DEFAULT 4;
INSERT INTO reordered.parent VALUES (1, 'of the parent', 2);
INSERT INTO reordered.child (id, name, own, number, legs) VALUES (2, 'b', 'c', 3, 4), (3, NULL, NULL, NULL, NULL);
INSERT INTO reordered.grandchild (id, name, own, number, legs, last) VALUES (5, 'd', 'e', 6, 7, 'f');
