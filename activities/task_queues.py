"""The task queues, by name."""

CONTROL = "control"
ACQUIRE = "acquire"
MINERS = "miners"
DOWNLOADS = "downloads"
SCORE = "score"
PUBLISH = "publish"
INFERENCE = "inference"
