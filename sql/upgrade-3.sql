-- From schema version 2 to 3: what scripts need. For SQLite and MySQL/MariaDB.

ALTER TABLE server ADD COLUMN time_zone VARCHAR(64) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN phone_users SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE server ADD COLUMN script_hosts VARCHAR(1000) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN script_versions INTEGER NOT NULL DEFAULT 20;
ALTER TABLE server ADD COLUMN script_traces INTEGER NOT NULL DEFAULT 20;
ALTER TABLE server ADD COLUMN script_log_lines INTEGER NOT NULL DEFAULT 1000;
ALTER TABLE server ADD COLUMN mail_server VARCHAR(255) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN mail_from VARCHAR(255) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN mail_limit INTEGER NOT NULL DEFAULT 20;

CREATE TABLE script_versions (
    aor         VARCHAR(255) NOT NULL,
    kind        VARCHAR(16)  NOT NULL,
    version     INTEGER      NOT NULL,
    script      MEDIUMBLOB   NOT NULL,
    media_type  VARCHAR(255) NOT NULL,
    modified    DOUBLE       NOT NULL,
    modified_by VARCHAR(255) NOT NULL,
    what        VARCHAR(32)  NOT NULL,
    PRIMARY KEY (aor, kind, version),
    FOREIGN KEY (aor) REFERENCES users (aor) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

INSERT INTO script_versions
    SELECT aor, kind, version, script, media_type, modified, modified_by, 'stored' FROM scripts;

CREATE TABLE timezones (
    url     VARCHAR(500) NOT NULL PRIMARY KEY,
    data    MEDIUMBLOB   NOT NULL,
    fetched DOUBLE       NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

UPDATE sipd_meta SET value = '3' WHERE name = 'schema';
