-- Which targets are left alone. `model` is empty for all models of a provider. Instants are epoch
-- milliseconds; an entry whose time is over keeps its count of failures for a day.
CREATE TABLE cooldowns (
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    until_ms BIGINT NOT NULL,
    since_ms BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    cause TEXT NOT NULL,
    hard_until_ms BIGINT NOT NULL,
    source TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (provider, model)
);
