-- An extension whose tables hold data of the user: dumps carry the rows its creator named.
\echo Use "CREATE EXTENSION lab_settings" to load this file. \quit

CREATE TABLE settings (name text PRIMARY KEY, value text);
SELECT pg_extension_config_dump('settings', '');

-- Rows of the extension itself stay out, rows of the user go along.
CREATE TABLE rules (id int PRIMARY KEY, body text, builtin boolean NOT NULL DEFAULT false);
INSERT INTO rules VALUES (1, 'shipped with the extension', true);
SELECT pg_extension_config_dump('rules', 'WHERE NOT builtin');

CREATE SEQUENCE numbers START 100;
SELECT pg_extension_config_dump('numbers', '');

-- No configuration: its rows come from CREATE EXTENSION alone.
CREATE TABLE fixed (id int PRIMARY KEY, body text);
INSERT INTO fixed VALUES (1, 'shipped');

CREATE FUNCTION setting(text) RETURNS text LANGUAGE sql STABLE
  AS 'SELECT value FROM lab_settings.settings WHERE name = $1';
