-- The table that examples/postgres.toml writes to. It is picky, as tables are:
-- what it refuses is named, row by row.

CREATE TABLE guests (
    badge      text PRIMARY KEY,
    name       text NOT NULL,
    email      text NOT NULL UNIQUE CHECK (email ~ '^[^\s@]+@[^\s@]+\.[a-z]+$'),
    company    text,
    town       text,
    country    text,
    visit_date date NOT NULL,
    ticket     text,
    added_at   timestamptz NOT NULL DEFAULT now()
);
