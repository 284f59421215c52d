-- made by langgraph-checkpoint-sqlite 3.1.2: SqliteStore with a default ttl of 60 minutes, setup() and put()
CREATE TABLE store_migrations (
                    v INTEGER PRIMARY KEY
                );
INSERT INTO store_migrations VALUES(0);
INSERT INTO store_migrations VALUES(1);
INSERT INTO store_migrations VALUES(2);
INSERT INTO store_migrations VALUES(3);
INSERT INTO store_migrations VALUES(4);
CREATE TABLE store (
    -- 'prefix' represents the doc's 'namespace'
    prefix text NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, expires_at TIMESTAMP, ttl_minutes REAL,
    PRIMARY KEY (prefix, key)
);
-- {"memory":"prefers dark mode","n":1}, {"content":"lives in Zürich 日本","type":"semantic"}, {"title":"t","pages":[1,2]}
INSERT INTO store VALUES('memories.alice','a1',X'7b226d656d6f7279223a2270726566657273206461726b206d6f6465222c226e223a317d','2026-11-21 07:24:40','2026-11-21 07:24:40','2026-11-21 08:24:40.774932+00:00',60.0);
INSERT INTO store VALUES('memories.alice','a2',X'7b22636f6e74656e74223a226c6976657320696e205ac3bc7269636820e697a5e69cac222c2274797065223a2273656d616e746963227d','2026-11-21 07:24:40','2026-11-21 07:24:40',NULL,NULL);
INSERT INTO store VALUES('docs','k',X'7b227469746c65223a2274222c227061676573223a5b312c325d7d','2026-11-21 07:24:40','2026-11-21 07:24:40','2026-11-21 08:24:40.777298+00:00',60.0);
CREATE INDEX store_prefix_idx ON store (prefix);
CREATE INDEX idx_store_expires_at ON store (expires_at)
WHERE expires_at IS NOT NULL;
