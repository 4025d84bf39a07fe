-- The configuration database of sipd, schema version 4.
--
-- One text for SQLite and for MySQL/MariaDB: only what both understand stands
-- here, what only MySQL needs is inside /*! ... */, which others skip.
-- Run by `sipdctl db init`, or by hand: mysql sip < createsip.sql
--
-- An address-of-record (aor) is user@domain in its canonical form, times are
-- seconds since 1970, q values thousandths. Columns that hold text of phones
-- are binary on MySQL: SIP lets them carry bytes that are no UTF-8.

CREATE TABLE sipd_meta (
    name  VARCHAR(64)  NOT NULL PRIMARY KEY,     -- schema, secret_key
    value VARCHAR(255) NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE server (
    name              VARCHAR(64)  NOT NULL PRIMARY KEY,   -- chosen by -S
    listen            VARCHAR(1000) NOT NULL,
    host_name         VARCHAR(255) NOT NULL,
    root              VARCHAR(255) NOT NULL,
    debug             VARCHAR(255) NOT NULL,
    auth              VARCHAR(16)  NOT NULL,
    digest_algorithms VARCHAR(255) NOT NULL,
    digest_uri_check  VARCHAR(16)  NOT NULL,
    nonce_life        INTEGER      NOT NULL,
    mode              VARCHAR(16)  NOT NULL,
    record_route      SMALLINT     NOT NULL,
    unknown_callee    VARCHAR(16)  NOT NULL,
    default_expires   INTEGER      NOT NULL,
    min_expires       INTEGER      NOT NULL,
    max_expires       INTEGER      NOT NULL,
    max_contacts      INTEGER      NOT NULL,
    max_script        INTEGER      NOT NULL,
    stagger           DOUBLE       NOT NULL,
    timer_c           DOUBLE       NOT NULL,
    max_transactions  INTEGER      NOT NULL,
    traces            INTEGER      NOT NULL,
    script_operations VARCHAR(1000) NOT NULL,
    recurse           SMALLINT     NOT NULL,
    max_breadth       INTEGER      NOT NULL,
    honour_maddr      SMALLINT     NOT NULL,
    service_route     VARCHAR(1000) NOT NULL,
    flow_timer        INTEGER      NOT NULL,
    enum              VARCHAR(255) NOT NULL,
    tls_certificate   VARCHAR(1000) NOT NULL,
    tls_key           VARCHAR(1000) NOT NULL,
    tls_ca            VARCHAR(255) NOT NULL,
    tls_client        VARCHAR(16)  NOT NULL,
    websocket_origins VARCHAR(1000) NOT NULL,
    max_connections   INTEGER      NOT NULL,
    max_connections_per_source INTEGER NOT NULL,
    max_request_rate  INTEGER      NOT NULL,
    time_zone         VARCHAR(64)  NOT NULL,
    phone_users       SMALLINT     NOT NULL,
    script_hosts      VARCHAR(1000) NOT NULL,
    script_versions   INTEGER      NOT NULL,
    script_traces     INTEGER      NOT NULL,
    script_log_lines  INTEGER      NOT NULL,
    mail_server       VARCHAR(255) NOT NULL,
    mail_from         VARCHAR(255) NOT NULL,
    mail_limit        INTEGER      NOT NULL,
    digest_qop        VARCHAR(64)  NOT NULL,
    cache_refresh     INTEGER      NOT NULL,
    max_subscriptions INTEGER      NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE domain (
    name      VARCHAR(255) NOT NULL PRIMARY KEY,  -- lower case, no final dot
    canonical VARCHAR(255) NOT NULL               -- the domain its users are stored under
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE users (
    aor             VARCHAR(255) NOT NULL PRIMARY KEY,
    realm           VARCHAR(255) NOT NULL,
    ha1_md5         VARCHAR(32)  NOT NULL,        -- H(user:realm:password); the password is nowhere
    ha1_md5_full    VARCHAR(32)  NOT NULL,        -- H(user@domain:realm:password)
    ha1_sha256      VARCHAR(64)  NOT NULL,
    ha1_sha256_full VARCHAR(64)  NOT NULL,
    level           VARCHAR(16)  NOT NULL,        -- never, requested, required
    role            VARCHAR(16)  NOT NULL,        -- regular, administrator
    gateway_class   VARCHAR(64)  NOT NULL,
    full_name       VARCHAR(255) NOT NULL,
    ha1_sha512_256      VARCHAR(64) NOT NULL,
    ha1_sha512_256_full VARCHAR(64) NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE contacts (
    aor        VARCHAR(255)  NOT NULL,
    uri        VARCHAR(2000) /*! CHARACTER SET binary */ NOT NULL,
    q          SMALLINT      NOT NULL,
    expires_at DOUBLE        NOT NULL,
    call_id    VARCHAR(8000) /*! CHARACTER SET binary */ NOT NULL,
    cseq       BIGINT        NOT NULL,
    action     VARCHAR(16)   NOT NULL,            -- proxy, redirect
    path       MEDIUMTEXT    /*! CHARACTER SET binary */ NOT NULL,   -- one Path value a line
    received   VARCHAR(255)  NOT NULL,
    user_agent VARCHAR(8000) /*! CHARACTER SET binary */ NOT NULL,
    instance   VARCHAR(8000) /*! CHARACTER SET binary */ NOT NULL,
    reg_id     BIGINT        NOT NULL,
    params     VARCHAR(8000) /*! CHARACTER SET binary */ NOT NULL,
    flow_key   VARCHAR(16)   /*! CHARACTER SET binary */ NOT NULL,   -- tells bindings with the same URI apart
    refreshed_at DOUBLE      NOT NULL,
    gruu       VARCHAR(16)   NOT NULL,            -- which temporary GRUUs of this instance are good
    PRIMARY KEY (aor, uri, flow_key),
    FOREIGN KEY (aor) REFERENCES users (aor) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

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

CREATE TABLE third_parties (
    aor      VARCHAR(255) NOT NULL,
    delegate VARCHAR(255) NOT NULL,               -- may register for aor
    PRIMARY KEY (aor, delegate),
    FOREIGN KEY (aor) REFERENCES users (aor) ON DELETE CASCADE,
    FOREIGN KEY (delegate) REFERENCES users (aor) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE INDEX third_parties_delegate ON third_parties (delegate);

CREATE TABLE peers (
    name          VARCHAR(64)  NOT NULL PRIMARY KEY,
    matches       VARCHAR(255) NOT NULL,          -- address, network, or cert: and a name
    gateway_class VARCHAR(64)  NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE scripts (
    aor         VARCHAR(255) NOT NULL,
    kind        VARCHAR(16)  NOT NULL,            -- cpl, cgi
    script      MEDIUMBLOB   NOT NULL,
    media_type  VARCHAR(255) NOT NULL,
    modified    DOUBLE       NOT NULL,
    modified_by VARCHAR(255) NOT NULL,
    version     INTEGER      NOT NULL,            -- counts up with every change
    enabled     SMALLINT     NOT NULL,
    PRIMARY KEY (aor, kind),
    FOREIGN KEY (aor) REFERENCES users (aor) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE script_versions (
    aor         VARCHAR(255) NOT NULL,
    kind        VARCHAR(16)  NOT NULL,            -- cpl, cgi
    version     INTEGER      NOT NULL,
    script      MEDIUMBLOB   NOT NULL,            -- as it was then; empty where it was removed
    media_type  VARCHAR(255) NOT NULL,
    modified    DOUBLE       NOT NULL,
    modified_by VARCHAR(255) NOT NULL,
    what        VARCHAR(32)  NOT NULL,            -- what was done: stored, removed, ...
    PRIMARY KEY (aor, kind, version),
    FOREIGN KEY (aor) REFERENCES users (aor) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE timezones (
    url     VARCHAR(500) NOT NULL PRIMARY KEY,    -- tzurl of a script
    data    MEDIUMBLOB   NOT NULL,                -- the VTIMEZONE as it was last fetched
    fetched DOUBLE       NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE script_log (
    id        INTEGER      NOT NULL PRIMARY KEY /*! AUTO_INCREMENT */,
    aor       VARCHAR(255) NOT NULL,
    logged_at DOUBLE       NOT NULL,
    name      VARCHAR(4000) /*! CHARACTER SET binary */ NOT NULL,
    line      VARCHAR(8000) /*! CHARACTER SET binary */ NOT NULL,
    FOREIGN KEY (aor) REFERENCES users (aor) ON DELETE CASCADE
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE INDEX script_log_aor ON script_log (aor, id);

CREATE TABLE licence (
    digest       VARCHAR(64) NOT NULL PRIMARY KEY,  -- SHA-256 of the text, hex
    licence_text MEDIUMTEXT  NOT NULL,
    added        DOUBLE      NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

CREATE TABLE change_log (                         -- filled by triggers: how servers hear of changes
    id         INTEGER      NOT NULL PRIMARY KEY /*! AUTO_INCREMENT */,
    origin     VARCHAR(64)  NOT NULL,             -- of the server that made it; empty: of any other program
    what       VARCHAR(32)  NOT NULL,             -- the table
    name       VARCHAR(500) NOT NULL,             -- the key of the row, or its address-of-record
    changed_at BIGINT       NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin */;

/*! ALTER TABLE change_log MODIFY id BIGINT NOT NULL AUTO_INCREMENT */;

INSERT INTO sipd_meta (name, value) VALUES ('schema', '4');
