"""Explanations, scores, judged examples, pins, language-model replies and jobs of a store: `annotations.sqlite`."""

from autointerp.store.annotations.annotations import Annotations
from autointerp.store.annotations.jobs.records import (
    Claim,
    ItemResult,
    Job,
    JobItem,
    JobState,
    NewJob,
    new_owner,
)
from autointerp.store.annotations.jobs.recovery import SILENT_SECONDS
from autointerp.store.annotations.jobs.table import ClaimLost, JobTable
from autointerp.store.annotations.records import (
    Explanation,
    JudgedColumns,
    JudgedExample,
    Pin,
    Record,
    Score,
    StoredReply,
    config_hash,
    example_id,
    new_id,
    now,
)
from autointerp.store.annotations.replies import Replies, ReplyCache

__all__ = [
    "SILENT_SECONDS",
    "Annotations",
    "Claim",
    "ClaimLost",
    "Explanation",
    "ItemResult",
    "Job",
    "JobItem",
    "JobState",
    "JobTable",
    "JudgedColumns",
    "JudgedExample",
    "NewJob",
    "Pin",
    "Record",
    "Replies",
    "ReplyCache",
    "Score",
    "StoredReply",
    "config_hash",
    "example_id",
    "new_id",
    "new_owner",
    "now",
]
