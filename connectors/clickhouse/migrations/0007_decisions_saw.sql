-- What a decision saw, so that it can be made again, and the experiment that its arm belongs to.
ALTER TABLE decisions
    ADD COLUMN IF NOT EXISTS experiment LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS in_flight Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS bulk_in_flight Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS off_providers Array(String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tried Array(String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS larger_than_tokens Nullable(Int64) CODEC(T64, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS target LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS replayable Bool CODEC(ZSTD(1));
