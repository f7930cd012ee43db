"""Home Assistant → cloud: exports, sampler, outbox and sender."""
