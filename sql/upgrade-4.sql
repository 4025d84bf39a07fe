-- From schema version 3 to 4: several servers on one database, aliases, a third digest algorithm.
-- For SQLite and MySQL/MariaDB; the triggers that fill change_log are made by sipd.

ALTER TABLE users ADD COLUMN ha1_sha512_256 VARCHAR(64) NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN ha1_sha512_256_full VARCHAR(64) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN digest_qop VARCHAR(64) NOT NULL DEFAULT 'auth';
ALTER TABLE server ADD COLUMN cache_refresh INTEGER NOT NULL DEFAULT 600;
ALTER TABLE server ADD COLUMN max_subscriptions INTEGER NOT NULL DEFAULT 10000;

CREATE TABLE registrations (
    aor     VARCHAR(255) NOT NULL PRIMARY KEY,
    version BIGINT       NOT NULL,                -- counts up with every REGISTER: which of two servers came first
    FOREIGN KEY (aor) REFERENCES users (aor) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE aliases (
    alias        VARCHAR(255) NOT NULL,           -- user@domain; several rows of one alias are a group
    primary_user VARCHAR(255) NOT NULL,
    PRIMARY KEY (alias, primary_user),
    FOREIGN KEY (primary_user) REFERENCES users (aor) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE INDEX aliases_user ON aliases (primary_user);

CREATE TABLE dialplan (
    position    INTEGER      NOT NULL PRIMARY KEY, -- the first row that matches counts
    pattern     VARCHAR(255) NOT NULL,
    replacement VARCHAR(255) NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE change_log (                         -- filled by triggers: how servers hear of changes
    id         INTEGER      NOT NULL PRIMARY KEY /*! AUTO_INCREMENT */,
    origin     VARCHAR(64)  NOT NULL,             -- of the server that made it; empty: of any other program
    what       VARCHAR(32)  NOT NULL,             -- the table
    name       VARCHAR(500) NOT NULL,             -- the key of the row, or its address-of-record
    changed_at BIGINT       NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

/*! ALTER TABLE change_log MODIFY id BIGINT NOT NULL AUTO_INCREMENT */;

UPDATE sipd_meta SET value = '4' WHERE name = 'schema';
