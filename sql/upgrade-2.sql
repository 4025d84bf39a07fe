-- From schema version 1 to 2: the settings, peers and binding keys of a proxy by the book. For SQLite and MySQL/MariaDB.

ALTER TABLE server ADD COLUMN recurse SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE server ADD COLUMN max_breadth INTEGER NOT NULL DEFAULT 60;
ALTER TABLE server ADD COLUMN honour_maddr SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE server ADD COLUMN service_route VARCHAR(1000) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN flow_timer INTEGER NOT NULL DEFAULT 0;
ALTER TABLE server ADD COLUMN enum VARCHAR(255) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN tls_certificate VARCHAR(1000) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN tls_key VARCHAR(1000) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN tls_ca VARCHAR(255) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN tls_client VARCHAR(16) NOT NULL DEFAULT 'never';
ALTER TABLE server ADD COLUMN websocket_origins VARCHAR(1000) NOT NULL DEFAULT '';
ALTER TABLE server ADD COLUMN max_connections INTEGER NOT NULL DEFAULT 10000;
ALTER TABLE server ADD COLUMN max_connections_per_source INTEGER NOT NULL DEFAULT 100;
ALTER TABLE server ADD COLUMN max_request_rate INTEGER NOT NULL DEFAULT 2000;

CREATE TABLE peers (
    name          VARCHAR(64)  NOT NULL PRIMARY KEY,
    matches       VARCHAR(255) NOT NULL,
    gateway_class VARCHAR(64)  NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

ALTER TABLE contacts RENAME TO contacts_1;

CREATE TABLE contacts (
    aor        VARCHAR(255)  NOT NULL,
    uri        VARCHAR(2000) /*! CHARACTER SET binary */ NOT NULL,
    q          SMALLINT      NOT NULL,
    expires_at DOUBLE        NOT NULL,
    call_id    VARCHAR(8000) /*! CHARACTER SET binary */ NOT NULL,
    cseq       BIGINT        NOT NULL,
    action     VARCHAR(16)   NOT NULL,
    path       MEDIUMTEXT    /*! CHARACTER SET binary */ NOT NULL,
    received   VARCHAR(255)  NOT NULL,
    user_agent VARCHAR(8000) /*! CHARACTER SET binary */ NOT NULL,
    instance   VARCHAR(8000) /*! CHARACTER SET binary */ NOT NULL,
    reg_id     BIGINT        NOT NULL,
    params     VARCHAR(8000) /*! CHARACTER SET binary */ NOT NULL,
    flow_key   VARCHAR(16)   /*! CHARACTER SET binary */ NOT NULL,
    refreshed_at DOUBLE      NOT NULL,
    gruu       VARCHAR(16)   NOT NULL,
    PRIMARY KEY (aor, uri, flow_key),
    FOREIGN KEY (aor) REFERENCES users (aor) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

INSERT INTO contacts SELECT *, '', 0.0, '' FROM contacts_1;

DROP TABLE contacts_1;

UPDATE sipd_meta SET value = '2' WHERE name = 'schema';
